#include "fs/window.h"

#include "backend/base/num.h"
#include "backend/pack/pack.h"

#include <assert.h>

// A run has lasted: more than the two READs that one random read of an application may become.
#define RUN_BYTES (PACK_FRAME_BYTES / 4)

static void grow(struct window *w, size_t len, bool entered, uint32_t bound)
{
    bool goes_on = w->run_bytes > len;
    if (w->frames <= 1)
        w->frames = goes_on && w->run_bytes > RUN_BYTES ? 2 : 1;
    else if (entered)
        w->frames *= 2;
    if (w->frames > bound)
        w->frames = bound;
}

static struct window_plan plan_ahead(struct window *w, uint64_t last, uint64_t frame_count)
{
    w->asked = max_u64(w->asked, last + 1);
    uint64_t limit = min_u64(last + w->frames, frame_count);
    if (limit <= w->asked)
        return (struct window_plan){0};
    uint64_t room = limit - w->asked;
    if (room < w->frames / 3 && limit < frame_count)
        return (struct window_plan){0};
    struct window_plan plan = {.first = w->asked, .count = room};
    w->asked = limit;
    return plan;
}

struct window_plan window_read(struct window *w, uint64_t off, size_t len, uint64_t frame_count,
                               uint32_t bound)
{
    assert(len > 0 && bound > 0);
    uint64_t end = off + len;
    uint64_t last = (end - 1) / PACK_FRAME_BYTES;
    if (off < w->next_off && w->next_off - off <= WINDOW_SLACK)
        return (struct window_plan){0}; // overtaken by a later one of the same run
    if (off < w->next_off || off - w->next_off > WINDOW_SLACK) {
        *w = (struct window){.next_off = end, .run_bytes = len, .asked = last + 1, .frames = 1};
        return (struct window_plan){.sought = true};
    }
    bool entered = w->next_off > 0 && last > (w->next_off - 1) / PACK_FRAME_BYTES;
    w->run_bytes += len;
    w->next_off = end;
    grow(w, len, entered, bound);
    return plan_ahead(w, last, frame_count);
}

void window_lost(struct window *w, uint64_t frame)
{
    w->frames = w->frames > 1 ? w->frames / 2 : 1;
    w->asked = frame + 1;
}

uint32_t window_group(const struct window *w)
{
    uint32_t group = w->frames / 3;
    if (group < 1)
        return 1;
    return group < WINDOW_GROUP_MAX ? group : WINDOW_GROUP_MAX;
}
