// That a key opens what is stored: told, and kept for bakfs status, which asks for it once a year.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "backend/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The recipients of the keys that were tried together.
static char *recipients_of(const struct identities *ids)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    for (size_t i = 0; i < ids->count; i++) {
        struct recipient recipient;
        char one[64];
        identity_recipient(ids->list[i], &recipient);
        recipient_format(&recipient, one);
        fprintf(out, "%s%s", i ? "," : "", one);
    }
    return fclose(out) == 0 ? text : NULL;
}

// What cannot be kept is told at the end, once.
static void note(struct doctor *d, const char *path, bool opened)
{
    if (!d->conf || !*d->conf->mount.state)
        return;
    if (!d->proofs_read && proofs_read(d->conf->mount.state, &d->proofs, NULL) != 0)
        d->proofs = (struct proofs){.list = NULL}; // damaged: written anew
    d->proofs_read = true;
    auto_free char *host = strndup(path, strcspn(path, "/"));
    auto_free char *recipients = recipients_of(&d->identities);
    if (host && recipients)
        (void)proofs_note(&d->proofs, host, recipients, path, opened, time(NULL), NULL);
}

void doctor_prove(struct doctor *d, const char *path, const char *etag)
{
    struct object_reader *reader = NULL;
    struct err err;
    int host = (int)strcspn(path, "/");
    int rc = object_open(d->store, path, etag, &d->identities, NULL, &reader, &err);
    if (rc == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "host %.*s: the key opens %s (%" PRIu64 " bytes)",
                    host, path, path, object_reader_info(reader)->header.record.size);
    else if (rc == -EACCES)
        doctor_tell(d, DOCTOR_PROBLEM, err.text, NULL, "host %.*s: the key does not open %s", host,
                    path, path);
    else
        doctor_tell(d, DOCTOR_PROBLEM, err.text, NULL, "host %.*s: %s could not be opened", host,
                    path, path);
    // that the store could not be asked says nothing of the key
    if (rc == 0 || rc == -EACCES || rc == -EBADMSG || rc == -EUCLEAN)
        note(d, path, rc == 0);
    object_reader_free(reader);
}

void doctor_proved(struct doctor *d)
{
    struct err err;
    if (d->proofs.count > 0 && proofs_write(d->conf->mount.state, &d->proofs, &err) != 0)
        doctor_tell(d, DOCTOR_NOTE, err.text, NULL,
                    "that the key was tried is not kept, bakfs status will not know of it");
    proofs_done(&d->proofs);
}
