// Who uses a file system: processes with an open file, a working directory, a root or a program on it, as far as /proc
// shows them to this user.
#pragma once

#include <stdio.h>
#include <sys/types.h>

// One line a process, "pid NAME uses PATH", at most 10. Returns how many there are.
unsigned holders_print(FILE *out, dev_t device);
