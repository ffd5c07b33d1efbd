#include "fs/errmap.h"

#include <errno.h>

int errmap(int negative_code)
{
    int code = -negative_code;
    switch (code) {
    case ENOENT:
    case EACCES:
    case EPERM:
    case EEXIST:
    case ENOTEMPTY:
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case EILSEQ:
    case ENAMETOOLONG:
    case EFBIG:
    case ENOSPC:
    case EROFS:
    case ESTALE:
    case ETIMEDOUT:
    case EBUSY:
    case ENOMEM:
    case EOPNOTSUPP:
    case EXDEV:
    case ENODATA:
    case ERANGE:
    case ESHUTDOWN:
        return code;
    default:
        return EIO;
    }
}
