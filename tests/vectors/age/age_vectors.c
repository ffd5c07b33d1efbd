// Opens one age file with our reader and says what came of it, in the words of age's test vectors. run.py compares.
//     age_vectors FILE OUT [AGE-SECRET-KEY-1...]...
// prints the outcome, a tab, and the reason; OUT gets the bytes that were given out.
#include "backend/base/num.h"
#include "backend/seal/seal.h"
#include "tests/support/memory_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int read_file(const char *name, struct memory *out)
{
    FILE *file = fopen(name, "re");
    size_t room = (size_t)64 << 20;
    out->bytes = malloc(room);
    if (!file || !out->bytes)
        return -1;
    out->len = fread(out->bytes, 1, room, file);
    int bad = ferror(file) || out->len == room;
    fclose(file);
    return bad ? -1 : 0;
}

// A chunk at a time, so that all is given out that the reader ever would.
static const char *read_payload(struct source *source, FILE *out, struct err *err)
{
    static uint8_t piece[SEAL_CHUNK_BYTES];
    for (uint64_t off = 0; off < source->size; off += sizeof(piece)) {
        size_t len = (size_t)min_u64(sizeof(piece), source->size - off);
        if (source_read_at(source, off, piece, len, err) < 0)
            return "payload failure";
        if (fwrite(piece, 1, len, out) != len)
            return "write failure";
    }
    return "success";
}

static const char *judge(struct memory *file, const struct identities *identities, FILE *out,
                         struct err *err)
{
    struct seal_header header;
    struct seal_opened opened;
    if (seal_header_parse(file->bytes, file->len, &header, err) < 0)
        return "header failure"; // EAGAIN too: there is no more
    switch (seal_header_open(file->bytes, file->len, identities, &opened, err)) {
    case 0:
        break;
    case -EACCES:
        return "no match";
    case -EBADMSG:
        return "HMAC failure";
    default:
        return "header failure";
    }
    struct source *source;
    int rc = seal_source_new(memory_source_new(file), header.len, opened.file_key, &source, err);
    seal_opened_done(&opened);
    if (rc < 0) // age counts the nonce as part of the header
        return rc == -EUCLEAN ? "header failure" : "payload failure";
    const char *outcome = read_payload(source, out, err);
    source_free(source);
    return outcome;
}

int main(int argc, char **argv)
{
    struct memory file = {0};
    struct err err = {0};
    if (argc < 3 || read_file(argv[1], &file) < 0)
        exit(2);
    struct identity *list[16];
    struct identities identities = {list, 0};
    for (int i = 3; i < argc && identities.count < 16; i++) {
        if (identity_parse(argv[i], &list[identities.count], &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            exit(2);
        }
        identities.count++;
    }
    FILE *out = fopen(argv[2], "we");
    if (!out)
        exit(2);
    const char *outcome = judge(&file, &identities, out, &err);
    printf("%s\t%s\n", outcome, err.text);
    int rc = fclose(out) == 0 ? 0 : 2;
    for (size_t i = 0; i < identities.count; i++)
        identity_free(list[i]);
    memory_done(&file);
    return rc;
}
