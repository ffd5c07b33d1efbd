// A store that wraps another (borrowed), counts its calls and goes wrong where told; it can also hold calls until they are
// released, for tests of what happens meanwhile.
// Threads: any.
#pragma once

#include "backend/store/store.h"

enum fault_op {
    FAULT_CHECK,
    FAULT_HEAD,
    FAULT_GET, // get_tail too
    FAULT_LIST,
    FAULT_PUT,
    FAULT_UPLOAD_BEGIN,
    FAULT_PUT_PART,
    FAULT_UPLOAD_COMPLETE,
    FAULT_UPLOAD_ABORT,
    FAULT_LIST_UPLOADS,
    FAULT_UPLOAD_TOUCHED,
    FAULT_FACTS,
    FAULT_COPY,
    FAULT_COPY_PART,
    FAULT_REMOVE,
    FAULT_LIST_VERSIONS,
    FAULT_REMOVE_VERSION,
    FAULT_ASK_HOLD,
    FAULT_ANY, // of all these
};

enum fault_kind {
    FAULT_FAIL,  // the call is not made, and fails
    FAULT_LOST,  // the call is made, its answer lost: it fails
    FAULT_SHORT, // get: half of the bytes
    FAULT_FLIP,  // get: one bit of the last byte is wrong
};

struct fault {
    enum fault_op op;
    enum fault_kind kind;
    unsigned nth; // the first call of `op` from now on is 1; 0: none goes wrong
    bool forever; // and all later ones
    int code;     // of FAULT_FAIL and FAULT_LOST
};

int fault_store_new(struct store *next, struct store **out);
void fault_store_set(struct store *, const struct fault *);
unsigned fault_store_calls(struct store *, enum fault_op); // since it was made

void fault_store_hold(struct store *, enum fault_op);
void fault_store_wait_held(struct store *, unsigned count); // until so many calls are held
void fault_store_release(struct store *);
