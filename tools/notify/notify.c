#include "tools/notify/notify.h"

#include "tools/notify/message.h"
#include "tools/notify/repeat.h"
#include "tools/notify/ways.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int send_way(const struct conf *, const struct message *, struct err *);

static const struct way {
    const char *name;
    size_t offset; // of the setting, a char *
    send_way *send;
    bool heartbeat; // asked on each success; the others carry notices
} ways[] = {
    {"mail", offsetof(struct conf, notify.smtp), way_mail, false},
    {"webhook", offsetof(struct conf, notify.webhook), way_webhook, false},
    {"command", offsetof(struct conf, notify.command), way_command, false},
    {"heartbeat", offsetof(struct conf, notify.heartbeat), way_heartbeat, true},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static bool is_set(const struct conf *conf, const struct way *way)
{
    return **(char *const *)(const void *)((const char *)conf + way->offset) != '\0';
}

bool notify_is_configured(const struct conf *conf)
{
    for (size_t i = 0; i < WAYS; i++)
        if (is_set(conf, &ways[i]))
            return true;
    return false;
}

static void host_name(char *out, size_t room)
{
    if (gethostname(out, room) != 0)
        snprintf(out, room, "localhost");
    out[room - 1] = '\0';
}

struct outcome {
    unsigned tried, failed; // of the ways that carry notices
    struct err said;        // what went wrong, of all ways
};

static void note(struct outcome *o, const struct err *err)
{
    if (!o->said.code) {
        err_copy(&o->said, err);
        return;
    }
    struct err all = o->said;
    err_set(&o->said, all.code, "%s; %s", all.text, err->text);
}

static void send_to(const struct conf *conf, const struct message *m, bool tell,
                    struct outcome *out)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct err err = {0};
        const struct way *way = &ways[i];
        if (!is_set(conf, way) || !(way->heartbeat ? m->pass : tell))
            continue;
        int rc = way->send(conf, m, &err);
        if (!way->heartbeat) {
            out->tried++;
            out->failed += rc != 0;
        }
        if (rc != 0)
            note(out, &err);
    }
}

int notify_send(const struct conf *conf, const struct notice *notice, struct err *err)
{
    if (!notify_is_configured(conf))
        return 0;
    char host[256];
    host_name(host, sizeof(host));
    struct repeat repeat;
    time_t now = time(NULL);
    repeat_judge(conf->mount.state, notice, now, &repeat);
    bool tell = repeat.tell ||
                (notice->pass ? conf->notify.on == CONF_NOTIFY_ALWAYS : notice->each);
    struct message_context context = {.host = host,
                                      .now = now,
                                      .again = repeat.again,
                                      .count = repeat.count,
                                      .since = repeat.since,
                                      .told_daily = repeat.remembered && !notice->each};
    struct message message;
    struct outcome outcome = {0};
    int rc = message_make(notice, &context, &message, err);
    if (rc == 0) {
        send_to(conf, &message, tell, &outcome);
        message_done(&message);
    }
    if (tell && (rc != 0 || outcome.failed == outcome.tried))
        repeat_take_back(conf->mount.state, notice, now, &repeat);
    if (rc != 0 || !outcome.said.code)
        return rc;
    return err_set(err, EIO, "not told: %s", outcome.said.text);
}

int notify_test(const struct conf *conf,
                void (*each)(void *ctx, const char *way, int rc, const struct err *), void *ctx,
                struct err *err)
{
    if (!notify_is_configured(conf))
        return err_set(err, EINVAL,
                       "nobody would be told: set smtp and to, webhook or command in [notify]");
    char host[256];
    host_name(host, sizeof(host));
    const struct notice notice = {.pass = true,
                                  .verb = "notify-test",
                                  .what = "notices",
                                  .summary = "this is a test; a real notice comes like this",
                                  .body = "Nothing is wrong. Somebody typed: bakfs notify-test"};
    const struct message_context context = {.host = host, .now = time(NULL)};
    struct message message;
    int rc = message_make(&notice, &context, &message, err);
    if (rc != 0)
        return rc;
    unsigned failed = 0;
    for (size_t i = 0; i < WAYS; i++) {
        struct err why = {0};
        if (!is_set(conf, &ways[i]))
            continue;
        rc = ways[i].send(conf, &message, &why);
        failed += rc != 0;
        each(ctx, ways[i].name, rc, &why);
    }
    message_done(&message);
    return failed ? err_set(err, EIO, "%u of the ways do not work", failed) : 0;
}
