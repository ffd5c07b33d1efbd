// The judge of dumps' ends, over any bytes at any split into windows.
#include "backend/complete.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum seal_complete judge(const uint8_t *data, size_t size)
{
    size_t first = size < COMPLETE_FIRST_BYTES ? size : COMPLETE_FIRST_BYTES;
    size_t last = size < COMPLETE_LAST_BYTES ? size : COMPLETE_LAST_BYTES;
    return complete_judge(size, data, first, data + size - last, last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum seal_complete said = judge(data, size);
    if ((size == 0) != (said == SEAL_COMPLETE_NO) && size < strlen("-- MySQL dump "))
        abort();
    // The last line end is part of a whole dump: without it nobody can say yes, and with another word behind it neither.
    if (said != SEAL_COMPLETE_YES)
        return 0;
    size_t len = size;
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        len--;
    if (len == size || judge(data, len) == SEAL_COMPLETE_YES)
        abort();
    uint8_t *more = malloc(size + 1);
    if (!more)
        return 0;
    memcpy(more, data, size);
    more[size] = 'x';
    if (judge(more, size + 1) == SEAL_COMPLETE_YES)
        abort();
    free(more);
    return 0;
}
