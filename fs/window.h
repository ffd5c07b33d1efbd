// How far one open file is read ahead. Pure.
//
// A run is reading in order. It need not be exact: the kernel sends its own read-ahead as several READs at once, and they
// arrive in any order, so what begins within WINDOW_SLACK of the place where the run goes on belongs to it. The window,
// counted in frames from the one being read, is 1 until a run has lasted (random reads fetch one frame), then doubles with
// each frame that is entered, up to the bound. A read elsewhere ends the run.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SLACK ((uint64_t)2 << 20)
#define WINDOW_FRAMES_MAX 96u
#define WINDOW_GROUP_MAX 32u // frames in one GET

struct window {        // all zero: nothing was read yet
    uint64_t next_off; // plain: where the run goes on
    uint64_t run_bytes;
    uint64_t asked;  // the first frame that was not asked for yet
    uint32_t frames; // 0 and 1: no reading ahead
};

struct window_plan {
    uint64_t first; // frames to ask for now, behind those being read
    uint64_t count;
    bool sought; // a new run began: what was asked for is not wanted any more
};

// A read of `len` > 0 bytes at `off`, which lie in frames below `frame_count`. `bound`: the largest window, at least 1.
// The plan comes in strides of a third of the window, so that GETs stay large.
struct window_plan window_read(struct window *, uint64_t off, size_t len, uint64_t frame_count,
                               uint32_t bound);
// `frame` was asked for and is not there any more: the window is more than memory holds. Halves it; asks again from
// behind `frame`.
void window_lost(struct window *, uint64_t frame);
// The most frames one GET should bring, so that a few are in flight.
uint32_t window_group(const struct window *);
