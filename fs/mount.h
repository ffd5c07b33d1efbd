// bakfs mount: the verb, and mount.bakfs for fstab.
#pragma once

// argv[0] is the verb, or "mount.bakfs" (or a path that ends so): then the arguments are mount(8)'s. Returns the exit code.
int verb_mount(int argc, char **argv);
