// The two contracts that join the rooms. Bytes go one way: fs -> pack -> seal -> store, and back the same way. pack and
// seal each wrap the next sink or source and know nothing else.
//
// sink: an object being written, front first or front last.
//
//     state     may be called                    becomes
//     plain     write                            plain
//               open_front(len), before any write  fronted
//               commit                           committed (even after no write at all: an empty object)
//     fronted   write (bytes after the front)    fronted
//               write_front (first byte)         closing
//     closing   write_front                      closing, until exactly `len` bytes of the front were given
//               commit                           committed
//     any       free; without a commit that returned 0 it aborts: nothing is stored
//
// With a front the object is front + what was written, although the front is given last. It exists because the first
// bytes (size and commit time in the header; a table of contents that pg_dump rewrites) are known last.
// front_align and front_min are fixed when the sink is made: `len` of open_front is a multiple of front_align and at
// least front_min.
//
// A sink may work in the background. The first failure is latched: every later call returns it. commit returns 0 only
// when the whole object is stored. Threads: a sink has one caller at a time; free waits for its background work.
//
// source: an object being read. read_at gives exactly `len` bytes or fails; it never reads past size. Threads: any
// number at once.
#pragma once

#include "backend/base/err.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct sink;
struct sink_ops {
    int (*open_front)(struct sink *, uint64_t len, struct err *);
    int (*write)(struct sink *, const void *bytes, size_t len, struct err *);
    int (*write_front)(struct sink *, const void *bytes, size_t len, struct err *);
    int (*commit)(struct sink *, struct err *);
    void (*free)(struct sink *);
};

enum sink_state { SINK_PLAIN, SINK_FRONTED, SINK_CLOSING, SINK_COMMITTED };

struct sink { // embedded first in the instance
    const struct sink_ops *ops;
    uint64_t front_align; // at least 1
    uint64_t front_min;
    // below: kept by the wrappers, to assert the contract
    enum sink_state state;
    uint64_t written;     // bytes given to write
    uint64_t front_len;   // as given to open_front
    uint64_t front_given; // bytes given to write_front
};

static inline int sink_open_front(struct sink *s, uint64_t len, struct err *err)
{
    assert(s->state == SINK_PLAIN && s->written == 0);
    assert(len >= s->front_min && len % s->front_align == 0);
    s->state = SINK_FRONTED;
    s->front_len = len;
    return s->ops->open_front(s, len, err);
}

static inline int sink_write(struct sink *s, const void *bytes, size_t len, struct err *err)
{
    assert(s->state == SINK_PLAIN || s->state == SINK_FRONTED);
    s->written += len;
    return s->ops->write(s, bytes, len, err);
}

static inline int sink_write_front(struct sink *s, const void *bytes, size_t len, struct err *err)
{
    assert(s->state == SINK_FRONTED || s->state == SINK_CLOSING);
    s->state = SINK_CLOSING;
    s->front_given += len;
    assert(s->front_given <= s->front_len);
    return s->ops->write_front(s, bytes, len, err);
}

static inline int sink_commit(struct sink *s, struct err *err)
{
    assert(s->state == SINK_PLAIN || s->state == SINK_CLOSING);
    assert(s->front_given == s->front_len);
    s->state = SINK_COMMITTED;
    return s->ops->commit(s, err);
}

static inline void sink_free(struct sink *s)
{
    if (s)
        s->ops->free(s);
}

struct source;
struct source_ops {
    int (*read_at)(struct source *, uint64_t off, void *out, size_t len, struct err *);
    void (*free)(struct source *);
};

struct source { // embedded first in the instance
    const struct source_ops *ops;
    uint64_t size;
};

static inline int source_read_at(struct source *s, uint64_t off, void *out, size_t len,
                                 struct err *err)
{
    assert(off <= s->size && len <= s->size - off);
    return len == 0 ? 0 : s->ops->read_at(s, off, out, len, err);
}

static inline void source_free(struct source *s)
{
    if (s)
        s->ops->free(s);
}
