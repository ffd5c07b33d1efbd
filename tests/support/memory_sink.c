#include "tests/support/memory_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pile {
    uint8_t *bytes;
    size_t len, room;
};

struct memory_sink {
    struct sink sink;
    struct memory *memory;
    struct pile front, behind;
};

struct memory_source {
    struct source source;
    struct memory *memory;
};

void memory_done(struct memory *m)
{
    free(m->bytes);
    *m = (struct memory){0};
}

static int next_call(struct memory_sink *s, struct err *err)
{
    unsigned call = ++s->memory->calls;
    if (s->memory->fail_call && call >= s->memory->fail_call)
        return err_set(err, EIO, "call %u fails as the test wants it", call);
    return 0;
}

static int pile_up(struct memory_sink *s, struct pile *pile, const void *bytes, size_t len,
                   struct err *err)
{
    int rc = next_call(s, err);
    if (rc < 0 || len == 0)
        return rc;
    if (pile->room - pile->len < len) {
        size_t room = (pile->len + len) * 2;
        uint8_t *larger = realloc(pile->bytes, room);
        if (!larger)
            return err_set(err, ENOMEM, "no memory for %zu bytes", room);
        pile->bytes = larger;
        pile->room = room;
    }
    memcpy(pile->bytes + pile->len, bytes, len);
    pile->len += len;
    return 0;
}

static int memory_open_front(struct sink *sink, uint64_t len, struct err *err)
{
    (void)len;
    return next_call((struct memory_sink *)sink, err);
}

static int memory_write(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct memory_sink *s = (struct memory_sink *)sink;
    return pile_up(s, &s->behind, bytes, len, err);
}

static int memory_write_front(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct memory_sink *s = (struct memory_sink *)sink;
    return pile_up(s, &s->front, bytes, len, err);
}

static int memory_commit(struct sink *sink, struct err *err)
{
    struct memory_sink *s = (struct memory_sink *)sink;
    int rc = next_call(s, err);
    if (rc < 0)
        return rc;
    size_t len = s->front.len + s->behind.len;
    uint8_t *bytes = malloc(len + 1);
    if (!bytes)
        return err_set(err, ENOMEM, "no memory for %zu bytes", len);
    if (s->front.len)
        memcpy(bytes, s->front.bytes, s->front.len);
    if (s->behind.len)
        memcpy(bytes + s->front.len, s->behind.bytes, s->behind.len);
    free(s->memory->bytes);
    s->memory->bytes = bytes;
    s->memory->len = len;
    s->memory->committed = true;
    return 0;
}

static void memory_sink_free(struct sink *sink)
{
    struct memory_sink *s = (struct memory_sink *)sink;
    s->memory->aborted = !s->memory->committed;
    s->memory->free_count++;
    free(s->front.bytes);
    free(s->behind.bytes);
    free(s);
}

struct sink *memory_sink_new(struct memory *memory, uint64_t front_align, uint64_t front_min)
{
    static const struct sink_ops ops = {memory_open_front, memory_write, memory_write_front,
                                        memory_commit, memory_sink_free};
    struct memory_sink *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->sink.ops = &ops;
    s->sink.front_align = front_align;
    s->sink.front_min = front_min;
    s->memory = memory;
    return &s->sink;
}

static int memory_read_at(struct source *source, uint64_t off, void *out, size_t len,
                          struct err *err)
{
    struct memory *m = ((struct memory_source *)source)->memory;
    unsigned read = ++m->reads;
    if (m->piece_bytes && len > m->piece_bytes)
        return err_set(err, EIO, "read %u of %zu bytes fails as the test wants it", read, len);
    memcpy(out, m->bytes + off, len);
    return 0;
}

static void memory_source_free(struct source *source)
{
    struct memory_source *s = (struct memory_source *)source;
    s->memory->free_count++;
    free(s);
}

struct source *memory_source_new(struct memory *memory)
{
    static const struct source_ops ops = {memory_read_at, memory_source_free};
    struct memory_source *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->source.ops = &ops;
    s->source.size = memory->len;
    s->memory = memory;
    return &s->source;
}
