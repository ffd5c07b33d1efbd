// One value: judged and stored as the table says.
#include "conf/table.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_BYTES 160

// Decimal digits at the start of *p, which is moved behind them.
static bool take_digits(const char **p, uint64_t *out)
{
    uint64_t n = 0;
    const char *s = *p;
    if (!isdigit((unsigned char)*s))
        return false;
    for (; isdigit((unsigned char)*s); s++) {
        if (!mul_u64(n, 10, &n) || !add_u64(n, (uint64_t)(*s - '0'), &n))
            return false;
    }
    *p = s;
    *out = n;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool take_amount(const char *value, const struct unit *units, uint64_t *out)
{
    uint64_t n = 0;
    if (!take_digits(&value, &n))
        return false;
    if (n == 0 && *value == '\0') {
        *out = 0;
        return true;
    }
    for (const struct unit *u = units; u->name; u++)
        if (strcmp(u->name, value) == 0)
            return mul_u64(n, u->factor, out);
    return false;
}

static const struct unit durations[] = {{"ms", 1},         {"s", 1000},       {"m", 60000},
                                        {"h", 60 * 60000}, {"d", 86400000UL}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},    {"K", KIB},        {"M", MIB},
                                    {"G", GIB}, {"T", 1024 * GIB}, {NULL, 0}};

// The largest unit that says it exactly, for the limits in sentences.
static void amount_text(uint64_t n, const struct unit *units, char *out, size_t room)
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->name; u++)
        if (n != 0 && n % u->factor == 0)
            best = u;
    snprintf(out, room, "%llu%s", (unsigned long long)(n / best->factor), n ? best->name : "");
}

static int bad(const struct conf_key *key, const char *value, const char *wanted, struct err *err)
{
    return err_set(err, EINVAL, "[%s] %s: '%.80s' is not %s", key->section, key->key, value,
                   wanted);
}

static int set_amount(const struct conf_key *key, const char *value, const struct unit *units,
                      const char *wanted, uint64_t *out, struct err *err)
{
    if (!take_amount(value, units, out))
        return bad(key, value, wanted, err);
    if (*out < key->min || *out > key->max) {
        char low[32], high[32];
        amount_text(key->min, units, low, sizeof(low));
        amount_text(key->max, units, high, sizeof(high));
        return err_set(err, EINVAL, "[%s] %s: '%.80s' is not between %s and %s", key->section,
                       key->key, value, low, high);
    }
    return 0;
}

static int set_number(const struct conf_key *key, const char *value, const char *suffix,
                      uint64_t *out, struct err *err)
{
    const char *p = value;
    if (take_digits(&p, out) && (*p == '\0' || strcmp(p, suffix) == 0) && *out >= key->min &&
        *out <= key->max)
        return 0;
    return err_set(err, EINVAL, "[%s] %s: '%.80s' is not a number from %llu to %llu%s",
                   key->section, key->key, value, (unsigned long long)key->min,
                   (unsigned long long)key->max, suffix);
}

// The place of `value` in "a|b|c", or -1.
static int choice_index(const char *choices, const char *value)
{
    size_t len = strlen(value);
    int index = 0;
    for (const char *p = choices; p; index++) {
        const char *end = strchr(p, '|');
        size_t have = end ? (size_t)(end - p) : strlen(p);
        if (have == len && memcmp(p, value, len) == 0)
            return index;
        p = end ? end + 1 : NULL;
    }
    return -1;
}

static int set_choice(const struct conf_key *key, const char *value, unsigned *out, struct err *err)
{
    int index = choice_index(key->choices, value);
    if (index >= 0) {
        *out = (unsigned)index;
        return 0;
    }
    if (key->refused && choice_index(key->refused, value) >= 0)
        return err_set(err, EOPNOTSUPP, "[%s] %s = %s: not yet: %s", key->section, key->key, value,
                       key->later);
    char wanted[WORDS_BYTES];
    snprintf(wanted, sizeof(wanted), "one of %s%s%s", key->choices, key->refused ? "|" : "",
             key->refused ? key->refused : "");
    return bad(key, value, wanted, err);
}

static int set_bool(const struct conf_key *key, const char *value, bool *out, struct err *err)
{
    if (choice_index("yes|on|true", value) >= 0)
        *out = true;
    else if (choice_index("no|off|false", value) >= 0)
        *out = false;
    else
        return bad(key, value, "yes or no", err);
    return 0;
}

static int set_umask(const struct conf_key *key, const char *value, mode_t *out, struct err *err)
{
    size_t len = strlen(value);
    if (len < 1 || len > 4 || strspn(value, "01234567") != len)
        return bad(key, value, "an octal number as 077", err);
    unsigned long n = strtoul(value, NULL, 8);
    if (n > key->max)
        return bad(key, value, "an octal number from 0 to 0777", err);
    *out = (mode_t)n;
    return 0;
}

