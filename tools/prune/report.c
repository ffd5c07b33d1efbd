// What prune says.
#include "tools/cli.h"
#include "tools/prune/prune.h"

#include <inttypes.h>

#define VERB "bakfs prune"

static void time_text(time_t when, char out[32])
{
    struct tm tm;
    out[0] = '\0';
    if (gmtime_r(&when, &tm))
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void print_line(const struct prune_backup *b)
{
    char when[32], size[32];
    time_text(b->item.when, when);
    cli_size_text(b->bytes, size);
    printf("%-4s %s %8s  ", b->item.keep ? "keep" : "go", when, size);
    cli_print_safe(stdout, b->path);
    printf("  (%s)\n", b->item.why);
}

void prune_print_decisions(const struct prune_list *all)
{
    for (size_t i = 0; i < all->count; i++)
        print_line(&all->list[i]);
}

const char *prune_ending(uint64_t n)
{
    return n == 1 ? "" : "s";
}

void prune_print_sum(const struct prune_list *all, const struct prune_plan *plan, bool dry_run)
{
    char size[32];
    cli_size_text(plan->go_bytes, size);
    printf("%zu backup%s stay%s; %zu backup%s %s: %s in %" PRIu64 " object%s and version%s\n",
           plan->keep, prune_ending(plan->keep), plan->keep == 1 ? "s" : "", plan->go,
           prune_ending(plan->go), plan->go == 1 ? "goes" : "go", size, plan->go_pieces,
           prune_ending(plan->go_pieces), prune_ending(plan->go_pieces));
    if (plan->locked)
        printf("%zu of those that stay: only because of a lock\n", plan->locked);
    if (all->strays)
        printf("%" PRIu64 " object%s that belong%s to no backup: left alone\n", all->strays,
               prune_ending(all->strays), all->strays == 1 ? "s" : "");
    if (dry_run && plan->go)
        puts("nothing was removed (--dry-run)");
}

void prune_print_json(const struct prune_list *all, time_t now, bool dry_run)
{
    char text[32];
    time_text(now, text);
    printf("{\"now\": \"%s\", \"dry_run\": %s, \"strays\": %" PRIu64 ", \"backups\": [", text,
           dry_run ? "true" : "false", all->strays);
    for (size_t i = 0; i < all->count; i++) {
        const struct prune_backup *b = &all->list[i];
        const struct {
            const char *name, *text;
        } fields[] = {{"host", b->host},
                      {"date", b->date},
                      {"partition", b->partition},
                      {"path", b->path},
                      {"why", b->item.why}};
        fputs(i ? ",\n  {" : "\n  {", stdout);
        for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
            printf("\"%s\": ", fields[k].name);
            cli_print_json(stdout, fields[k].text);
            fputs(", ", stdout);
        }
        time_text(b->item.when, text);
        printf("\"when\": \"%s\", \"keep\": %s, \"bytes\": %" PRIu64
               ", \"objects\": %zu, \"pieces\": %zu, \"removed\": %s",
               text, b->item.keep ? "true" : "false", b->bytes, b->objects, b->count,
               b->removed ? "true" : "false");
        if (b->failure) {
            fputs(", \"failure\": ", stdout);
            cli_print_json(stdout, b->failure);
        }
        putchar('}');
    }
    puts(all->count ? "\n]}" : "]}");
}

void prune_warn(const struct prune_plan *plan)
{
    if (plan->future)
        fprintf(stderr,
                VERB ": warning: %zu backup%s from the future, by the store's clock: a clock was "
                     "wrong; none of them counts for a rule\n",
                plan->future, plan->future == 1 ? " is" : "s are");
    if (plan->unsure)
        fprintf(stderr,
                VERB ": warning: these credentials may not read (s3:GetObject): of %zu backup%s "
                     "that people copied in nobody knows whether the dump stops short\n",
                plan->unsure, prune_ending(plan->unsure));
}
