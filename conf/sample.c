// The sample configuration is the table, written out.
#include "conf/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const intro =
    "# Configuration of bakfs: /etc/bakfs/bakfs.conf, or what -c or $BAKFS_CONF names.\n"
    "#\n"
    "# A line that begins with '#' and a letter shows a key with its default: remove the '#' to\n"
    "# change it. Comments stand on lines of their own. Unknown keys and bad values are errors.\n"
    "# Sizes: 512K 64M 2G. Durations: 500ms 5s 10m 1h 1d.\n"
    "# The command line (-o section.key=value) comes before the environment, that before this "
    "file.\n";

// The databases are shown by one.
#define SHOWN_DATABASE CONF_DATABASE_PREFIX "orders"

static const char *shown_section(const char *section)
{
    return strcmp(section, CONF_DATABASE_SECTION) == 0 ? SHOWN_DATABASE : section;
}

static const char *given(const struct conf_key *key, const struct conf_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(values[i].section, shown_section(key->section)) == 0 &&
            strcmp(values[i].key, key->key) == 0)
            return values[i].value;
    return NULL;
}

static void write_key(FILE *out, const struct conf_key *key, const char *value)
{
    fputs("\n", out);
    for (const char *line = key->help; line;) {
        const char *end = strchr(line, '\n');
        fprintf(out, "# %.*s\n", (int)(end ? end - line : (long)strlen(line)), line);
        line = end ? end + 1 : NULL;
    }
    if (key->example) {
        fprintf(out, "#%s\n", key->example);
        return;
    }
    const char *shown = value ? value : key->fallback;
    fprintf(out, "%s%s =%s%s\n", value ? "" : "#", key->key, *shown ? " " : "", shown);
}

// The keys of a section that are known and refused.
static void write_later(FILE *out, const char *section)
{
    size_t column = 0;
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (strcmp(key->section, section) != 0 || key->type != CONF_LATER)
            continue;
        if (column == 0)
            column = (size_t)fprintf(out, "\n# Not yet: ") - 1;
        else if (column + strlen(key->key) > 90)
            column = (size_t)fprintf(out, ",\n#   ") - 2;
        else
            column += (size_t)fprintf(out, ", ");
        column += (size_t)fprintf(out, "%s", key->key);
    }
    if (column > 0)
        fputs("\n", out);
}

static void write_section(FILE *out, const char *section, const struct conf_value *values,
                          size_t count)
{
    section = shown_section(section);
    if (strcmp(section, SHOWN_DATABASE) != 0) {
        fprintf(out, "\n[%s]\n", section);
        return;
    }
    bool used = false;
    for (size_t i = 0; i < count; i++)
        used = used || strcmp(values[i].section, section) == 0;
    fprintf(out,
            "\n# What bakfs backup NAME dumps: a section for each, with a name of your choice "
            "(letters,\n"
            "# digits, '.', '-', '_'). Remove the '#' of the section's line, too.\n"
            "%s[%s]\n",
            used ? "" : "#", section);
}

int conf_write(FILE *out, const struct conf_value *values, size_t count, struct err *err)
{
    fputs(intro, out);
    const char *section = "";
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (strcmp(section, key->section) != 0) {
            if (*section)
                write_later(out, section);
            section = key->section;
            write_section(out, section, values, count);
        }
        if (key->type != CONF_LATER && !key->option_only)
            write_key(out, key, given(key, values, count));
    }
    write_later(out, section);
    if (fflush(out) != 0 || ferror(out))
        return err_errno(err, errno ? errno : EIO, "write the configuration");
    return 0;
}
