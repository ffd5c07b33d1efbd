// The keys of each host, the mount and its daemon.
#include "tools/status/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROOF_S (365 * (int64_t)STATUS_DAY_SECONDS)
#define CLOCK_WARN_MS 30000
#define CLOCK_BAD_MS 300000

// --- The keys of each host ---

static void judge_proof(const struct status_look *look, struct status_host *h)
{
    const struct proof *broken = NULL;
    for (size_t i = 0; i < look->proofs.count; i++) {
        const struct proof *p = &look->proofs.list[i];
        if (strcmp(p->host, h->host) != 0)
            continue;
        if (p->opened_at > h->opened_at) {
            h->opened_at = p->opened_at;
            h->object = p->object;
        }
        if (!p->opened && p->opened_at)
            broken = p;
    }
    h->proof = broken                               ? STATUS_PROOF_FAILED
               : h->opened_at == 0                  ? STATUS_PROOF_NEVER
               : look->now - h->opened_at > PROOF_S ? STATUS_PROOF_OVERDUE
                                                    : STATUS_PROOF_OPENED;
    if (broken)
        h->object = broken->object;
}

static bool note_proof(struct status *s, const struct status_host *h)
{
    static const char type[] = "bakfs doctor --identity FILE";
    char age[32];
    status_span_text((uint64_t)(s->now - h->opened_at), age);
    switch (h->proof) {
    case STATUS_PROOF_OPENED:
        return true;
    case STATUS_PROOF_OVERDUE:
        return status_note(&s->notes, STATUS_BAD, type,
                           "the key of host %s was last proved %s ago: once a year is due", h->host,
                           age);
    case STATUS_PROOF_FAILED:
        return status_note(&s->notes, STATUS_BAD, type,
                           "a key that opened the backups of host %s does not open %s", h->host,
                           h->object);
    case STATUS_PROOF_NEVER:
        return status_note(&s->notes, STATUS_WARN, type,
                           "that a kept key opens the backups of host %s was never proved",
                           h->host);
    }
    return true;
}

int status_judge_hosts(struct status *s, const struct status_look *look, struct err *err)
{
    s->hosts = calloc(s->count + 1, sizeof(*s->hosts));
    if (!s->hosts)
        return err_errno(err, ENOMEM, "judge the hosts");
    const char *last = ""; // no HOST is called that
    for (size_t i = 0; i < look->backups.count; i++) {
        const char *host = look->backups.list[i].host;
        if (strcmp(last, host) == 0)
            continue;
        last = host;
        struct status_host *h = &s->hosts[s->host_count++];
        *h = (struct status_host){.host = host};
        judge_proof(look, h);
        if (!note_proof(s, h))
            return err_errno(err, ENOMEM, "judge the hosts");
    }
    return 0;
}

// --- The daemon ---

static bool judge_clock(struct status *s, int64_t ms)
{
    int64_t off = ms < 0 ? -ms : ms;
    if (off <= CLOCK_WARN_MS)
        return true;
    return status_note(&s->notes, off > CLOCK_BAD_MS ? STATUS_BAD : STATUS_WARN, "timedatectl",
                       "this host's clock is %" PRId64 " s %s the store's%s", off / 1000,
                       ms > 0 ? "behind" : "ahead of",
                       off > CLOCK_BAD_MS ? ": nothing is written until it is right" : "");
}

bool status_judge_daemon(struct status *s, const struct status_look *look)
{
    if (look->mount.code) { // its sentence says what to type, which stands apart here
        const char *type = strstr(look->mount.text, "; type: ");
        return status_note(&s->notes, STATUS_BAD, type ? type + strlen("; type: ") : "bakfs mount",
                           "%.*s",
                           (int)(type ? type - look->mount.text : (long)strlen(look->mount.text)),
                           look->mount.text);
    }
    // a bucket that somebody emptied looks so
    if (s->count == 0 && !look->host &&
        !status_note(
            &s->notes, STATUS_BAD, "bakfs list",
            "there is no backup at all, and no [database] here says which there should be"))
        return false;
    if (look->daemon_err.code)
        return status_note(&s->notes, STATUS_BAD, "bakfs doctor",
                           "the daemon does not say how it is: %s", look->daemon_err.text);
    if (look->daemon.blind &&
        !status_note(
            &s->notes, STATUS_WARN, "bakfs doctor",
            "the daemon cannot see how other programs end: a dump that failed may look whole"))
        return false;
    return judge_clock(s, look->daemon.clock_offset_ms);
}
