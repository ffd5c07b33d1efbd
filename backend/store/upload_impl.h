// An upload from the inside: upload.c is the sink, upload_send.c what its uploaders do.
#pragma once

#include "backend/store/part.h"
#include "backend/store/upload.h"

#include <pthread.h>
#include <stdatomic.h>

struct upload {
    struct sink sink;
    struct upload_env env;
    char key[STORE_KEY_BYTES + 1];
    struct store_cond cond;
    struct cancel *cancel; // may be NULL
    char if_match[STORE_ETAG_BYTES];
    unsigned parts_max;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // the caller's, one at a time
    struct part *front, *tail; // being filled; NULL: none
    unsigned next;             // number of the tail's next part
    uint64_t tail_off;         // where that will stand
    bool begun, committed;
    struct store_stat stat; // if committed

    _Atomic uint64_t acked;

    // below: under the lock
    struct err failure; // the first; no part is sent afterwards
    bool stop;
    unsigned in_flight;
    unsigned kept; // parts that the upload has
    unsigned begun_anew;
    bool beginning;                 // an uploader begins anew: the others wait
    char id[STORE_UPLOAD_ID_BYTES]; // if begun
    struct journal_entry *entry;    // of the upload `id`; the uploader's while it is beginning
    struct store_part *parts;       // by number - 1
    unsigned parts_room;
};

// Begins the upload when it is the first part. Takes the part over, also when it fails.
int upload_send_part(struct upload *, struct part *, struct err *err);
// The next part is a range of another object.
int upload_copy_part(struct upload *, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct err *err);
// Until at most `rest` parts are under way.
void upload_wait_sent(struct upload *, unsigned rest);
