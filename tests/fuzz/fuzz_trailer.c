// The trailer alone: without a seek table around it a fuzzer reaches its records sooner.
#include "backend/pack/trailer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pack_trailer trailer;
    struct trailer_index index;
    if (trailer_parse(data, size, &trailer, &index, NULL) < 0)
        return 0;
    if (index.len > 0 && (index.bytes < data || index.len > size - (size_t)(index.bytes - data)))
        abort();
    // What was read can be written, and is read the same.
    uint8_t *frame = NULL;
    size_t len = 0;
    struct pack_trailer again;
    struct trailer_index index_again;
    if (trailer_encode(&trailer, &index, &frame, &len, NULL) < 0 ||
        trailer_parse(frame, len, &again, &index_again, NULL) < 0)
        abort();
    if (again.size != trailer.size || again.complete != trailer.complete ||
        index_again.len != index.len || !again.path != !trailer.path ||
        (again.path && strcmp(again.path, trailer.path) != 0))
        abort();
    trailer_done(&again);
    trailer_done(&trailer);
    free(frame);
    return 0;
}
