// Files of identities and of recipients: a key a line, blank lines, comments.
#include "backend/base/secret.h"
#include "backend/seal/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES                                                                             \
    4096 // recipients of other kinds, which get a sentence of their own, are long

struct lines {
    const char *at, *end;
    unsigned number; // of the line in `text`, from 1
    char text[LINE_MAX_BYTES];
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

// The next line with a key, without the spaces around it. 1, 0 at the end, -EUCLEAN.
static int next_key(struct lines *lines, struct err *err)
{
    while (lines->at < lines->end) {
        const char *from = lines->at;
        const char *to = memchr(from, '\n', (size_t)(lines->end - from));
        lines->at = to ? to + 1 : lines->end;
        if (!to)
            to = lines->end;
        lines->number++;
        while (from < to && is_space(*from))
            from++;
        while (to > from && is_space(to[-1]))
            to--;
        if (from == to || *from == '#')
            continue;
        size_t len = (size_t)(to - from);
        if (len >= sizeof(lines->text) || memchr(from, '\0', len))
            return err_set(err, EUCLEAN, "line %u is no key", lines->number);
        memcpy(lines->text, from, len);
        lines->text[len] = '\0';
        return 1;
    }
    return 0;
}

static const char *encrypted_hint(const char *text)
{
    static const char armor[] = "-----BEGIN AGE ENCRYPTED FILE", binary[] = "age-encryption.org/";
    return strncmp(text, armor, sizeof(armor) - 1) == 0 ||
                   strncmp(text, binary, sizeof(binary) - 1) == 0
               ? " (the key file is itself encrypted: decrypt it with age -d first)"
               : "";
}

// Makes room for one more element; grows by doubling.
static void *grow(void *list, size_t count, size_t size)
{
    if (count & (count - 1)) // not 0 and not a power of two: there is room
        return list;
    return reallocarray(list, count ? count * 2 : 1, size);
}

int identities_parse(const char *text, size_t len, struct identities *out, struct err *err)
{
    struct identities found = {0};
    struct lines lines = {.at = text, .end = text + len};
    int rc;
    while ((rc = next_key(&lines, err)) > 0) {
        struct identity **list = grow(found.list, found.count, sizeof(struct identity *));
        if (!list) {
            rc = err_set(err, ENOMEM, "no memory for the identities");
            break;
        }
        found.list = list;
        rc = identity_parse(lines.text, &found.list[found.count], err);
        if (rc < 0) {
            err_prefix(err, "line %u%s", lines.number, encrypted_hint(lines.text));
            break;
        }
        found.count++;
    }
    secret_wipe(lines.text, sizeof(lines.text));
    if (rc == 0 && found.count == 0)
        rc = err_set(err, EUCLEAN,
                     "it holds no identity (a line that starts with "
                     "AGE-SECRET-KEY-1)");
    if (rc < 0) {
        identities_done(&found);
        return rc;
    }
    *out = found;
    return 0;
}

void identities_done(struct identities *identities)
{
    if (!identities)
        return;
    for (size_t i = 0; i < identities->count; i++)
        identity_free(identities->list[i]);
    free(identities->list);
    *identities = (struct identities){0};
}

int recipients_parse(const char *text, size_t len, struct recipient **out, size_t *out_count,
                     struct err *err)
{
    struct recipient *found = NULL;
    size_t count = 0;
    struct lines lines = {.at = text, .end = text + len};
    int rc;
    while ((rc = next_key(&lines, err)) > 0) {
        struct recipient *list = grow(found, count, sizeof(*found));
        if (!list) {
            rc = err_set(err, ENOMEM, "no memory for the recipients");
            break;
        }
        found = list;
        rc = recipient_parse(lines.text, &found[count], err);
        if (rc < 0) {
            err_prefix(err, "line %u", lines.number);
            break;
        }
        if (++count > SEAL_RECIPIENTS_MAX) {
            rc = err_set(err, EUCLEAN, "line %u: more than %d recipients", lines.number,
                         SEAL_RECIPIENTS_MAX);
            break;
        }
    }
    secret_wipe(lines.text, sizeof(lines.text)); // somebody may have put an identity there
    if (rc == 0 && count == 0)
        rc = err_set(err, EUCLEAN, "it holds no recipient (a line that starts with age1)");
    if (rc < 0) {
        free(found);
        return rc;
    }
    *out = found;
    *out_count = count;
    return 0;
}
