// A store that keeps no bytes, only sizes: for objects larger than the machine. It holds uploads to S3's rules (part
// numbers, smallest and largest parts) and says so when they are broken. Bodies are not read; get is not offered.
// Threads: any.
#pragma once

#include "backend/store/store.h"

// part_min 5 MiB, put_max 5 GiB, as S3; `parts_max` at most 10,000.
int sim_store_new(unsigned parts_max, struct store **out);
