// The part plan: how long each part of an upload of unknown length is. Pure.
//
// 8 MiB for the first 205 parts, then growing linearly to `part_max` at part 9,557, then part_max: early parts are small
// so that sending starts early, and the whole reaches 358 GiB with part_max = 64 MiB, 118 GiB with 16 MiB.
// Part 1 is the front (its own length) when there is one.
#pragma once

#include <stdint.h>

#define PLAN_PARTS 10000
#define PLAN_PART_FIRST ((uint64_t)8 << 20)

// Bytes of part `number` (1..PLAN_PARTS).
uint64_t plan_part_bytes(uint64_t part_max, unsigned number);
// The largest object: all parts together.
uint64_t plan_object_max(uint64_t part_max);
// part_max for a memory budget: a quarter of it, at least PLAN_PART_FIRST, at most 5 GiB.
uint64_t plan_part_max(uint64_t memory_bytes);
