// What the tests of the sealing room share.
#pragma once

#include "backend/seal/seal.h"
#include "tests/support/memory_sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IDENTITY_TEXT "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
#define RECIPIENT_TEXT "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
#define PATH "db1/2026-11-22/orders.sql"

static inline struct identity *fixed_identity(void)
{
    struct identity *identity = NULL;
    assert_int_equal(identity_parse(IDENTITY_TEXT, &identity, NULL), 0);
    return identity;
}

static inline struct recipient fixed_recipient(void)
{
    struct recipient recipient;
    assert_int_equal(recipient_parse(RECIPIENT_TEXT, &recipient, NULL), 0);
    return recipient;
}

static inline struct seal_record fixed_record(uint64_t size)
{
    return (struct seal_record){.size = size,
                                .mtime = {1000000000, 123456789},
                                .committed = {1795319700, 1},
                                .flags = (uint32_t)SEAL_COMPLETE_YES << SEAL_FLAG_COMPLETE_SHIFT};
}

static inline void fill_pattern(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
}
