// bakfs policy: the least that a writer, a reader or a pruner must be allowed in the bucket, as an IAM policy. Each list of
// actions is tried on a server (tests/integration/test_policy.py): it is enough, and without one of them something breaks.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "tools/cli.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define VERB "bakfs policy"

static const char help[] =
    "Usage: bakfs policy writer|reader|pruner [--host HOST] [--delete] [-c CONF]\n"
    "\n"
    "Prints the IAM policy, JSON, that allows the least that is needed in the bucket of [store]\n"
    "url, for a user or role of its own (aws iam put-user-policy).\n"
    "\n"
    "  writer    a host that makes backups: mount, backup, list, confirm. It may read objects,\n"
    "            since sizes and times stand in their headers; they are sealed, and without an\n"
    "            identity nothing in them can be read. It may not remove any, nor an older\n"
    "            version; but where the bucket keeps no versions, what may be put may also be\n"
    "            put over an older object: versions or an object lock keep that one.\n"
    "            A host that verifies is a writer too: it leaves VERIFIED beside the backup.\n"
    "  reader    restore on another host: mount -o ro\n"
    "  pruner    bakfs prune: versions, locks, removing for good\n"
    "\n"
    "  --host HOST   for the backups of this HOST alone. Names of others can still be listed.\n"
    "  --delete      writer: mv and rm within [protect] grace too, which pg_basebackup -Fp and\n"
    "                rsync need\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "Example:\n"
    "  bakfs policy writer --host db1.example.com > writer.json\n";

// On the bucket or on objects in it; `names`: which of them, below PREFIX.
struct statement {
    const char *sid;
    bool on_bucket;
    bool by_prefix; // on_bucket: only listings below what is allowed
    bool trial;     // objects: what mount tries is among them
    const char *const *actions;
};

#define ACTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

// s3:ListMultipartUploadParts: an upload is aborted, and looked for until it is gone. s3:ListBucketMultipartUploads: what a
// daemon that was killed began is found again, and aborted.
static const struct statement writer[] = {
    {"List", true, true, false, ACTIONS("s3:ListBucket")},
    {"ListUploads", true, false, false, ACTIONS("s3:ListBucketMultipartUploads")},
    {"Write", false, false, true,
     ACTIONS("s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload",
             "s3:ListMultipartUploadParts")},
    {NULL, false, false, false, NULL},
};
static const struct statement mend[] = {
    {"Mend", false, false, false, ACTIONS("s3:DeleteObject")},
    {NULL, false, false, false, NULL},
};
static const struct statement reader[] = {
    {"List", true, true, false, ACTIONS("s3:ListBucket")},
    {"Read", false, false, false, ACTIONS("s3:GetObject")},
    {NULL, false, false, false, NULL},
};
// s3:GetObject: whether a dump that was copied in stops short stands in its header.
static const struct statement pruner[] = {
    {"List", true, true, false, ACTIONS("s3:ListBucket", "s3:ListBucketVersions")},
    {"AskLock", true, false, false, ACTIONS("s3:GetBucketObjectLockConfiguration")},
    {"Prune", false, false, false,
     ACTIONS("s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectLegalHold",
             "s3:DeleteObjectVersion")},
    {NULL, false, false, false, NULL},
};

static const struct role {
    const char *name;
    const struct statement *statements;
} roles[] = {{"writer", writer}, {"reader", reader}, {"pruner", pruner}};

struct place {
    char *bucket, *prefix; // prefix: "" or with its '/'
    const char *host;      // NULL: all
};

// --- JSON: what cannot be allocated makes `ok` false, and nothing is printed ---

static struct json_object *text(bool *ok, const char *a, const char *b, const char *c,
                                const char *d)
{
    char *joined = NULL;
    if (asprintf(&joined, "%s%s%s%s", a, b, c, d) < 0) {
        *ok = false;
        return NULL;
    }
    struct json_object *out = json_object_new_string(joined);
    free(joined);
    *ok = *ok && out;
    return out;
}

static void put(bool *ok, struct json_object *to, const char *key, struct json_object *value)
{
    if (!value || !to || json_object_object_add(to, key, value) != 0) {
        *ok = false;
        json_object_put(value);
    }
}

static void append(bool *ok, struct json_object *to, struct json_object *value)
{
    if (!value || !to || json_object_array_add(to, value) != 0) {
        *ok = false;
        json_object_put(value);
    }
}

static struct json_object *objects(bool *ok, const struct place *at, bool trial)
{
    struct json_object *list = json_object_new_array();
    const char *host = at->host ? at->host : "";
    char *arn = NULL;
    if (asprintf(&arn, "arn:aws:s3:::%s/", at->bucket) < 0) {
        *ok = false;
        return list;
    }
    append(ok, list, text(ok, arn, at->prefix, host, at->host ? "/*" : "*"));
    // mount begins an upload of such a name, and aborts it
    if (trial && at->host)
        append(ok, list, text(ok, arn, at->prefix, ".bakfs-check-", "*"));
    free(arn);
    return list;
}

