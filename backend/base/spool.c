#include "backend/base/spool.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct spool {
    char *dir; // NULL: there is none
    uint32_t slots_max;
    uint64_t max_bytes;
    unsigned keep_free_percent;

    pthread_mutex_t open_lock; // taken alone; `fd` is fixed once it is there
    int fd;

    pthread_mutex_t lock; // members below are under it
    uint32_t *free_slots; // room for every slot there ever was: putting one needs no memory
    uint32_t free_count, slots, room;
};

int spool_new(const struct blocks_conf *conf, struct spool **out, struct err *err)
{
    assert(conf->spool_keep_free_percent <= 100);
    struct spool *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ENOMEM, "no memory for the spool");
    s->fd = -1;
    s->max_bytes = conf->spool_max_bytes;
    s->slots_max = (uint32_t)min_u64(conf->spool_max_bytes / BLOCK_BYTES, UINT32_MAX / 2);
    s->keep_free_percent = conf->spool_keep_free_percent;
    pthread_mutex_init(&s->open_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    if (conf->spool_dir && !(s->dir = strdup(conf->spool_dir))) {
        spool_free(s);
        return err_set(err, ENOMEM, "no memory for the spool");
    }
    *out = s;
    return 0;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->open_lock);
    free(s->free_slots);
    free(s->dir);
    free(s);
}

static int open_unlinked(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    // A file system without O_TMPFILE (NFS, overlay on older kernels).
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/bakfs-spool-XXXXXX", dir) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int open_once(struct spool *s, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&s->open_lock);
    if (s->fd < 0)
        s->fd = open_unlinked(s->dir);
    return s->fd < 0 ? err_set(err, EIO, "open a spool file in '%s' ([write] spool): %s", s->dir,
                               strerror(errno))
                     : 0;
}

// A slot number, without its disk space. -ENOSPC without a sentence: spool_max.
static int take_number(struct spool *s, uint32_t *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    if (s->free_count > 0) {
        *out = s->free_slots[--s->free_count];
        return 0;
    }
    if (s->slots == s->slots_max)
        return -ENOSPC;
    if (s->slots == s->room) {
        uint32_t room = s->room ? s->room * 2 : 64;
        uint32_t *grown = realloc(s->free_slots, room * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        s->free_slots = grown;
        s->room = room;
    }
    *out = s->slots++;
    return 0;
}

static void put_number(struct spool *s, uint32_t slot)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    assert(s->free_count < s->slots);
    s->free_slots[s->free_count++] = slot;
}

static off_t slot_off(uint32_t slot)
{
    return (off_t)slot * (off_t)BLOCK_BYTES;
}

static int check_free(struct spool *s, struct err *err)
{
    struct statvfs v;
    if (fstatvfs(s->fd, &v) < 0)
        return err_set(err, EIO, "statvfs of the spool in '%s': %s", s->dir, strerror(errno));
    uint64_t need_blocks = BLOCK_BYTES / v.f_frsize + 1;
    uint64_t keep_blocks = v.f_blocks / 100 * s->keep_free_percent;
    if (v.f_bavail < need_blocks + keep_blocks)
        return err_set(err, ENOSPC,
                       "the disk of the spool '%s' is full but for [write] spool_keep_free (%u %%);"
                       " make room there, or point [write] spool elsewhere",
                       s->dir, s->keep_free_percent);
    return 0;
}

// Takes the disk space now, so that a later write does not fail for want of it.
static int allocate(struct spool *s, uint32_t slot, struct err *err)
{
    int rc = check_free(s, err);
    if (rc < 0 || fallocate(s->fd, 0, slot_off(slot), (off_t)BLOCK_BYTES) == 0)
        return rc;
    if (errno == EOPNOTSUPP)
        return 0;
    bool full = errno == ENOSPC || errno == EDQUOT;
    return err_set(err, full ? ENOSPC : EIO,
                   "the spool '%s' takes no more: %s (see [write] spool, spool_max, "
                   "spool_keep_free)",
                   s->dir, strerror(errno));
}

int spool_take(struct spool *s, uint32_t *out_slot, struct err *err)
{
    if (!s->dir)
        return err_set(err, ENOSPC,
                       "there is no spool ([write] spool, spool_max, spool_keep_free)");
    int rc = open_once(s, err);
    if (rc < 0)
        return rc;
    uint32_t slot = 0;
    rc = take_number(s, &slot);
    if (rc == -ENOSPC)
        return err_set(err, ENOSPC,
                       "the spool '%s' is full: [write] spool_max is %" PRIu64
                       " MiB (spool_keep_free %u %%); raise spool_max or [limits] memory, or write"
                       " fewer files at a time",
                       s->dir, s->max_bytes / MIB, s->keep_free_percent);
    if (rc < 0)
        return err_set(err, ENOMEM, "no memory for the spool's slots");
    rc = allocate(s, slot, err);
    if (rc < 0) {
        put_number(s, slot);
        return rc;
    }
    *out_slot = slot;
    return 0;
}

void spool_put(struct spool *s, uint32_t slot)
{
    // Where holes cannot be punched the space stays taken until the slot is used again: no harm.
    (void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, slot_off(slot),
                    (off_t)BLOCK_BYTES);
    put_number(s, slot);
}

int spool_read(struct spool *s, uint32_t slot, size_t off, void *out, size_t len, struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n =
            pread(s->fd, (char *)out + done, len - done, slot_off(slot) + (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, EIO, "read the spool in '%s': %s", s->dir,
                           n < 0 ? strerror(errno) : "it ends too early");
        done += (size_t)n;
    }
    return 0;
}

int spool_write(struct spool *s, uint32_t slot, size_t off, const void *bytes, size_t len,
                struct err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(s->fd, (const char *)bytes + done, len - done,
                           slot_off(slot) + (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, n < 0 && errno == ENOSPC ? ENOSPC : EIO,
                           "write the spool in '%s' ([write] spool, spool_keep_free): %s", s->dir,
                           n < 0 ? strerror(errno) : "nothing was written");
        done += (size_t)n;
    }
    return 0;
}
