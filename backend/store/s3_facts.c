// How the bucket is set up, and how old an upload is. Who may only write backups may not ask for any of it.
#include "backend/store/s3_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FACTS_DEADLINE_MS 10000

static int ask(struct s3_store *s3, const char *what, struct s3_call *call, struct err *err)
{
    *call = (struct s3_call){.method = "GET", .deadline_ms = FACTS_DEADLINE_MS};
    if (s3->deadline_ms < FACTS_DEADLINE_MS)
        call->deadline_ms = s3->deadline_ms;
    s3_call_query(call, what, "");
    return s3_client_call(s3->client, call, err);
}

// What an answer that is no configuration says. 1: it has one.
static int judge(const struct s3_call *call, int result, enum store_fact *out)
{
    if (result == 0)
        return 1;
    if (call->response.status ==
        404) // NoSuchLifecycleConfiguration, ObjectLockConfigurationNotFoundError
        *out = STORE_FACT_NO;
    else if (result == -EACCES)
        *out = STORE_FACT_REFUSED;
    else if (result == -EOPNOTSUPP || call->response.status == 400)
        *out = STORE_FACT_NOT_OFFERED;
    else
        return result;
    return 0;
}

static const char *text_of(const struct s3_call *call)
{
    return call->response.text ? call->response.text : "";
}

static int ask_word(struct s3_store *s3, const char *what, const char *root, const char *name,
                    enum store_fact *out, struct err *err)
{
    struct s3_call call;
    int result = judge(&call, ask(s3, what, &call, err), out);
    if (result == 1) {
        char word[XML_WORD_BYTES] = "";
        result = xml_parse_word(text_of(&call), call.response.text_len, root, name, word, err);
        *out = strcmp(word, "Enabled") == 0 ? STORE_FACT_YES : STORE_FACT_NO;
    }
    s3_call_done(&call);
    return result;
}

static int ask_lifecycle(struct s3_store *s3, struct store_facts *out, struct err *err)
{
    struct s3_call call;
    int result = judge(&call, ask(s3, "lifecycle", &call, err), &out->abort_rule);
    if (result == 1) {
        result = xml_parse_abort_days(text_of(&call), call.response.text_len, s3->prefix,
                                      &out->abort_days, err);
        out->abort_rule = out->abort_days > 0 ? STORE_FACT_YES : STORE_FACT_NO;
    }
    s3_call_done(&call);
    return result;
}

int s3_facts(struct store *store, struct store_facts *out, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    struct store_facts facts = {0};
    struct err local = {0};
    int result = ask_lifecycle(s3, &facts, &local);
    if (result == 0)
        result = ask_word(s3, "versioning", "VersioningConfiguration", "Status", &facts.versioning,
                          &local);
    if (result == 0)
        result = ask_word(s3, "object-lock", "ObjectLockConfiguration", "ObjectLockEnabled",
                          &facts.lock, &local);
    if (result < 0) {
        err_prefix(&local, "the settings of bucket '%s'", s3->bucket);
        return err_copy(err, &local);
    }
    *out = facts;
    return 0;
}

static int parts_page(struct s3_store *s3, const char *full, const char *id, unsigned after,
                      struct xml_parts *out, struct err *err)
{
    char marker[16];
    snprintf(marker, sizeof(marker), "%u", after);
    struct s3_call call = {.method = "GET", .key = full};
    s3_call_query(&call, "uploadId", id);
    s3_call_query(&call, "max-parts", "1000");
    if (after > 0)
        s3_call_query(&call, "part-number-marker", marker);
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = xml_parse_parts(text_of(&call), call.response.text_len, out, err);
    s3_call_done(&call);
    return result;
}

int s3_upload_touched(struct store *store, const char *key, const char *id, struct timespec *out,
                      struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    struct timespec newest = {0};
    int result = s3_key(s3, key, full, &local);
    unsigned after = 0;
    do {
        struct xml_parts page = {0};
        if (result == 0)
            result = parts_page(s3, full, id, after, &page, &local);
        if (result == 0 && page.next != 0 && page.next <= after)
            result = err_set(&local, EUCLEAN, "the list of parts does not go on");
        if (page.newest.tv_sec > newest.tv_sec)
            newest = page.newest;
        after = page.next;
    } while (result == 0 && after != 0);
    if (result < 0) {
        err_prefix(&local, "list the parts of '%s'", key);
        return err_copy(err, &local);
    }
    *out = newest;
    return 0;
}