static int user_id(const char *name, uint64_t *out)
{
    char room[4096];
    struct passwd entry, *found = NULL;
    if (getpwnam_r(name, &entry, room, sizeof(room), &found) != 0 || !found)
        return -ENOENT;
    *out = found->pw_uid;
    return 0;
}

static int group_id(const char *name, uint64_t *out)
{
    char room[16384];
    struct group entry, *found = NULL;
    if (getgrnam_r(name, &entry, room, sizeof(room), &found) != 0 || !found)
        return -ENOENT;
    *out = found->gr_gid;
    return 0;
}

static int set_owner(const struct conf_key *key, const char *value, uint32_t *out, struct err *err)
{
    bool user = key->type == CONF_UID;
    uint64_t n = user ? geteuid() : getegid();
    const char *p = value;
    if (*value && !(take_digits(&p, &n) && *p == '\0') &&
        (user ? user_id(value, &n) : group_id(value, &n)) != 0)
        return bad(key, value, user ? "a user of this host" : "a group of this host", err);
    if (n >= UINT32_MAX) // (uid_t)-1 means "none" to the kernel
        return bad(key, value, user ? "a user number" : "a group number", err);
    *out = (uint32_t)n;
    return 0;
}

// --- All of them ---

static void *field_of(const struct conf_key *key, void *base)
{
    return (char *)base + key->offset;
}

static int store_u64(const struct conf_key *key, const char *value, void *base, struct err *err)
{
    bool size = key->type == CONF_SIZE;
    uint64_t n = 0;
    int rc = set_amount(
        key, value, size ? sizes : durations,
        size ? "a size as 512K, 64M or 2G" : "a duration as 500ms, 5s, 10m, 1h or 1d", &n, err);
    if (rc == 0)
        memcpy(field_of(key, base), &n, sizeof(n));
    return rc;
}

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static int store_unsigned(const struct conf_key *key, const char *value, void *base,
                          struct err *err)
{
    uint64_t n = 0;
    int rc = set_number(key, value, key->type == CONF_PERCENT ? "%" : "", &n, err);
    if (rc != 0)
        return rc;
    unsigned u = key->type == CONF_WORKERS && n == 0 ? processors() : (unsigned)n;
    memcpy(field_of(key, base), &u, sizeof(u)); // an int of CONF_LEVEL has the same bytes
    return 0;
}

static int store_choice(const struct conf_key *key, const char *value, void *base, struct err *err)
{
    unsigned index = 0;
    int rc = set_choice(key, value, &index, err);
    if (rc != 0 || key->offset == CONF_NOWHERE)
        return rc;
    if (key->type == CONF_SWITCH)
        *(bool *)field_of(key, base) = index == 1;
    else
        memcpy(field_of(key, base), &index, sizeof(index));
    return 0;
}

int conf_key_set(const struct conf_key *key, const char *value, void *base, struct err *err)
{
    static_assert(sizeof(((struct conf *)base)->store.addressing) == sizeof(unsigned),
                  "as store_choice writes it");
    static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t), "");
    switch (key->type) {
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
        return conf_text_set(key, value, field_of(key, base), err);
    case CONF_DURATION:
    case CONF_SIZE:
        return store_u64(key, value, base, err);
    case CONF_PERCENT:
    case CONF_COUNT:
    case CONF_WORKERS:
    case CONF_LEVEL:
        return store_unsigned(key, value, base, err);
    case CONF_BOOL:
        return set_bool(key, value, field_of(key, base), err);
    case CONF_CHOICE:
    case CONF_SWITCH:
        return store_choice(key, value, base, err);
    case CONF_UMASK:
        return set_umask(key, value, field_of(key, base), err);
    case CONF_UID:
    case CONF_GID:
        return set_owner(key, value, field_of(key, base), err);
    case CONF_CHECKS: // has a name of its own: conf_check_add
    case CONF_LATER:
        break;
    }
    return err_set(err, EOPNOTSUPP, "[%s] %s: not yet: %s", key->section, key->key, key->later);
}

int conf_defaults(bool of_database, void *base, struct err *err)
{
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (key->type == CONF_LATER || key->type == CONF_CHECKS ||
            conf_key_of_database(key) != of_database)
            continue;
        int rc = conf_key_set(key, key->fallback, base, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void conf_fields_free(bool of_database, void *base)
{
    for (size_t i = 0; i < conf_key_count; i++)
        if (conf_type_is_text(conf_keys[i].type) &&
            conf_key_of_database(&conf_keys[i]) == of_database)
            free(*(char **)field_of(&conf_keys[i], base));
}
