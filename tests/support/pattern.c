#include "tests/support/pattern.h"

#include <string.h>

// splitmix64
static uint64_t word(uint64_t seed, uint64_t index)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + index + 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void pattern_fill(uint64_t seed, uint64_t off, void *out, size_t len)
{
    uint8_t *to = out;
    while (len > 0) {
        uint64_t w = word(seed, off / 8);
        size_t at = off % 8, n = len < 8 - at ? len : 8 - at;
        memcpy(to, (const uint8_t *)&w + at, n);
        to += n;
        off += n;
        len -= n;
    }
}

bool pattern_holds(uint64_t seed, uint64_t off, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    uint8_t expected[4096];
    while (len > 0) {
        size_t n = len < sizeof(expected) ? len : sizeof(expected);
        pattern_fill(seed, off, expected, n);
        if (memcmp(from, expected, n) != 0)
            return false;
        from += n;
        off += n;
        len -= n;
    }
    return true;
}

static int read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    const struct pattern_source *p = (const struct pattern_source *)source;
    (void)err;
    pattern_fill(p->seed, p->off + off, out, len);
    return 0;
}

static void no_free(struct source *source)
{
    (void)source;
}

struct pattern_source pattern_source(uint64_t seed, uint64_t off, uint64_t size)
{
    static const struct source_ops ops = {.read_at = read_at, .free = no_free};
    return (struct pattern_source){.source = {.ops = &ops, .size = size}, .seed = seed, .off = off};
}
