#include "conf/conf.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "conf/table.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

// inih cuts names at 49 bytes and lines at ini_max_line without a word; what it would cut is refused before it sees it.
#define NAME_MAX_BYTES 49
#define LINE_MAX_BYTES 4096

struct parse {
    FILE *file;
    const char *path;
    struct conf *conf;
    char *line;
    size_t line_room;
    int line_number;
    bool failed;
    struct err error; // the first one
    bool *seen;       // by place in conf_keys
};

static int fail(struct parse *p)
{
    err_prefix(&p->error, "%s:%d", p->path, p->line_number);
    p->failed = true;
    return 0; // inih: 0 is an error
}

// inih tells of no section that has no keys, and ignores what follows a ']'.
static int check_section(const char *start, struct err *err)
{
    const char *end = strchr(start, ']');
    if (!end)
        return err_set(err, EINVAL, "a section's name ends in ']'");
    const char *rest = end + 1 + strspn(end + 1, " \t\r\n");
    if (*rest && *rest != '#' && *rest != ';')
        return err_set(err, EINVAL, "nothing may follow a section's ']'");
    char name[NAME_MAX_BYTES + 1];
    size_t len = (size_t)(end - start) - 1;
    if (len > NAME_MAX_BYTES)
        return err_set(err, EINVAL, "a section's name has at most %d bytes", NAME_MAX_BYTES);
    memcpy(name, start + 1, len);
    name[len] = '\0';
    return conf_section_check(name, err);
}

static int check_line(const char *line, size_t len, size_t room, struct err *err)
{
    if (strlen(line) != len)
        return err_set(err, EINVAL, "holds a zero byte");
    if (len + 1 > room)
        return err_set(err, EINVAL, "longer than %zu bytes", room - 1);
    const char *start = line + strspn(line, " \t\r\n\f\v");
    if (*start == '[')
        return check_section(start, err);
    if (*start == '\0' || *start == '#' || *start == ';')
        return 0;
    size_t name = strcspn(start, "=:");
    while (name > 0 && isspace((unsigned char)start[name - 1]))
        name--;
    if (name > NAME_MAX_BYTES)
        return err_set(err, EINVAL, "a key has at most %d bytes", NAME_MAX_BYTES);
    return 0;
}

// As fgets; ends the file after the first error.
static char *next_line(char *out, int room, void *stream)
{
    struct parse *p = stream;
    if (p->failed)
        return NULL;
    errno = 0;
    ssize_t len = getline(&p->line, &p->line_room, p->file);
    if (len < 0) {
        if (ferror(p->file)) {
            err_errno(&p->error, errno ? errno : EIO, "read %s", p->path);
            p->failed = true;
        }
        return NULL;
    }
    p->line_number++;
    const char *line = p->line;
    if (p->line_number == 1 && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    if (check_line(line, (size_t)len - (size_t)(line - p->line), (size_t)room, &p->error) != 0) {
        fail(p);
        return NULL;
    }
    memcpy(out, line, strlen(line) + 1);
    return out;
}

static int assign(const struct conf_key *key, const char *section, const char *name,
                  const char *value, struct conf *conf, struct err *err)
{
    if (key->type == CONF_LATER) // the names as given: the table has patterns
        return err_set(err, EOPNOTSUPP, "[%s] %s: not yet: %s; remove the line", section, name,
                       key->later);
    return conf_key_set(key, value, conf, err);
}

static int take_value(void *ctx, const char *section, const char *name, const char *value)
{
    struct parse *p = ctx;
    if (p->failed)
        return 0;
    if (!*section) {
        err_set(&p->error, EINVAL, "'%s' stands before the first [section]", name);
        return fail(p);
    }
    const struct conf_key *key = conf_key_find(section, name, &p->error);
    if (!key)
        return fail(p);
    if (key->option_only) {
        err_set(&p->error, EINVAL, "[%s] %s: belongs on the command line (%s), not in the file",
                section, name, key->help);
        return fail(p);
    }
    bool *seen = &p->seen[key - conf_keys];
    if (*seen) {
        err_set(&p->error, EINVAL, "[%s] %s: set twice; remove one of the lines", section, name);
        return fail(p);
    }
    *seen = true;
    if (assign(key, section, name, value, p->conf, &p->error) != 0)
        return fail(p);
    return 1;
}

static int parse_file(struct parse *p, struct err *err)
{
    // Debian builds inih with these as variables. They are the same for every call.
    ini_max_line = LINE_MAX_BYTES;
    ini_use_stack = true;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    int wrong = ini_parse_stream(next_line, p, take_value, p);
    // inih goes on behind a line that it cannot read.
    if (wrong > 0 && (!p->failed || wrong < p->line_number)) {
        p->line_number = wrong;
        err_set(&p->error, EINVAL, "neither [section] nor key = value");
        fail(p);
    }
    if (!p->failed && wrong < 0) {
        err_errno(&p->error, ENOMEM, "read %s", p->path);
        p->failed = true;
    }
    return p->failed ? err_copy(err, &p->error) : 0;
}

static int load_file(const char *path, bool must_exist, struct conf *conf, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        if (errno == ENOENT && !must_exist)
            return 0;
        return err_errno(err, errno, "read the configuration %s", path);
    }
    struct parse p = {.file = file, .path = path, .conf = conf};
    p.seen = calloc(conf_key_count, sizeof(*p.seen));
    int rc = p.seen ? parse_file(&p, err) : err_errno(err, ENOMEM, "read %s", path);
    free(p.seen);
    free(p.line);
    fclose(file);
    return rc;
}

