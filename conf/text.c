// Values that are texts: judged and stored as the table says.
#include "conf/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// SQL and commands may hold what would be a comment elsewhere.
static bool is_line(const struct conf_key *key)
{
    return key->type == CONF_LINE || key->type == CONF_CONNINFO || key->type == CONF_CHECKS;
}

// A password may stand in it, or it is one itself: no sentence repeats it.
static bool is_private(const struct conf_key *key)
{
    return is_line(key) || key->type == CONF_WEB || key->type == CONF_SMTP;
}

static int bad(const struct conf_key *key, const char *value, const char *wanted, struct err *err)
{
    if (is_private(key))
        return err_set(err, EINVAL, "[%s] %s: not %s", key->section, key->key, wanted);
    return err_set(err, EINVAL, "[%s] %s: '%.80s' is not %s", key->section, key->key, value,
                   wanted);
}

static int text_check(const struct conf_key *key, const char *value, struct err *err)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(err, EINVAL, "[%s] %s: holds a control character", key->section,
                           key->key);
    // Nothing is cut off silently, and nobody means a path with a comment in it.
    if (!is_line(key) && (strstr(value, " #") || strstr(value, " ;")))
        return err_set(err, EINVAL,
                       "[%s] %s: what follows looks like a comment; give the comment a line of its "
                       "own",
                       key->section, key->key);
    return 0;
}

static bool url_is_good(const char *value)
{
    if (strncmp(value, "dir:", 4) == 0)
        return value[4] == '/';
    if (strncmp(value, "s3://", 5) != 0)
        return false;
    const char *bucket = value + 5;
    size_t len = strcspn(bucket, "/");
    if (len < 3 || len > 63 || strpbrk(bucket, "?#"))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)bucket[i]) && !strchr(".-_", bucket[i]))
            return false;
    return true;
}

// What follows one of two schemes, or NULL.
static const char *after(const char *value, const char *one, const char *other)
{
    if (strncmp(value, one, strlen(one)) == 0)
        return value + strlen(one);
    return strncmp(value, other, strlen(other)) == 0 ? value + strlen(other) : NULL;
}

static bool endpoint_is_good(const char *value)
{
    const char *host = after(value, "https://", "http://");
    // Credentials in a URL end up in logs.
    return host && *host && *host != '/' && !strpbrk(host, "@?# ");
}

static bool smtp_is_good(const char *value)
{
    const char *host = after(value, "smtps://", "smtp://");
    return host && *host && !strpbrk(host, "/@?# ");
}

static bool web_is_good(const char *value)
{
    const char *host = after(value, "https://", "http://");
    if (!host || !*host || strchr("/?#", *host))
        return false;
    for (const char *p = host; *p; p++)
        if (!isgraph((unsigned char)*p))
            return false;
    return true;
}

bool conf_name_is_good(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > CONF_NAME_MAX_BYTES || !isalnum((unsigned char)*name))
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
            return false;
    // the tree has no directory of that name
    return len < 4 || strcmp(name + len - 4, ".zst") != 0;
}

// One address from `p`: what a mail server takes between < and >. "root" is one where a mail server is at home.
static const char *address_end(const char *p)
{
    const char *start = p;
    while (*p && *p != ',' && isgraph((unsigned char)*p) && !strchr("<>()[]\\\";:", *p))
        p++;
    return p > start && *start != '@' && p[-1] != '@' ? p : NULL;
}

static bool addresses_are_good(const char *value, bool several)
{
    for (const char *p = value;;) {
        p += strspn(p, " ");
        p = address_end(p);
        if (!p)
            return false;
        p += strspn(p, " ");
        if (*p == '\0')
            return true;
        if (*p != ',' || !several)
            return false;
        p++;
    }
}

// NULL: it is one.
static const char *what_it_is_not(const struct conf_key *key, const char *value)
{
    switch ((unsigned)key->type) { // the other types are no texts
    case CONF_PATH:
        return *value == '/' ? NULL : "an absolute path";
    case CONF_URL:
        return url_is_good(value) ? NULL : "dir:/path or s3://bucket[/prefix]";
    case CONF_ENDPOINT:
        return endpoint_is_good(value) ? NULL : "http://host[:port] or https://host[:port]";
    case CONF_RECIPIENTS:
        return *value == '/' || strncmp(value, "age1", 4) == 0
                   ? NULL
                   : "the absolute path of a file, or age1...,age1...";
    case CONF_NAME:
        return conf_name_is_good(value) ? NULL
                                        : "a name of letters, digits, '.', '-' and '_', the first "
                                          "a letter or digit";
    case CONF_SMTP:
        return smtp_is_good(value) ? NULL
                                   : "smtp://host[:port] or smtps://host[:port] (the user stands "
                                     "in user)";
    case CONF_WEB:
        return web_is_good(value) ? NULL : "an address http://... or https://...";
    case CONF_ADDRESS:
        return addresses_are_good(value, false) ? NULL : "a mail address as backup@example.com";
    case CONF_ADDRESSES:
        return addresses_are_good(value, true) ? NULL
                                               : "mail addresses as a@example.com, b@example.com";
    default:
        return NULL;
    }
}

static int text_is_good(const struct conf_key *key, const char *value, struct err *err)
{
    if (text_check(key, value, err) != 0)
        return -EINVAL;
    if (*value == '\0' && *key->fallback == '\0')
        return 0; // as if it was not there
    const char *wanted = what_it_is_not(key, value);
    return wanted ? bad(key, value, wanted, err) : 0;
}

int conf_text_set(const struct conf_key *key, const char *value, char **field, struct err *err)
{
    if (text_is_good(key, value, err) != 0)
        return -EINVAL;
    char *copy = strdup(value);
    if (!copy)
        return err_errno(err, ENOMEM, "[%s] %s", key->section, key->key);
    free(*field);
    *field = copy;
    return 0;
}

bool conf_type_is_text(enum conf_type type)
{
    switch (type) {
    case CONF_TEXT:
    case CONF_PATH:
    case CONF_URL:
    case CONF_ENDPOINT:
    case CONF_RECIPIENTS:
    case CONF_LINE:
    case CONF_CONNINFO:
    case CONF_NAME:
    case CONF_SMTP:
    case CONF_WEB:
    case CONF_ADDRESS:
    case CONF_ADDRESSES:
        return true;
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
    case CONF_CHECKS:
    case CONF_LATER:
        break;
    }
    return false;
}
