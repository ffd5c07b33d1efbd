#include "backend/store/plan.h"

#include "backend/base/num.h"

#include <assert.h>

#define PARTS_FIRST 205  // of the first size
#define PARTS_GROWN 9557 // the first part of the largest size
#define PART_LARGEST (5 * GIB)

uint64_t plan_part_bytes(uint64_t part_max, unsigned number)
{
    assert(part_max >= PLAN_PART_FIRST && part_max <= PART_LARGEST);
    assert(number >= 1 && number <= PLAN_PARTS);
    if (number <= PARTS_FIRST)
        return PLAN_PART_FIRST;
    if (number >= PARTS_GROWN)
        return part_max;
    // at most 5 GiB * 9352: far from overflow
    uint64_t grown = (part_max - PLAN_PART_FIRST) * (number - PARTS_FIRST);
    return PLAN_PART_FIRST + grown / (PARTS_GROWN - PARTS_FIRST);
}

uint64_t plan_object_max(uint64_t part_max)
{
    uint64_t sum = 0;
    for (unsigned number = 1; number <= PLAN_PARTS; number++)
        sum += plan_part_bytes(part_max, number);
    return sum;
}

uint64_t plan_part_max(uint64_t memory_bytes)
{
    return min_u64(max_u64(memory_bytes / 4, PLAN_PART_FIRST), PART_LARGEST);
}