// The environment comes before the file, as the AWS tools have it.
static int load_environment(struct conf *conf, struct err *err)
{
    static const struct {
        const char *section, *key, *variables[3];
    } from[] = {
        {"store", "endpoint", {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", NULL}},
        {"store", "region", {"AWS_REGION", "AWS_DEFAULT_REGION", NULL}},
        {"store", "ca_bundle", {"AWS_CA_BUNDLE", NULL}},
    };
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        for (const char *const *name = from[i].variables; *name; name++) {
            const char *value = getenv(*name);
            if (!value || !*value)
                continue;
            const struct conf_key *key = conf_key_find(from[i].section, from[i].key, err);
            assert(key);
            int rc = conf_key_set(key, value, conf, err);
            if (rc != 0) {
                err_prefix(err, "environment %s", *name);
                return rc;
            }
            break;
        }
    }
    return 0;
}

static int load_defaults(struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf_key_count; i++) {
        if (conf_keys[i].type == CONF_LATER)
            continue;
        int rc = conf_key_set(&conf_keys[i], conf_keys[i].fallback, conf, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

// NULL: nobody named one.
static const char *named_path(const char *path)
{
    if (!path)
        path = getenv("BAKFS_CONF");
    return path && *path ? path : NULL;
}

const char *conf_path(const char *path)
{
    const char *named = named_path(path);
    return named ? named : CONF_DEFAULT_PATH;
}

int conf_load(const char *path, struct conf **out, struct err *err)
{
    struct conf *conf = calloc(1, sizeof(*conf));
    if (!conf)
        return err_errno(err, ENOMEM, "read the configuration");
    int rc = load_defaults(conf, err);
    if (rc == 0)
        rc = load_file(conf_path(path), named_path(path) != NULL, conf, err);
    if (rc == 0)
        rc = load_environment(conf, err);
    if (rc != 0) {
        conf_free(conf);
        return rc;
    }
    *out = conf;
    return 0;
}

int conf_set(struct conf *conf, const char *assignment, struct err *err)
{
    const char *dot = strchr(assignment, '.'), *equals = strchr(assignment, '=');
    if (!dot || !equals || dot > equals || dot == assignment || equals == dot + 1)
        return err_set(err, EINVAL, "-o %s: not of the form section.key=value", assignment);
    auto_free char *section = strndup(assignment, (size_t)(dot - assignment));
    auto_free char *name = strndup(dot + 1, (size_t)(equals - dot) - 1);
    if (!section || !name)
        return err_errno(err, ENOMEM, "-o %s", assignment);
    struct err local;
    if (!err)
        err = &local;
    const struct conf_key *key = conf_key_find(section, name, err);
    if (!key)
        return err_prefix(err, "-o %.*s", (int)(equals - assignment), assignment);
    int rc = assign(key, section, name, equals + 1, conf, err);
    return rc == 0 ? 0 : err_prefix(err, "-o %.*s", (int)(equals - assignment), assignment);
}

int conf_check(const struct conf *conf, struct err *err)
{
    if (!*conf->store.url)
        return err_set(err, EINVAL,
                       "no store: set [store] url, or let bakfs init write a configuration");
    bool s3 = strncmp(conf->store.url, "s3://", 5) == 0;
    const char *at = conf->mount.point;
    if (!s3 && *at) {
        const char *dir = conf->store.url + strlen("dir:");
        size_t len = strlen(at);
        while (len > 1 && at[len - 1] == '/')
            len--;
        if (strncmp(dir, at, len) == 0 && (dir[len] == '\0' || dir[len] == '/'))
            return err_set(err, EINVAL,
                           "[store] url: the store %s lies below the mount point %s, which would "
                           "hide it; choose another directory",
                           dir, at);
    }
    if (conf->write.head_bytes % MIB != 0)
        return err_set(err, EINVAL, "[write] head: a whole number of MiB, as in 16M");
    if (!conf->mount.read_only && !*conf->seal.recipients)
        return err_set(
            err, EINVAL,
            "no recipients: set [seal] recipients to age1... or a file of them, or mount "
            "with -o ro");
    return 0;
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf_key_count; i++) {
        switch (conf_keys[i].type) {
        case CONF_TEXT:
        case CONF_PATH:
        case CONF_URL:
        case CONF_ENDPOINT:
        case CONF_RECIPIENTS:
            free(*(char **)(void *)((char *)conf + conf_keys[i].offset));
            break;
        case CONF_DURATION:
        case CONF_SIZE:
        case CONF_PERCENT:
        case CONF_COUNT:
        case CONF_WORKERS:
        case CONF_LEVEL:
        case CONF_BOOL:
        case CONF_CHOICE:
        case CONF_SWITCH:
        case CONF_UMASK:
        case CONF_UID:
        case CONF_GID:
        case CONF_LATER:
            break;
        }
    }
    free(conf);
}
