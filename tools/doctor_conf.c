// The configuration and the keys it names: who could change or read them, and who can open what is written.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "conf/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENVIRONMENT "/etc/bakfs/environment" // of the unit: credentials

// Can somebody else than root or this user change it, or (`secret`) read it?
static void judge_file(struct doctor *d, const char *path, bool secret)
{
    struct stat st;
    char type[DOCTOR_TEXT_BYTES];
    if (stat(path, &st) != 0) {
        if (errno != ENOENT)
            doctor_tell(d, DOCTOR_PROBLEM, NULL, NULL, "%s: %s", path, strerror(errno));
        return;
    }
    bool read_by_others = secret && (st.st_mode & 077);
    if (st.st_mode & 022 || read_by_others) {
        snprintf(type, sizeof(type), "chmod %s %s", secret ? "600" : "go-w", path);
        doctor_tell(d, DOCTOR_PROBLEM,
                    read_by_others ? "group or others can read what is secret in it"
                                   : "group or others can change where backups go and who reads "
                                     "them",
                    type, "%s has mode %04o", path, st.st_mode & 07777);
    } else if (st.st_uid != 0 && st.st_uid != geteuid()) {
        snprintf(type, sizeof(type), "chown root %s", path);
        doctor_tell(d, DOCTOR_PROBLEM, "its owner can change it", type, "%s belongs to user %u",
                    path, (unsigned)st.st_uid);
    } else {
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "%s", path);
    }
}

void doctor_files(struct doctor *d)
{
    const char *path = conf_path(d->conf_path);
    if (access(path, F_OK) != 0)
        doctor_tell(d, DOCTOR_NOTE, "all settings are defaults", "bakfs init",
                    "there is no configuration %s", path);
    judge_file(d, path, false);
    judge_file(d, ENVIRONMENT, true);
    if (*d->conf->seal.recipients == '/')
        judge_file(d, d->conf->seal.recipients, false);
}

static void judge_recipients(struct doctor *d, const struct identities *identities,
                             const struct recipient *recipients, size_t count)
{
    bool own = keys_fit(identities, recipients, count);
    if (own && count == 1)
        doctor_tell(d, DOCTOR_NOTE,
                    "if this host is lost and its key with it, no backup can be opened by anybody",
                    "bakfs keygen -o escrow.txt, add its public key to [seal] recipients, and keep "
                    "the file elsewhere",
                    "only this host's own key opens what it writes; there is no escrow recipient");
    else if (identities->count > 0 && !own)
        doctor_tell(d, DOCTOR_PROBLEM, "it will not be able to read what it writes",
                    "bakfs keygen shows the public key of a key; add it to [seal] recipients",
                    "no identity of this host is among the recipients");
    else
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "%zu recipient%s%s", count, count == 1 ? "" : "s",
                    own ? ", this host's own key and others" : "; this host cannot read");
}

void doctor_keys(struct doctor *d)
{
    struct err err;
    struct identities identities = {0};
    auto_free struct recipient *recipients = NULL;
    size_t count = 0;
    int rc = keys_load_identities(d->conf, &identities, &err);
    if (rc != 0)
        doctor_tell(d, DOCTOR_PROBLEM, "no mount works with it", NULL, "%s", err.text);
    else if (identities.count > 0)
        judge_file(d, d->conf->seal.identity, true);
    if (keys_load_recipients(d->conf, &recipients, &count, &err) != 0)
        doctor_tell(d, DOCTOR_PROBLEM, "nothing can be written", "bakfs init", "%s", err.text);
    else if (rc == 0)
        judge_recipients(d, &identities, recipients, count);
    identities_done(&identities);
}
