#include "conf/table.h"

#include "backend/base/nearest.h"
#include "backend/base/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct conf, field)
#define SECONDS(n) ((uint64_t)(n)*1000)
#define DAYS(n) (SECONDS(n) * 86400)

#define LATER(section_, key_, why)                                                                 \
    {                                                                                              \
        .section = (section_), .key = (key_), .type = CONF_LATER, .later = (why),                  \
        .offset = CONF_NOWHERE                                                                     \
    }

static const char no_put_options[] =
    "this version does not send this option to the store; set it as the bucket's default";
static const char no_identity_command[] =
    "this version reads identities from a file only ([seal] identity)";
static const char no_unsealed[] = "this version neither writes nor reads unsealed objects";
static const char no_bandwidth[] = "this version does not limit bandwidth";
static const char no_mail[] = "this version does not send mail";
static const char no_notify[] = "this version does not notify anybody";
static const char no_restore[] = "this version has no restore verb; read the file from the mount";
static const char no_backup[] =
    "this version has no backup verb; let pg_dump or cp write into the mount";
static const char no_prune[] = "this version has no prune verb";

const struct conf_key conf_keys[] = {
    {.section = "store",
     .key = "url",
     .type = CONF_URL,
     .fallback = "",
     .help = "Where the backups are: dir:/path, or s3://bucket or s3://bucket/prefix.",
     .offset = AT(store.url)},
    {.section = "store",
     .key = "endpoint",
     .type = CONF_ENDPOINT,
     .fallback = "",
     .help = "The S3 server when it is not AWS, as https://host or http://host:port.\n"
             "The environment's AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL comes first.",
     .offset = AT(store.endpoint)},
    {.section = "store",
     .key = "region",
     .type = CONF_TEXT,
     .fallback = "",
     .help = "The bucket's region. The environment's AWS_REGION or AWS_DEFAULT_REGION comes first.",
     .offset = AT(store.region)},
    {.section = "store",
     .key = "addressing",
     .type = CONF_CHOICE,
     .fallback = "auto",
     .choices = "auto|path|virtual",
     .help = "Where the bucket's name stands in requests: in the path or in the host name.",
     .offset = AT(store.addressing)},
    {.section = "store",
     .key = "ca_bundle",
     .type = CONF_PATH,
     .fallback = "",
     .help =
         "Certificates to trust instead of the system's. The environment's AWS_CA_BUNDLE comes\n"
         "first.",
     .offset = AT(store.ca_bundle)},
    {.section = "store",
     .key = "deadline",
     .type = CONF_DURATION,
     .fallback = "5m",
     .min = SECONDS(1),
     .max = DAYS(1),
     .help = "How long to try again without any progress before a call fails.",
     .offset = AT(store.deadline_ms)},
    {.section = "store",
     .key = "clock",
     .type = CONF_SWITCH,
     .fallback = "check",
     .choices = "check|ignore",
     .help = "check: refuse to write when this clock and the store's are five minutes apart.",
     .offset = AT(store.ignore_clock)},
    {.section = "store",
     .key = "profile",
     .type = CONF_TEXT,
     .fallback = "",
     .help =
         "Section of ~/.aws/credentials and ~/.aws/config with the keys to use. Without it the\n"
         "environment's AWS_ACCESS_KEY_ID comes first, then AWS_PROFILE, then [default].",
     .offset = AT(store.profile)},
    LATER("store", "prune_profile", no_prune),
    LATER("store", "storage_class", no_put_options),
    LATER("store", "sse", no_put_options),
    LATER("store", "sse_kms_key", no_put_options),
    LATER("store", "object_lock", no_put_options),
    LATER("store", "checksum", "this version does not choose between checksums"),

    {.section = "seal",
     .key = "mode",
     .type = CONF_CHOICE,
     .fallback = "age",
     .choices = "age",
     .refused = "none",
     .later = no_unsealed,
     .help = "age: every object is sealed for the recipients.",
     .offset = CONF_NOWHERE},
    {.section = "seal",
     .key = "recipients",
     .type = CONF_RECIPIENTS,
     .fallback = "",
     .help = "Who can open the backups: a file with one age1... a line, or age1...,age1...\n"
             "Needed for writing.",
     .offset = AT(seal.recipients)},
    {.section = "seal",
     .key = "identity",
     .type = CONF_PATH,
     .fallback = "",
     .help = "The file with this host's AGE-SECRET-KEY-1..., readable by its owner only.\n"
             "Without one this host can write and list backups, but not read them.",
     .offset = AT(seal.identity)},
    {.section = "seal",
     .key = "accept_unsealed",
     .type = CONF_CHOICE,
     .fallback = "no",
     .choices = "no",
     .refused = "yes",
     .later = no_unsealed,
     .help = "no: objects that are not sealed are not shown.",
     .offset = CONF_NOWHERE},
    LATER("seal", "identity_command", no_identity_command),

    {.section = "mount",
     .key = "point",
     .type = CONF_PATH,
     .fallback = "",
     .help = "The directory where the tree appears.",
     .offset = AT(mount.point)},
    {.section = "mount",
     .key = "refresh",
     .type = CONF_DURATION,
     .fallback = "5s",
     .max = DAYS(1),
     .help = "How long a listing is believed. What this mount does itself it knows at once.",
     .offset = AT(mount.refresh_ms)},
    {.section = "mount",
     .key = "uid",
     .type = CONF_UID,
     .fallback = "",
     .help = "Owner of all files: a name or number. Empty: who mounts.",
     .offset = AT(mount.uid)},
    {.section = "mount",
     .key = "gid",
     .type = CONF_GID,
     .fallback = "",
     .help = "Group of all files: a name or number. Empty: that of who mounts.",
     .offset = AT(mount.gid)},
    {.section = "mount",
     .key = "umask",
     .type = CONF_UMASK,
     .fallback = "077",
     .max = 0777,
     .help = "Permissions that nobody gets, octal.",
     .offset = AT(mount.umask)},
    {.section = "mount",
     .key = "allow_other",
     .type = CONF_BOOL,
     .fallback = "no",
     .help = "yes: other users than who mounts may use the tree, as owner, group and umask say.",
     .offset = AT(mount.allow_other)},
    {.section = "mount",
     .key = "state",
     .type = CONF_PATH,
     .fallback = "/var/lib/bakfs",
     .help = "Directory for the journal of uploads and the cache of headers.",
     .offset = AT(mount.state)},
    {.section = "mount",
     .key = "drain_deadline",
     .type = CONF_DURATION,
     .fallback = "10m",
     .max = DAYS(1),
     .help = "How long umount waits for files that are being written. Raise the unit's\n"
             "TimeoutStopSec with it.",
     .offset = AT(mount.drain_deadline_ms)},
    {.section = "mount",
     .key = "read_only",
     .type = CONF_BOOL,
     .fallback = "no",
     .option_only = true,
     .help = "-o ro",
     .offset = AT(mount.read_only)},

    {.section = "write",
     .key = "level",
     .type = CONF_LEVEL,
     .fallback = "3",
     .min = 1,
     .max = 19,
     .help = "How hard zstd tries: 1 is fast, 19 is slow.",
     .offset = AT(write.level)},
    {.section = "write",
     .key = "seek",
     .type = CONF_CHOICE,
     .fallback = "head",
     .choices = "head|spool|no",
     .help =
         "How far a writer may go back in a file that it opened for writing only. head: it may\n"
         "rewrite what lies in the head, the rest is sent while it is written. spool: anything,\n"
         "the whole file lies in the spool first. no: nowhere (pg_dump -Fc then leaves out the\n"
         "offsets of its table of contents).",
     .offset = AT(write.seek)},
    {.section = "write",
     .key = "head",
     .type = CONF_SIZE,
     .fallback = "16M",
     .min = 1 * MIB,
     .max = 1 * GIB,
     .help = "How much of a file's beginning is held back until its end is written.",
     .offset = AT(write.head_bytes)},
    {.section = "write",
     .key = "spool",
     .type = CONF_PATH,
     .fallback = "/var/tmp",
     .help = "Directory for what does not fit into memory (unlinked files).",
     .offset = AT(write.spool)},
    {.section = "write",
     .key = "spool_max",
     .type = CONF_SIZE,
     .fallback = "2G",
     .max = (uint64_t)1 << 50,
     .help = "The most that is put there.",
     .offset = AT(write.spool_max_bytes)},
    {.section = "write",
     .key = "spool_keep_free",
     .type = CONF_PERCENT,
     .fallback = "20%",
     .max = 100,
     .help = "How much of that file system always stays free.",
     .offset = AT(write.spool_keep_free_percent)},
    {.section = "write",
     .key = "publish_failed",
     .type = CONF_BOOL,
     .fallback = "no",
     .help = "yes: also store what a program wrote that was killed or ended with an error.",
     .offset = AT(write.publish_failed)},

    {.section = "limits",
     .key = "memory",
     .type = CONF_SIZE,
     .fallback = "256M",
     .min = 32 * MIB,
     .max = (uint64_t)1 << 40,
     .help = "Memory for all data in flight. The largest file follows from it.",
     .offset = AT(limits.memory_bytes)},
    {.section = "limits",
     .key = "uploads",
     .type = CONF_COUNT,
     .fallback = "8",
     .min = 1,
     .max = 256,
     .help = "Parts sent at a time.",
     .offset = AT(limits.uploads)},
    {.section = "limits",
     .key = "downloads",
     .type = CONF_COUNT,
     .fallback = "8",
     .min = 1,
     .max = 256,
     .help = "Ranges fetched at a time.",
     .offset = AT(limits.downloads)},
    {.section = "limits",
     .key = "workers",
     .type = CONF_WORKERS,
     .fallback = "0",
     .max = 256,
     .help = "Threads that compress and decompress. 0: as many as there are processors.",
     .offset = AT(limits.workers)},
    LATER("limits", "bandwidth", no_bandwidth),

    {.section = "protect",
     .key = "mode",
     .type = CONF_BOOL,
     .fallback = "on",
     .help = "on: a backup can be changed or removed through the mount only while it is young.",
     .offset = AT(protect.on)},
    {.section = "protect",
     .key = "grace",
     .type = CONF_DURATION,
     .fallback = "1h",
     .max = DAYS(3650),
     .help = "How long it is young, from its commit.",
     .offset = AT(protect.grace_ms)},

    LATER("notify", "smtp", no_mail),
    LATER("notify", "from", no_mail),
    LATER("notify", "to", no_mail),
    LATER("notify", "user", no_mail),
    LATER("notify", "password_file", no_mail),
    LATER("notify", "webhook", no_notify),
    LATER("notify", "command", no_notify),
    LATER("notify", "heartbeat", no_notify),
    LATER("notify", "on", no_notify),

    LATER("restore", "conninfo", no_restore),
    LATER("restore", "service", no_restore),
    LATER("restore", "drill_conninfo", no_restore),
    LATER("restore", "drill_service", no_restore),

    LATER("database NAME", "conninfo", no_backup),
    LATER("database NAME", "service", no_backup),
    LATER("database NAME", "host", no_backup),
    LATER("database NAME", "partition", no_backup),
    LATER("database NAME", "format", no_backup),
    LATER("database NAME", "jobs", no_backup),
    LATER("database NAME", "bindir", no_backup),
    LATER("database NAME", "dump_options", no_backup),
    LATER("database NAME", "counts", no_backup),
    LATER("database NAME", "every", no_backup),
    LATER("database NAME", "drill_every", no_backup),
    LATER("database NAME", "migration_query", no_backup),
    LATER("database NAME", "dump_command", no_backup),
    LATER("database NAME", "restore_command", no_backup),
    LATER("database NAME", "check.*", no_backup),
};

const size_t conf_key_count = sizeof(conf_keys) / sizeof(conf_keys[0]);

// --- Finding ---

static bool section_is(const char *pattern, const char *section)
{
    static const char prefix[] = "database ";
    if (strcmp(pattern, "database NAME") == 0)
        return strncmp(section, prefix, strlen(prefix)) == 0 && section[strlen(prefix)] != '\0';
    return strcmp(pattern, section) == 0;
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
    const char *nearest = "";
    unsigned best = 4; // further away is no help
    for (size_t i = 0; i < conf_key_count; i++) {
        if (section_is(conf_keys[i].section, section))
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
        if (!section_is(k->section, section)) {
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
