// libFuzzer target: any bytes as an age header. Besides not crashing: a header is found at every length from its own on, is
// too short at every length before, and what the record says comes out as it stood there.
#include "backend/seal/record.h"
#include "backend/seal/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identity *identity;
    if (!identity)
        require(identity_parse(
                    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
                    &identity, NULL) == 0);
    struct seal_header header, again;
    struct err err;
    int rc = seal_header_parse(data, size, &header, &err);
    require(rc == 0 || rc == -EAGAIN || rc == -EUCLEAN);
    require(rc != -EAGAIN || size < SEAL_HEADER_MAX);
    if (rc != 0)
        return 0;
    require(header.len <= size && header.len <= SEAL_HEADER_MAX);
    require(seal_header_parse(data, header.len, &again, &err) == 0 && again.len == header.len);
    require(seal_header_parse(data, header.len - 1, &again, &err) == -EAGAIN);
    require(seal_header_parse(data, header.len / 2, &again, &err) == -EAGAIN);
    if (header.state == SEAL_OURS) {
        char text[RECORD_CHARS];
        record_format(&header.record, text);
        require(memcmp(data + strlen("age-encryption.org/v1\n-> bakfs/v1 "), text, sizeof(text)) ==
                0);
    }
    struct seal_opened opened;
    struct identities identities = {&identity, header.x25519_count < 8};
    rc = seal_header_open(data, size, &identities, &opened, &err);
    require(rc == 0 || rc == -EACCES || rc == -EBADMSG || rc == -EUCLEAN);
    return 0;
}
