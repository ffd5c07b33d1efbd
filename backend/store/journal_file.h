// What a journal's file looks like: lines of words,
//     begin NUMBER SECONDS STORE KEY
//     id NUMBER UPLOAD_ID
//     move NUMBER SECONDS STORE FROM TO KIND
//     copied NUMBER
//     end NUMBER
// STORE, KEY, FROM, TO and UPLOAD_ID percent-encoded, SECONDS by the store's clock. A line without its newline is half a line of a
// killed daemon and does not count.
#pragma once

#include "backend/base/err.h"
#include "backend/store/journal.h"
#include "backend/store/store.h"

#include <stdint.h>

#define JOURNAL_PREFIX "uploads-"
#define JOURNAL_SUFFIX ".journal"
#define JOURNAL_NAME_BYTES 64

// `out` has 3 * strlen(text) + 1 bytes.
void journal_encode(const char *text, char *out);

const char *journal_move_word(enum journal_move_kind);

struct journal_line { // one begin or move that no end followed
    uint64_t number;
    int64_t seconds;
    char store[512];
    char key[STORE_KEY_BYTES + 1];
    char id[STORE_UPLOAD_ID_BYTES]; // "": killed before it was known
    // of a move; `key` is where it comes from
    enum journal_move_kind kind;
    bool copied;
    char to[STORE_KEY_BYTES + 1];
};

struct journal_lines {
    struct journal_line *list;
    size_t count, room;
    int64_t whole_bytes; // up to the last newline
};

// Is this the name of a journal?
bool journal_is_name(const char *name);
int journal_read(int fd, struct journal_lines *out, struct err *err);
void journal_lines_done(struct journal_lines *);
#define auto_lines __attribute__((cleanup(journal_lines_done)))
