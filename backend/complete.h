// Whether a dump ran to its end: judged by its first and last bytes, where those say what the file is. Pure.
//
//     the file begins as                 and ends                                         complete
//     nothing: it is empty                                                                no (but see below)
//     pg_dump, plain                     with "database dump complete"                    yes
//     pg_dumpall                         with "database cluster dump complete"            yes
//     mysqldump, mariadb-dump            with "Dump completed"                            yes
//     one of these                       without                                          no
//     one of these                       in a way that a cut or a whole one may end       unknown
//     anything else (pg_dump's custom format has no mark at its end)                      unknown
//
// `yes` is never said of a dump that was cut, `no` never of a whole one. What may be either: the mark with its last line
// end cut off or other text behind it; and a cluster's dump that ends with a database's mark, which is what is left when
// pg_dumpall was stopped between two databases, and what `{ pg_dumpall -g; pg_dump x; }` writes.
#pragma once

#include "backend/seal/seal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the caller gives of a file: so much of it, or all of a shorter one.
#define COMPLETE_FIRST_BYTES ((size_t)4096)
#define COMPLETE_LAST_BYTES ((size_t)1024)

// `first` and `last` may overlap. Asserts that their lengths are as said.
enum seal_complete complete_judge(uint64_t size, const void *first, size_t first_len,
                                  const void *last, size_t last_len);

// Of a copy of a server's data directory (pg_basebackup -Fp) many files are empty and good: base/5/2619, standby.signal.
// `path` is HOST/DATE/...; what lies deeper than HOST/DATE/PARTITION/FILE is part of something, and not a dump by itself.
bool complete_may_be_empty(const char *path);
