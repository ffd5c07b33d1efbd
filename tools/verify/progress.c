#include "tools/verify/progress.h"

#include "tools/cli.h"

#include <inttypes.h>
#include <stdio.h>

void progress_bytes(void *ctx, uint64_t done, uint64_t total)
{
    const struct progress *p = ctx;
    char read[32], of[32];
    if (!p->on_terminal)
        return;
    cli_size_text(done, read);
    cli_size_text(total, of);
    fprintf(stderr, "\r\033[K%s  %s of %s", p->showing, read, of);
}

void progress_stage(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    const struct progress *p = ctx;
    if (!p->on_terminal)
        return;
    fprintf(stderr, "\r\033[K%s  %s", p->showing, stage);
    if (total)
        fprintf(stderr, "  %" PRIu64 "%%", done >= total ? 100 : done * 100 / total);
}

void progress_clear(const struct progress *p)
{
    if (p->on_terminal)
        fputs("\r\033[K", stderr);
}
