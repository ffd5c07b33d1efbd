#include "backend/base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t mapped_bytes(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (sizeof(struct secret) + len + 1 + page - 1) / page * page;
}

struct secret *secret_new(const void *bytes, size_t len)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    size_t mapped = mapped_bytes(len);
    void *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    // Both may be refused (RLIMIT_MEMLOCK, an odd kernel): a host that cannot lock still has to restore.
    (void)mlock(p, mapped);
    (void)madvise(p, mapped, MADV_DONTDUMP);
    struct secret *secret = p;
    secret->len = len;
    if (len)
        memcpy(secret->bytes, bytes, len);
    return secret;
}

void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    int saved = errno;
    size_t mapped = mapped_bytes(secret->len);
    explicit_bzero(secret, mapped);
    munmap(secret, mapped); // unlocks, too
    errno = saved;
}

void secret_wipe(void *p, size_t len)
{
    explicit_bzero(p, len);
}
