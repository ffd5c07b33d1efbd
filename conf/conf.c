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
#include <sys/stat.h>

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
    size_t seen_rows;
    bool failed;
    struct err error; // the first one
    bool *
        seen; // rows by section: all but the databases, then one for each of them; by place in conf_keys
};

static int fail(struct parse *p)
{
    err_prefix(&p->error, "%s:%d", p->path, p->line_number);
    p->failed = true;
    return 0; // inih: 0 is an error
}

// inih tells of no section that has no keys, and ignores what follows a ']'.
static int check_section(struct parse *p, const char *start, struct err *err)
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
    int rc = conf_section_check(name, err);
    const char *database = conf_database_name(name);
    size_t place;
    return rc == 0 && database ? conf_database_get(p->conf, database, &place, err) : rc;
}

static int check_line(struct parse *p, const char *line, size_t len, size_t room, struct err *err)
{
    if (strlen(line) != len)
        return err_set(err, EINVAL, "holds a zero byte");
    if (len + 1 > room)
        return err_set(err, EINVAL, "longer than %zu bytes", room - 1);
    const char *start = line + strspn(line, " \t\r\n\f\v");
    if (*start == '[')
        return check_section(p, start, err);
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
    if (check_line(p, line, (size_t)len - (size_t)(line - p->line), (size_t)room, &p->error) != 0) {
        fail(p);
        return NULL;
    }
    memcpy(out, line, strlen(line) + 1);
    return out;
}

static int assign(const struct conf_key *key, const char *section, const char *name,
                  const char *value, void *base, struct err *err)
{
    if (key->type == CONF_LATER)
        return err_set(err, EOPNOTSUPP, "[%s] %s: not yet: %s; remove the line", section, name,
                       key->later);
    struct conf_key named = *key;
    named.section = section; // the table has patterns
    return conf_key_set(&named, value, base, err);
}

// The row of a section is new and empty where the section is.
static int grow_seen(struct parse *p, struct err *err)
{
    size_t rows = 1 + p->conf->database_count;
    if (rows <= p->seen_rows)
        return 0;
    bool *grown = reallocarray(p->seen, rows * conf_key_count, sizeof(*grown));
    if (!grown)
        return err_errno(err, ENOMEM, "read %s", p->path);
    memset(grown + p->seen_rows * conf_key_count, 0, (rows - p->seen_rows) * conf_key_count);
    p->seen = grown;
    p->seen_rows = rows;
    return 0;
}

static int take_known(struct parse *p, const struct conf_key *key, const char *section,
                      const char *name, const char *value)
{
    const char *database = conf_database_name(section);
    size_t place = 0;
    int rc = database ? conf_database_get(p->conf, database, &place, &p->error) : 0;
    if (rc == 0)
        rc = grow_seen(p, &p->error);
    if (rc != 0)
        return rc;
    if (key->type == CONF_CHECKS) // each has a name of its own
        return conf_check_add(&p->conf->databases[place], name, value, &p->error);
    bool *seen = &p->seen[(database ? place + 1 : 0) * conf_key_count + (size_t)(key - conf_keys)];
    if (*seen)
        return err_set(&p->error, EINVAL, "[%s] %s: set twice; remove one of the lines", section,
                       name);
    *seen = true;
    void *base = database ? (void *)&p->conf->databases[place] : p->conf;
    return assign(key, section, name, value, base, &p->error);
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
    return take_known(p, key, section, name, value) == 0 ? 1 : fail(p);
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
    int rc = parse_file(&p, err);
    free(p.seen);
    struct stat st;
    if (rc == 0 && fstat(fileno(file), &st) != 0)
        rc = err_errno(err, errno, "read the configuration %s", path);
    if (rc == 0 && conf_judge_sections(conf, (st.st_mode & 077) == 0, err) != 0)
        rc = err_prefix(err, "%s", path);
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
    int rc = conf_defaults(false, conf, err);
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
    if (conf_key_of_database(key))
        return err_set(err, EINVAL, "-o %.*s: belongs in the configuration file",
                       (int)(equals - assignment), assignment);
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
    conf_fields_free(false, conf);
    conf_databases_free(conf);
    free(conf);
}
