#include "backend/s3/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct meaning {
    const char *code;
    int error;
    const char *hint; // what to do, or NULL
};

static const struct meaning by_code[] = {
    {"NoSuchKey", ENOENT, NULL},
    {"NoSuchBucket", EIO, "the bucket does not exist there: create it, or mend the store's URL"},
    {"NoSuchUpload", ENOENT, "the upload is gone: somebody aborted or completed it"},
    {"InvalidAccessKeyId", EACCES,
     "the server does not know this access key: check AWS_ACCESS_KEY_ID and the endpoint"},
    {"SignatureDoesNotMatch", EACCES,
     "the secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY"},
    {"ExpiredToken", EACCES, "the session token has expired: get new credentials"},
    {"InvalidToken", EACCES, "the session token is not valid: check AWS_SESSION_TOKEN"},
    {"AccessDenied", EACCES, "the credentials' policy does not allow it"},
    {"AccountProblem", EACCES, NULL},
    {"InvalidObjectState", EACCES,
     "the object is archived: thaw it (aws s3api restore-object) and try again"},
    {"RequestTimeTooSkewed", EACCES,
     "this host's clock and the server's differ too much: mend the clock"},
    {"QuotaExceeded", ENOSPC, "the bucket's or the user's quota is used up"},
    {"EntityTooLarge", EFBIG, NULL},
    {"KeyTooLongError", ENAMETOOLONG, NULL},
    {"MethodNotAllowed", EOPNOTSUPP, NULL},
    {"NotImplemented", EOPNOTSUPP, NULL},
};

static struct meaning by_status(int status)
{
    struct meaning meaning = {.error = EIO};
    if (status == 401 || status == 403) {
        meaning.error = EACCES;
        // a HEAD's answer has no body that could say more
        meaning.hint = "refused: credentials wrong, or their policy does not allow it";
    } else if (status == 404) {
        meaning.error = ENOENT;
    } else if (status == 412) {
        meaning.error = ESTALE;
    } else if (status == 413) {
        meaning.error = EFBIG;
    } else if (status == 405 || status == 501) {
        meaning.error = EOPNOTSUPP;
    } else if (status == 507) {
        meaning.error = ENOSPC;
    }
    return meaning;
}

// A server's words go into logs: one line, bounded.
static void tidy(const char *from, char *to, size_t room)
{
    size_t used = 0;
    for (; *from && used + 1 < room; from++)
        to[used++] = (char)((unsigned char)*from < 0x20 || *from == 0x7f ? ' ' : *from);
    to[used] = '\0';
}

static int wrong_region(const struct s3_call *call, struct err *err)
{
    const char *region = http_header(&call->response, "x-amz-bucket-region");
    if (!region && call->error.region[0])
        region = call->error.region;
    if (!region)
        return err_set(err, EIO,
                       "HTTP %d %s: the bucket is reached by another endpoint: mend endpoint and "
                       "region",
                       call->response.status, call->error.code);
    char shown[64];
    tidy(region, shown, sizeof(shown));
    return err_set(err, EIO, "HTTP %d %s: the bucket is in region %s: set region = %s",
                   call->response.status, call->error.code, shown, shown);
}

int answer_error(const struct s3_call *call, struct err *err)
{
    int status = call->response.status;
    const char *code = call->error.code;
    if (strcmp(code, "AuthorizationHeaderMalformed") == 0 || (status >= 300 && status < 400))
        return wrong_region(call, err);
    struct meaning meaning = by_status(status);
    for (size_t i = 0; i < sizeof(by_code) / sizeof(by_code[0]); i++)
        if (strcmp(code, by_code[i].code) == 0)
            meaning = by_code[i];
    char tries[32] = "", message[128] = "", shown[64];
    if (call->tries > 1)
        snprintf(tries, sizeof(tries), ", %u tries", call->tries);
    tidy(code, shown, sizeof(shown));
    tidy(call->error.message, message, sizeof(message));
    const char *more = meaning.hint ? meaning.hint : message;
    return err_set(err, meaning.error, "HTTP %d%s%s%s%s%s", status, shown[0] ? " " : "", shown,
                   tries, more[0] ? ": " : "", more);
}
