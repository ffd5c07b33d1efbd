// The store as a whole: is it there, may it be written, what does it keep.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "backend/store/probe.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CLOCK_NOTE_MS 30000
#define CLOCK_PROBLEM_MS 300000

void doctor_reach(struct doctor *d)
{
    struct err err;
    int rc = stores_open(d->conf, &d->opened, &err);
    if (rc == 0)
        rc = d->opened.store->ops->check(d->opened.store, false, &err);
    if (rc != 0) {
        doctor_tell(d, DOCTOR_PROBLEM, "nothing of it could be looked at", NULL, "the store: %s",
                    err.text);
        return;
    }
    d->store = d->opened.store;
    d->now = d->store->ops->now(d->store);
    doctor_tell(d, DOCTOR_OK, NULL, NULL, "%s", d->store->id);
}

static int64_t clock_apart_ms(const struct doctor *d)
{
    int64_t offset = d->store->ops->clock_offset_ms(d->store);
    return offset < 0 ? -offset : offset;
}

void doctor_clock(struct doctor *d)
{
    if (!d->store)
        return;
    int64_t offset = d->store->ops->clock_offset_ms(d->store), apart = clock_apart_ms(d);
    const char *why = apart > CLOCK_PROBLEM_MS
                          ? "above 5 minutes nothing can be written (unless clock = ignore)"
                          : "above 5 minutes nothing could be written";
    if (apart > CLOCK_NOTE_MS)
        doctor_tell(d, apart > CLOCK_PROBLEM_MS ? DOCTOR_PROBLEM : DOCTOR_NOTE, why,
                    "timedatectl set-ntp true", "this host's clock is %" PRId64 " s %s the store's",
                    apart / 1000, offset > 0 ? "behind" : "ahead of");
    else
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "clock: %" PRId64 " ms apart", apart);
}

// A directory's own trial would remove old files, which is for --fix.
static int try_write(struct doctor *d, struct err *err)
{
    if (!d->opened.dir_path)
        return d->store->ops->check(d->store, true, err);
    if (access(d->opened.dir_path, W_OK | X_OK) != 0)
        return err_errno(err, errno, "write to %s", d->opened.dir_path);
    return 0;
}

void doctor_write(struct doctor *d)
{
    if (!d->store || doctor_read_only(d) ||
        (clock_apart_ms(d) > CLOCK_PROBLEM_MS && !d->conf->store.ignore_clock))
        return; // that is told already
    struct err err;
    if (try_write(d, &err) == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "it can be written");
    else
        doctor_tell(d, DOCTOR_PROBLEM, "no backup can be stored from here", NULL, "%s", err.text);
}

void doctor_conditions(struct doctor *d)
{
    if (!d->store || doctor_read_only(d))
        return;
    struct probe found;
    struct err err;
    if (probe_conditions(d->store, d->conf->mount.state, &found, &err) != 0) {
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "%s", err.text);
        return;
    }
    const char *put = probe_word(found.put), *complete = probe_word(found.complete);
    if (found.put == PROBE_HONOURED && found.complete == PROBE_HONOURED)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "conditions of requests are honoured");
    else
        doctor_tell(d, DOCTOR_NOTE,
                    "of two hosts that store one file at the same moment the later one may win, "
                    "and the other is not told",
                    NULL, "conditions of requests: put %s, complete of an upload %s", put,
                    complete);
}

static void tell_abort_rule(struct doctor *d, const struct store_facts *facts)
{
    static const char why[] = "parts of uploads that nobody completes stay, are billed, and no "
                              "listing of objects shows them";
    static const char how[] =
        "add a rule to the bucket's lifecycle: AbortIncompleteMultipartUpload, "
        "DaysAfterInitiation 7";
    if (facts->abort_rule == STORE_FACT_NO)
        doctor_tell(d, DOCTOR_NOTE, why, how, "no lifecycle rule aborts unfinished uploads");
    else if (facts->abort_rule == STORE_FACT_REFUSED)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL,
                    "whether a lifecycle rule aborts unfinished uploads these credentials may not "
                    "ask (s3:GetLifecycleConfiguration)");
    else if (facts->abort_rule == STORE_FACT_YES && facts->abort_days < 2)
        doctor_tell(d, DOCTOR_PROBLEM, "a long upload is cut off before it is done", how,
                    "the lifecycle aborts uploads after %u day", facts->abort_days);
    else if (facts->abort_rule == STORE_FACT_YES)
        doctor_tell(d, DOCTOR_OK, NULL, NULL,
                    "the lifecycle aborts unfinished uploads after %u days", facts->abort_days);
}

static void tell_fact(struct doctor *d, enum store_fact fact, const char *yes, const char *no,
                      const char *permission)
{
    if (fact == STORE_FACT_YES)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "%s", yes);
    else if (fact == STORE_FACT_NO)
        doctor_tell(d, DOCTOR_NOTE, "whoever has the credentials can destroy backups for good",
                    NULL, "%s", no);
    else if (fact == STORE_FACT_REFUSED)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "these credentials may not ask for %s", permission);
}

void doctor_facts(struct doctor *d)
{
    if (!d->store)
        return;
    struct store_facts facts;
    struct err err;
    if (d->store->ops->facts(d->store, &facts, &err) != 0) {
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "%s", err.text);
        return;
    }
    tell_abort_rule(d, &facts);
    tell_fact(d, facts.versioning, "the bucket keeps older versions",
              "the bucket keeps no older versions", "versioning (s3:GetBucketVersioning)");
    tell_fact(d, facts.lock, "the bucket has object lock", "the bucket has no object lock",
              "object lock (s3:GetBucketObjectLockConfiguration)");
}

// Where PostgreSQL keeps its data: $PGDATA, or as Debian has it.
void doctor_device(struct doctor *d)
{
    struct stat store, data;
    if (!d->opened.dir_path || stat(d->opened.dir_path, &store) != 0)
        return;
    glob_t found = {0};
    const char *given = getenv("PGDATA");
    if (glob("/var/lib/postgresql/*/*", GLOB_NOSORT, NULL, &found) != 0)
        found.gl_pathc = 0;
    for (size_t i = 0; i <= found.gl_pathc; i++) {
        const char *path = i < found.gl_pathc ? found.gl_pathv[i] : given;
        if (!path || stat(path, &data) != 0 || data.st_dev != store.st_dev)
            continue;
        doctor_tell(d, DOCTOR_NOTE, "one broken disk takes the database and its backups", NULL,
                    "the store lies on the same file system as the database in %s", path);
        break;
    }
    globfree(&found);
}
