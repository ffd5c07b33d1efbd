#include "tools/notify/message.h"

#include "backend/base/scope.h"
#include "backend/base/utf8.h"
#include "tools/notify/mime.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SUBJECT_BYTES 200 // longer ones are cut by mail programs anyhow; the text has it all

// --- Texts ---

static char *utc(time_t when, char out[32])
{
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return out;
}

static int make_subject(struct message *m, bool again)
{
    auto_free char *whole = NULL;
    if (asprintf(&whole, "%s bakfs %s %s on %s: %s",
                 !m->pass ? "FAIL"
                 : again  ? "PASS again"
                          : "PASS",
                 m->verb, m->what, m->host, m->summary) < 0) {
        whole = NULL; // not said what it is then
        return -ENOMEM;
    }
    size_t len = utf8_fit(whole, SUBJECT_BYTES);
    return asprintf(&m->subject, "%.*s%s", (int)len, whole, whole[len] ? "..." : "") < 0 ? -ENOMEM
                                                                                         : 0;
}

static void put_text(FILE *out, const struct message *m, const struct message_context *c)
{
    char when[32], since[32];
    fprintf(out, "%s%s: bakfs %s %s on %s\n\n%s\n", m->pass ? "PASS" : "FAIL",
            m->pass && c->again ? " again" : "", m->verb, m->what, m->host, m->summary);
    if (*m->body)
        fprintf(out, "\n%s%s", m->body, m->body[strlen(m->body) - 1] == '\n' ? "" : "\n");
    if (m->pass && c->again && c->count == 1)
        fprintf(out, "\nIt had failed at %s.\n", utc(c->since, since));
    else if (m->pass && c->again)
        fprintf(out, "\nIt had failed %" PRIu64 " times since %s.\n", c->count,
                utc(c->since, since));
    if (!m->pass && c->count > 1)
        fprintf(out, "\nThis has failed %" PRIu64 " times since %s.\n", c->count,
                utc(c->since, since));
    if (!m->pass && c->told_daily)
        fputs("\nThe same failure is told again after a day.\n", out);
    fprintf(out, "\nhost %s, %s, bakfs %s\n", m->host, utc(m->when, when), BAKFS_VERSION);
}

static int make_text(struct message *m, const struct message_context *c)
{
    size_t len = 0;
    FILE *out = open_memstream(&m->text, &len);
    if (!out)
        return -ENOMEM;
    put_text(out, m, c);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

void message_done(struct message *m)
{
    free(m->subject);
    free(m->text);
    free(m->verb);
    free(m->what);
    free(m->summary);
    free(m->body);
    free(m->host);
    *m = (struct message){.pass = false};
}

int message_make(const struct notice *notice, const struct message_context *context,
                 struct message *out, struct err *err)
{
    struct message m = {
        .pass = notice->pass,
        .verb = mime_clean(notice->verb, false),
        .what = mime_clean(notice->what, false),
        .summary = mime_clean(notice->summary, false),
        .body = mime_clean(notice->body ? notice->body : "", true),
        .host = mime_clean(context->host, false),
        .when = context->now,
    };
    int rc = m.verb && m.what && m.summary && m.body && m.host ? 0 : -ENOMEM;
    if (rc == 0)
        rc = make_subject(&m, context->again);
    if (rc == 0)
        rc = make_text(&m, context);
    if (rc != 0) {
        message_done(&m);
        return err_errno(err, -rc, "write a notice");
    }
    *out = m;
    return 0;
}

// --- The mail ---

// A host's name in an address: what is none stays out of it.
static void domain(const char *host, char *out, size_t room)
{
    size_t len = 0;
    for (const char *p = host; *p && len + 1 < room; p++)
        if (isalnum((unsigned char)*p) || (strchr(".-", *p) && len > 0))
            out[len++] = *p;
    out[len] = '\0';
    if (len == 0)
        snprintf(out, room, "localhost");
}

char *message_sender(const struct message *m, const char *from)
{
    if (*from)
        return strdup(from);
    char at[256], *out = NULL;
    domain(m->host, at, sizeof(at));
    return asprintf(&out, "bakfs@%s", at) < 0 ? NULL : out;
}

static void put_date(FILE *out, time_t when)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    localtime_r(&when, &tm);
    long minutes = tm.tm_gmtoff / 60, shown = minutes < 0 ? -minutes : minutes;
    fprintf(out, "Date: %s, %d %s %d %02d:%02d:%02d %c%02ld%02ld\r\n", days[tm.tm_wday], tm.tm_mday,
            months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
            minutes < 0 ? '-' : '+', shown / 60, shown % 60);
}

int message_mail(const struct message *m, const char *from, const char *to, const char *id,
                 char **out, size_t *out_len, struct err *err)
{
    auto_free char *sender = message_sender(m, from);
    char *text = NULL, at[256];
    size_t len = 0;
    FILE *mail = sender ? open_memstream(&text, &len) : NULL;
    if (!mail)
        return err_errno(err, ENOMEM, "write a mail");
    domain(m->host, at, sizeof(at));
    put_date(mail, m->when);
    mime_header(mail, "From", sender);
    mime_header(mail, "To", to);
    mime_header(mail, "Subject", m->subject);
    fprintf(mail, "Message-ID: <%s@%s>\r\n", id, at);
    fputs("Auto-Submitted: auto-generated\r\n", mail); // no vacation note comes back (RFC 3834)
    mime_body(mail, m->text);
    if (fclose(mail) != 0) {
        free(text);
        return err_errno(err, ENOMEM, "write a mail");
    }
    *out = text;
    *out_len = len;
    return 0;
}
