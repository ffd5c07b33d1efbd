#include "conf/stores.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "conf/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS_MORE 32 // for headers, beside uploads and downloads

static int open_dir_store(const char *path, struct opened_store *out, struct err *err)
{
    out->dir_path = strdup(path);
    if (!out->dir_path)
        return err_errno(err, ENOMEM, "open the store");
    return store_dir_new(path, &out->store, err);
}

#define auto_profile __attribute__((cleanup(profile_done)))

// From the profile that was asked for; else the environment's keys, which the store finds itself; else the default one.
static int find_credentials(const struct conf *conf, struct profile *out, struct err *err)
{
    const char *key = getenv("AWS_ACCESS_KEY_ID");
    if (!*conf->store.profile && key && *key)
        return 0;
    int rc = profile_load(conf->store.profile, out, err);
    // neither: the store says what is missing
    return rc == -ENOENT && !*conf->store.profile ? 0 : rc;
}

static int open_s3_store(const struct conf *conf, const char *rest, struct opened_store *out,
                         struct err *err)
{
    auto_free char *bucket = strdup(rest);
    auto_free char *prefix = NULL;
    if (!bucket)
        return err_errno(err, ENOMEM, "open the store");
    char *slash = strchr(bucket, '/');
    if (slash) {
        *slash = '\0';
        size_t len = strlen(slash + 1);
        while (len > 0 && slash[len] == '/')
            len--;
        if (len > 0 && asprintf(&prefix, "%.*s/", (int)len, slash + 1) < 0) {
            prefix = NULL;
            return err_errno(err, ENOMEM, "open the store");
        }
    }
    out->prefix_len = prefix ? strlen(prefix) : 0;
    auto_profile struct profile profile = {0};
    int rc = find_credentials(conf, &profile, err);
    if (rc)
        return rc;
    struct store_s3_conf s3 = {
        .bucket = bucket,
        .prefix = prefix,
        .endpoint = conf->store.endpoint,
        .region = *conf->store.region ? conf->store.region : profile.region,
        .access_key = profile.access_key,
        .secret_key = profile.secret_key ? (const char *)profile.secret_key->bytes : NULL,
        .session_token = profile.session_token ? (const char *)profile.session_token->bytes : NULL,
        .ca_bundle = conf->store.ca_bundle,
        .addressing = conf->store.addressing == CONF_ADDRESSING_PATH      ? STORE_S3_PATH
                      : conf->store.addressing == CONF_ADDRESSING_VIRTUAL ? STORE_S3_VIRTUAL
                                                                          : STORE_S3_AUTO,
        .deadline_ms = (unsigned)min_u64(conf->store.deadline_ms, UINT32_MAX),
        .connections = conf->limits.uploads + conf->limits.downloads + CONNECTIONS_MORE,
        .ignore_clock = conf->store.ignore_clock,
    };
    return store_s3_new(&s3, &out->store, err);
}

static int open_any(const struct conf *conf, struct opened_store *out, struct err *err)
{
    const char *url = conf->store.url;
    if (strncmp(url, "dir:", 4) == 0 && url[4] == '/')
        return open_dir_store(url + 4, out, err);
    if (strncmp(url, "s3://", 5) == 0 && url[5] != '\0' && url[5] != '/')
        return open_s3_store(conf, url + 5, out, err);
    if (!*url)
        return err_set(err, EINVAL,
                       "no store: set [store] url, or type: bakfs mount s3://BUCKET DIR");
    return err_set(err, EINVAL, "'%s' is no store: dir:/PATH or s3://BUCKET[/PREFIX]", url);
}

int stores_open(const struct conf *conf, struct opened_store *out, struct err *err)
{
    struct opened_store opened = {.store = NULL};
    int rc = open_any(conf, &opened, err);
    if (rc) {
        free(opened.dir_path);
        return rc;
    }
    *out = opened;
    return 0;
}
