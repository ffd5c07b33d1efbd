#include "fs/rewrite.h"

#include "backend/base/secret.h"
#include "fs/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int rewrite_check(struct stack *stack, const char *path, const struct object_info *info,
                  struct err *err)
{
    if (!object_is_ours(info))
        return err_set(err, EACCES,
                       "'%s' was not written by a bakfs that this one knows: only its own files "
                       "can be renamed",
                       path);
    struct object_key key;
    bool known = recents_get(stack->recents, path, info->stat.etag, &key);
    secret_wipe(&key, sizeof(key));
    if (known || stack->identities.count > 0)
        return 0;
    return err_set(err, EACCES,
                   "'%s' was not written by this mount since it started, and this host has no "
                   "identity: rename it on a host with [seal] identity",
                   path);
}

static int get_key(struct stack *stack, const struct rewrite *r, struct object_key *out,
                   bool *out_recent, struct err *err)
{
    *out_recent = recents_get(stack->recents, r->from, r->info->stat.etag, out);
    if (*out_recent)
        return 0;
    int rc = rewrite_check(stack, r->from, r->info, err);
    return rc ? rc
              : object_unlock(stack->store, r->from, r->info->stat.etag, &stack->identities, out,
                              err);
}

// Its answer was lost, perhaps. 0: the payload stands there.
static int look_again(struct stack *stack, const char *to, const struct object_key *key,
                      struct object_info *out, bool *out_unsure)
{
    uint8_t nonce[SEAL_NONCE_BYTES];
    int rc = rewrite_nonce(stack->store, to, nonce, out, NULL);
    *out_unsure = rc && rc != -ENOENT && rc != -EUCLEAN;
    if (!rc && memcmp(nonce, key->nonce, sizeof(nonce)) != 0)
        rc = -ESTALE;
    return rc;
}

int rewrite_object(struct stack *stack, const struct rewrite *r, struct object_info *out,
                   bool *out_unsure, struct err *err)
{
    struct object_key key = {0};
    bool is_recent, unsure = false;
    int rc = get_key(stack, r, &key, &is_recent, err);
    if (!rc) {
        struct object_change change = {
            .to = r->to,
            .mtime = r->mtime,
            .flags = r->flags,
            .cond = r->cond,
        };
        struct object_info info;
        rc = object_rewrite(&stack->object_env, r->from, r->info->stat.etag, &key, &change, &info,
                            err);
        bool is_there = rc && strcmp(r->from, r->to) != 0 &&
                        look_again(stack, r->to, &key, &info, &unsure) == 0;
        // refused for what stands there: that is another mount's copy, who may take it back
        if (is_there && rc == -EEXIST)
            unsure = true;
        else if (is_there)
            rc = 0;
        if (!rc)
            *out = info;
    }
    if (!rc && is_recent) {
        struct timespec until = protect_until(stack, out);
        recents_put(stack->recents, r->to, out->stat.etag, &key, until,
                    stack->store->ops->now(stack->store));
    }
    secret_wipe(&key, sizeof(key));
    if (out_unsure)
        *out_unsure = unsure;
    return rc;
}

int rewrite_nonce(struct store *store, const char *path, uint8_t nonce[SEAL_NONCE_BYTES],
                  struct object_info *out, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    struct object_info info;
    int rc = object_store_key(path, key, err);
    if (!rc)
        rc = object_probe(store, key, NULL, &info, err);
    if (!rc && info.header.len == 0)
        rc = err_set(err, EUCLEAN, "'%s' is no age file", key);
    size_t len = 0;
    if (!rc)
        rc = store->ops->get(store, key, info.stat.etag, info.header.len, SEAL_NONCE_BYTES, nonce,
                             &len, NULL, err);
    if (!rc && len < SEAL_NONCE_BYTES)
        rc = err_set(err, EUCLEAN, "'%s' ends with its header", key);
    if (!rc)
        *out = info;
    return rc;
}

int rewrite_remove(struct store *store, const char *path, const char *etag, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(path, key, err);
    return rc ? rc : store->ops->remove(store, key, etag, err);
}
