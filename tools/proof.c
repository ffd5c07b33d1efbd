#include "tools/proof.h"

#include "backend/base/scope.h"
#include "tools/catalog/ini_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void proof_done(struct proof *p)
{
    free(p->host);
    free(p->recipient);
    free(p->object);
}

void proofs_done(struct proofs *all)
{
    for (size_t i = 0; i < all->count; i++)
        proof_done(&all->list[i]);
    free(all->list);
    *all = (struct proofs){.list = NULL};
}

static struct proof *add(struct proofs *all)
{
    struct proof *more = reallocarray(all->list, all->count + 1, sizeof(*more));
    if (!more)
        return NULL;
    all->list = more;
    struct proof *p = &all->list[all->count];
    *p = (struct proof){.host = strdup(""), .recipient = strdup(""), .object = strdup("")};
    if (!p->host || !p->recipient || !p->object) {
        proof_done(p);
        return NULL;
    }
    all->count++;
    return p;
}

// --- Reading ---

static int set_text(char **out, const char *value, struct err *err)
{
    char *text = NULL;
    int rc = ini_file_field(&value, &text, err);
    if (rc)
        return rc;
    free(*out);
    *out = text;
    return 0;
}

static int set_time(time_t *out, const char *value, struct err *err)
{
    struct timespec at;
    int rc = ini_file_parse_time(value, &at, err);
    if (rc == 0)
        *out = at.tv_sec;
    return rc;
}

// Each [proof] begins with its host.
static int see(void *ctx, const char *section, const char *key, const char *value, struct err *err)
{
    struct proofs *all = ctx;
    if (strcmp(section, "proof") != 0)
        return 0;
    if (strcmp(key, "host") == 0 && !add(all))
        return err_errno(err, ENOMEM, "read the proofs");
    if (all->count == 0)
        return err_set(err, EUCLEAN, "a proof begins with its host");
    struct proof *p = &all->list[all->count - 1];
    if (strcmp(key, "host") == 0)
        return set_text(&p->host, value, err);
    if (strcmp(key, "recipient") == 0)
        return set_text(&p->recipient, value, err);
    if (strcmp(key, "object") == 0)
        return set_text(&p->object, value, err);
    if (strcmp(key, "at") == 0)
        return set_time(&p->at, value, err);
    if (strcmp(key, "opened_at") == 0)
        return set_time(&p->opened_at, value, err);
    if (strcmp(key, "result") == 0)
        p->opened = strcmp(value, "opened") == 0;
    return 0;
}

static char *path_of(const char *state_dir, const char *end)
{
    char *path = NULL;
    return asprintf(&path, "%s/" PROOF_FILE "%s", state_dir, end) < 0 ? NULL : path;
}

int proofs_read(const char *state_dir, struct proofs *out, struct err *err)
{
    struct proofs all = {.list = NULL};
    auto_free char *path = path_of(state_dir, "");
    if (!path)
        return err_errno(err, ENOMEM, "read the proofs");
    struct stat st;
    if (stat(path, &st) != 0 && errno == ENOENT) {
        *out = all;
        return 0;
    }
    int rc = ini_file_read(path, see, &all, err);
    if (rc) {
        proofs_done(&all);
        return rc;
    }
    *out = all;
    return 0;
}

// --- Writing ---

int proofs_note(struct proofs *all, const char *host, const char *recipient, const char *object,
                bool opened, time_t at, struct err *err)
{
    struct proof *p = NULL;
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->list[i].host, host) == 0 && strcmp(all->list[i].recipient, recipient) == 0)
            p = &all->list[i];
    char *texts[] = {strdup(host), strdup(recipient), strdup(object)};
    if (!p)
        p = add(all);
    if (!p || !texts[0] || !texts[1] || !texts[2]) {
        for (size_t i = 0; i < 3; i++)
            free(texts[i]);
        return err_errno(err, ENOMEM, "note the proof");
    }
    time_t opened_at = opened ? at : p->opened_at;
    proof_done(p);
    *p = (struct proof){.host = texts[0],
                        .recipient = texts[1],
                        .object = texts[2],
                        .at = at,
                        .opened = opened,
                        .opened_at = opened_at};
    return 0;
}

static int write_all(FILE *out, const struct proofs *all, struct err *err)
{
    struct ini_file_writer w;
    int rc = ini_file_begin(&w, out, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < all->count; i++) {
        const struct proof *p = &all->list[i];
        ini_file_section(&w, "proof", NULL);
        ini_file_text(&w, "host", p->host);
        ini_file_text(&w, "recipient", p->recipient);
        ini_file_text(&w, "object", p->object);
        ini_file_text(&w, "result", p->opened ? "opened" : "failed");
        ini_file_time(&w, "at", (struct timespec){.tv_sec = p->at});
        ini_file_time(&w, "opened_at", (struct timespec){.tv_sec = p->opened_at});
    }
    return ini_file_end(&w, err);
}

int proofs_write(const char *state_dir, const struct proofs *all, struct err *err)
{
    auto_free char *path = path_of(state_dir, ""), *temp = path_of(state_dir, ".new");
    if (!path || !temp)
        return err_errno(err, ENOMEM, "write the proofs");
    (void)unlink(temp); // a crash left it
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(err, code, "write %s", temp);
    }
    int rc = write_all(out, all, err);
    if (rc == 0 && (fflush(out) != 0 || fsync(fd) != 0))
        rc = err_errno(err, errno, "write %s", temp);
    if (fclose(out) != 0 && rc == 0)
        rc = err_errno(err, errno, "write %s", temp);
    if (rc == 0 && rename(temp, path) != 0)
        rc = err_errno(err, errno, "rename %s", temp);
    if (rc)
        (void)unlink(temp);
    return rc;
}
