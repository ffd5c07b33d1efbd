// Other engines: what the configured command writes to its standard output is the dump.
#include "tools/backup/make_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int make_command(struct making *m, struct err *err)
{
    const struct conf_database *db = m->job->db;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int rc = making_place(m, now, err);
    while (rc == -EEXIST && !process_stop_asked()) { // one of this second
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){.tv_sec = now.tv_sec + 1},
                        NULL);
        clock_gettime(CLOCK_REALTIME, &now);
        rc = making_place(m, now, err);
    }
    if (rc == 0)
        rc = making_set(&m->meta->engine, "command", err);
    if (rc == 0)
        rc = making_set(&m->meta->format, "command", err);
    if (rc != 0)
        return rc;
    char name[512];
    snprintf(name, sizeof(name), "BAKFS_NAME=%.480s", db->name);
    const char *const argv[] = {"/bin/sh", "-c", db->dump_command, NULL};
    const char *const env[] = {name, NULL};
    struct process_conf conf = {.argv = argv, .env = env, .in = -1};
    return making_run(m, &conf, "dump_command", ".dump", &m->meta->dump, err);
}
