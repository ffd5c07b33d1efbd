// Sections and keys by their names, and what was meant instead.
#include "conf/table.h"

#include "backend/base/nearest.h"

#include <errno.h>
#include <string.h>

const char *conf_database_name(const char *section)
{
    size_t len = strlen(CONF_DATABASE_PREFIX);
    return strncmp(section, CONF_DATABASE_PREFIX, len) == 0 ? section + len : NULL;
}

bool conf_key_of_database(const struct conf_key *key)
{
    return strcmp(key->section, CONF_DATABASE_SECTION) == 0;
}

static bool section_is(const struct conf_key *key, const char *section)
{
    if (conf_key_of_database(key))
        return conf_database_name(section) != NULL;
    return strcmp(key->section, section) == 0;
}

static bool key_is(const char *pattern, const char *key)
{
    size_t len = strlen(pattern);
    if (len > 0 && pattern[len - 1] == '*')
        return strncmp(pattern, key, len - 1) == 0 && key[len - 1] != '\0';
    return strcmp(pattern, key) == 0;
}

int conf_section_check(const char *section, struct err *err)
{
    const char *nearest = "", *database = conf_database_name(section);
    if (database && !conf_name_is_good(database))
        return err_set(err, EINVAL,
                       "[%s]: '%s' is not a name of letters, digits, '.', '-' and '_', the first a "
                       "letter or digit",
                       section, database);
    unsigned best = 4; // further away is no help
    for (size_t i = 0; i < conf_key_count; i++) {
        if (section_is(&conf_keys[i], section))
            return 0;
        unsigned d = word_distance(conf_keys[i].section, section);
        if (d < best) {
            best = d;
            nearest = conf_keys[i].section;
        }
    }
    if (strcmp(section, "database") == 0)
        return err_set(err, EINVAL, "[database]: which one? write [database NAME]");
    if (*nearest)
        return err_set(err, EINVAL, "[%s]: no such section; did you mean [%s]?", section, nearest);
    return err_set(err, EINVAL,
                   "[%s]: no such section; there are [store] [seal] [mount] [write] [limits] "
                   "[protect] [notify] [restore] [database NAME]",
                   section);
}

const struct conf_key *conf_key_find(const char *section, const char *key, struct err *err)
{
    if (conf_section_check(section, err) != 0)
        return NULL;
    const struct conf_key *nearest = NULL, *elsewhere = NULL;
    unsigned best = 4;
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *k = &conf_keys[i];
        if (!section_is(k, section)) {
            if (!elsewhere && key_is(k->key, key))
                elsewhere = k;
            continue;
        }
        if (key_is(k->key, key))
            return k;
        unsigned d = word_distance(k->key, key);
        if (d < best) {
            best = d;
            nearest = k;
        }
    }
    if (nearest && (best <= 2 || !elsewhere))
        err_set(err, EINVAL, "[%s] %s: no such key; did you mean %s?", section, key, nearest->key);
    else if (elsewhere)
        err_set(err, EINVAL, "[%s] %s: no such key here; it belongs to [%s]", section, key,
                elsewhere->section);
    else
        err_set(err, EINVAL, "[%s] %s: no such key; the sample bakfs.conf shows all of them",
                section, key);
    return NULL;
}
