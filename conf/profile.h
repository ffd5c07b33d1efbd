// The AWS shared files: ~/.aws/credentials and ~/.aws/config, or what AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name
// (AWS SDKs and Tools Reference Guide, "Shared config and credentials files"). Keys with their session token, and the region.
#pragma once

#include "backend/base/err.h"
#include "backend/base/secret.h"

struct profile { // NULL where the files do not say
    char *access_key, *region;
    struct secret *secret_key, *session_token;
};

// `name` NULL or "": $AWS_PROFILE, else "default". ENOENT: no file has such a section. EOPNOTSUPP: it gets its keys in a way
// that is not there yet (role_arn, credential_process, sso_...). Others may not read the credentials file: EACCES.
int profile_load(const char *name, struct profile *out, struct err *err);
void profile_done(struct profile *);
