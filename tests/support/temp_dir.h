// A directory for the time of a test, below $TMPDIR.
#pragma once

struct temp_dir {
    char path[256];
};

int temp_dir_make(struct temp_dir *out);       // -errno
void temp_dir_remove(const struct temp_dir *); // with all that is in it
