#include "conf/profile.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_BYTES                                                                                 \
    16384 // session tokens are long, and inih cuts lines at 200 bytes if it is not told

struct reading {
    const char *name;    // of the profile
    const char *section; // how the file at hand writes it
    struct profile found;
    bool seen;
    char later[64]; // the key of a way that is not there yet
};

static int keep_text(char **out, const char *value)
{
    char *copy = strdup(value);
    free(*out);
    *out = copy;
    return copy != NULL;
}

static int keep_secret(struct secret **out, const char *value)
{
    struct secret *copy = secret_new(value, strlen(value));
    secret_free(*out);
    *out = copy;
    return copy != NULL;
}

static int take_value(void *user, const char *section, const char *key, const char *value)
{
    static const char *const later[] = {"role_arn",    "source_profile", "credential_process",
                                        "sso_session", "sso_start_url",  "web_identity_token_file"};
    struct reading *r = user;
    if (strcmp(section, r->section) != 0)
        return 1;
    r->seen = true;
    if (strcmp(key, "aws_access_key_id") == 0)
        return keep_text(&r->found.access_key, value);
    if (strcmp(key, "aws_secret_access_key") == 0)
        return keep_secret(&r->found.secret_key, value);
    if (strcmp(key, "aws_session_token") == 0)
        return keep_secret(&r->found.session_token, value);
    if (strcmp(key, "region") == 0)
        return keep_text(&r->found.region, value);
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
        if (strcmp(key, later[i]) == 0)
            snprintf(r->later, sizeof(r->later), "%s", key);
    return 1;
}

// Where a file is: the environment's variable, else below the home directory. NULL: nowhere.
static char *file_path(const char *variable, const char *in_home)
{
    const char *given = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    if (given && *given)
        return strdup(given);
    if (!home || asprintf(&path, "%s/.aws/%s", home, in_home) < 0)
        return NULL;
    return path;
}

static int read_one(struct reading *r, const char *path, bool is_secret, struct err *err)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return !path || errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_errno(err, errno, "read %s", path);
    struct stat stat;
    int rc = 0;
    if (is_secret && fstat(fileno(file), &stat) == 0 && stat.st_mode & 077)
        rc = err_set(err, EACCES, "others can read the keys in %s: type: chmod 600 %s", path, path);
    int line = rc ? 0 : ini_parse_file(file, take_value, r);
    fclose(file);
    if (line)
        rc = line < 0
                 ? err_errno(err, ENOMEM, "read %s", path)
                 : err_set(err, EINVAL, "%s:%d: neither [section] nor key = value", path, line);
    return rc;
}

static int read_both(struct reading *r, struct err *err)
{
    ini_max_line = LINE_BYTES;
    auto_free char *credentials = file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    auto_free char *config = file_path("AWS_CONFIG_FILE", "config");
    auto_free char *section = NULL;
    if (asprintf(&section, "profile %s", r->name) < 0) {
        section = NULL;
        return err_errno(err, ENOMEM, "read the AWS profile");
    }
    // keys of the credentials file come before those of the config file: it is read last
    r->section = strcmp(r->name, "default") == 0 ? r->name : section;
    int rc = read_one(r, config, false, err);
    r->section = r->name;
    return rc ? rc : read_one(r, credentials, true, err);
}

int profile_load(const char *name, struct profile *out, struct err *err)
{
    const char *from_environment = getenv("AWS_PROFILE");
    if (!name || !*name)
        name = from_environment && *from_environment ? from_environment : "default";
    struct reading r = {.name = name};
    int rc = read_both(&r, err);
    bool has_keys = r.found.access_key && r.found.secret_key;
    if (!rc && !r.seen)
        rc = err_set(err, ENOENT, "no profile '%s' in the AWS credentials and config files", name);
    else if (!rc && !has_keys && *r.later)
        rc = err_set(err, EOPNOTSUPP,
                     "profile '%s' gets its keys by %s: not yet; give it aws_access_key_id and "
                     "aws_secret_access_key",
                     name, r.later);
    else if (!rc && !has_keys)
        rc = err_set(err, EACCES, "profile '%s' has no aws_access_key_id and aws_secret_access_key",
                     name);
    if (rc)
        profile_done(&r.found);
    else
        *out = r.found;
    return rc;
}

void profile_done(struct profile *p)
{
    free(p->access_key);
    free(p->region);
    secret_free(p->secret_key);
    secret_free(p->session_token);
    *p = (struct profile){0};
}