// The root is listed too, to see the bucket and the HOSTs.
static struct json_object *below(bool *ok, const struct place *at)
{
    struct json_object *condition = json_object_new_object(), *like = json_object_new_object();
    struct json_object *list = json_object_new_array();
    if (at->host) {
        append(ok, list, text(ok, at->prefix, "", "", ""));
        append(ok, list, text(ok, at->prefix, at->host, "/*", ""));
    } else {
        append(ok, list, text(ok, at->prefix, "*", "", ""));
    }
    put(ok, like, "s3:prefix", list);
    put(ok, condition, "StringLike", like);
    return condition;
}

static struct json_object *make_statement(bool *ok, const struct statement *s,
                                          const struct place *at)
{
    struct json_object *out = json_object_new_object(), *actions = json_object_new_array();
    put(ok, out, "Sid", text(ok, s->sid, "", "", ""));
    put(ok, out, "Effect", text(ok, "Allow", "", "", ""));
    for (const char *const *action = s->actions; *action; action++)
        append(ok, actions, text(ok, *action, "", "", ""));
    put(ok, out, "Action", actions);
    put(ok, out, "Resource",
        s->on_bucket ? text(ok, "arn:aws:s3:::", at->bucket, "", "") : objects(ok, at, s->trial));
    if (s->by_prefix && (*at->prefix || at->host))
        put(ok, out, "Condition", below(ok, at));
    return out;
}

static int print(const struct role *role, bool with_delete, const struct place *at, struct err *err)
{
    bool ok = true;
    struct json_object *policy = json_object_new_object(), *list = json_object_new_array();
    for (const struct statement *s = role->statements; s->sid; s++)
        append(&ok, list, make_statement(&ok, s, at));
    for (const struct statement *s = mend; with_delete && s->sid; s++)
        append(&ok, list, make_statement(&ok, s, at));
    put(&ok, policy, "Version", text(&ok, "2012-10-17", "", "", ""));
    put(&ok, policy, "Statement", list);
    const char *said = ok ? json_object_to_json_string_ext(
                                policy, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                            JSON_C_TO_STRING_NOSLASHESCAPE)
                          : NULL;
    if (said)
        puts(said);
    json_object_put(policy);
    return said ? 0 : err_set(err, ENOMEM, "no memory for the policy");
}

// --- The command line ---

// A '*' or '?' would be a pattern, and "${" a variable: the policy would allow more than was meant.
static int check_plain(const char *what, const char *text, struct err *err)
{
    if (strpbrk(text, "*?") || strstr(text, "${"))
        return err_set(err, EINVAL,
                       "the %s '%s' has a *, ? or ${ in it: a policy would read it as "
                       "a pattern",
                       what, text);
    return 0;
}

static int find_place(const struct conf *conf, struct place *out, struct err *err)
{
    const char *url = conf->store.url;
    if (strncmp(url, "s3://", 5) != 0)
        return err_set(err, EINVAL,
                       "%s%s%s: only a bucket has a policy; of a directory it is the permissions "
                       "of the file system",
                       *url ? "'" : "[store] url is not set", url, *url ? "'" : "");
    const char *slash = strchrnul(url + 5, '/');
    const char *prefix = *slash ? slash + 1 : slash;
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/')
        len--;
    out->bucket = strndup(url + 5, (size_t)(slash - url) - 5);
    if (asprintf(&out->prefix, "%.*s%s", (int)len, prefix, len ? "/" : "") < 0)
        out->prefix = NULL;
    if (!out->bucket || !out->prefix)
        return err_set(err, ENOMEM, "no memory for the policy");
    int rc = check_plain("PREFIX", out->prefix, err);
    return rc || !out->host ? rc : check_plain("HOST", out->host, err);
}

static int policy(const char *conf_path, const struct role *role, bool with_delete,
                  const char *host)
{
    struct conf *conf = NULL;
    struct place at = {.host = host};
    struct err err = {0};
    int rc = conf_load(conf_path, &conf, &err);
    if (rc == 0)
        rc = find_place(conf, &at, &err);
    if (rc == 0)
        rc = print(role, with_delete, &at, &err);
    free(at.bucket);
    free(at.prefix);
    conf_free(conf);
    return rc ? cli_fail(VERB, &err, NULL) : CLI_DONE;
}

static const struct role *find_role(const char *name)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(roles[i].name, name) == 0)
            return &roles[i];
    return NULL;
}

int verb_policy(int argc, char **argv)
{
    static const struct option options[] = {{"host", required_argument, NULL, 'H'},
                                            {"delete", no_argument, NULL, 'd'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *conf_path = NULL, *host = NULL;
    bool with_delete = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 'H')
            host = optarg;
        else if (c == 'd')
            with_delete = true;
        else
            return cli_usage(VERB, "wrong usage");
    }
    const struct role *role = optind + 1 == argc ? find_role(argv[optind]) : NULL;
    if (!role)
        return cli_usage(VERB, "whose? writer, reader or pruner");
    if (host && (!*host || strchr(host, '/')))
        return cli_usage(VERB, "HOST is a name, not a path");
    if (with_delete && role->statements != writer)
        return cli_usage(VERB, "--delete is for a writer");
    return cli_finish(VERB, policy(conf_path, role, with_delete, host));
}
