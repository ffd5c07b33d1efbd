#include "tools/pg/facts.h"

#include "backend/base/crypto.h"
#include "tools/pg/facts_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 160 // longer ones: their head, and a digest of the whole
#define HEAD_BYTES 120

static int compare_names(const void *a, const void *b)
{
    const struct fact *x = a, *y = b;
    int order = strcmp(x->kind, y->kind);
    return order != 0 ? order : strcmp(x->name, y->name);
}

int facts_add(struct facts *f, const char *kind, const char *name, const char *value,
              struct err *err)
{
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        struct fact *list = reallocarray(f->list, room, sizeof(*list));
        if (!list)
            return err_set(err, ENOMEM, "no memory for what is known of the database");
        f->list = list;
        f->room = room;
    }
    struct fact fact = {.kind = strdup(kind), .name = strdup(name), .value = strdup(value)};
    if (!fact.kind || !fact.name || !fact.value) {
        free(fact.kind);
        free(fact.name);
        free(fact.value);
        return err_set(err, ENOMEM, "no memory for what is known of the database");
    }
    f->list[f->count++] = fact;
    return 0;
}

void facts_sort(struct facts *f)
{
    if (f->count > 1)
        qsort(f->list, f->count, sizeof(*f->list), compare_names);
}

const struct fact *facts_find(const struct facts *f, const char *kind, const char *name)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct fact *fact = &f->list[middle];
        int order = strcmp(kind, fact->kind);
        if (order == 0)
            order = strcmp(name, fact->name);
        if (order == 0)
            return fact;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void facts_done(struct facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->list[i].kind);
        free(f->list[i].name);
        free(f->list[i].value);
    }
    free(f->list);
    *f = (struct facts){0};
}

// Where the head ends: never inside a UTF-8 character.
static size_t head_length(const char *value)
{
    size_t n = HEAD_BYTES;
    while (n > HEAD_BYTES - 4 && ((unsigned char)value[n] & 0xc0) == 0x80)
        n--;
    return n;
}

int facts_add_shortened(struct facts *f, const char *kind, const char *name, const char *value,
                        struct err *err)
{
    size_t len = strlen(value);
    if (len <= VALUE_BYTES)
        return facts_add(f, kind, name, value, err);
    static const char mark[] = " ... sha256:";
    uint8_t digest[SHA256_BYTES];
    sha256(value, len, digest);
    char text[HEAD_BYTES + sizeof(mark) + 2 * SHA256_BYTES];
    size_t n = head_length(value);
    memcpy(text, value, n);
    memcpy(text + n, mark, sizeof(mark));
    n += sizeof(mark) - 1;
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";
        text[n++] = digits[digest[i] >> 4];
        text[n++] = digits[digest[i] & 15];
    }
    text[n] = '\0';
    return facts_add(f, kind, name, text, err);
}

int facts_add_rows(struct facts *f, const struct pg_rows *rows, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pg_row_count(rows); i++) {
        const char *kind = pg_value(rows, i, 0), *name = pg_value(rows, i, 1);
        const char *value = pg_is_null(rows, i, 2) ? FACTS_UNKNOWN : pg_value(rows, i, 2);
        // what is said of the database itself is needed whole by a restore
        if (strcmp(kind, "database") == 0)
            rc = facts_add(f, kind, name, value, err);
        else
            rc = facts_add_shortened(f, kind, name, value, err);
    }
    return rc;
}
