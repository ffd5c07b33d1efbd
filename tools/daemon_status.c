#include "tools/daemon_status.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool get(const struct json_object *of, const char *name, enum json_type type,
                struct json_object **out)
{
    return json_object_object_get_ex(of, name, out) && json_object_is_type(*out, type);
}

static bool get_bool(const struct json_object *of, const char *name)
{
    struct json_object *value = NULL;
    return get(of, name, json_type_boolean, &value) && json_object_get_boolean(value);
}

static int64_t get_number(const struct json_object *of, const char *name)
{
    struct json_object *value = NULL;
    return get(of, name, json_type_int, &value) ? json_object_get_int64(value) : 0;
}

static void get_text(const struct json_object *of, const char *name, char *out, size_t room)
{
    struct json_object *value = NULL;
    snprintf(out, room, "%s",
             get(of, name, json_type_string, &value) ? json_object_get_string(value) : "");
}

static void get_lists(const struct json_object *said, struct daemon_status *out)
{
    struct json_object *list = NULL;
    size_t count = get(said, "failures", json_type_array, &list) ? json_object_array_length(list)
                                                                 : 0;
    for (size_t i = 0; i < count && i < DAEMON_FAILURES; i++) {
        const struct json_object *one = json_object_array_get_idx(list, i);
        struct daemon_failure *f = &out->failures[out->failure_count++];
        char at[32];
        struct tm tm = {0};
        get_text(one, "path", f->path, sizeof(f->path));
        get_text(one, "reason", f->reason, sizeof(f->reason));
        get_text(one, "at", at, sizeof(at));
        f->at = strptime(at, "%Y-%m-%dT%H:%M:%SZ", &tm) ? timegm(&tm) : 0;
    }
    count = get(said, "writing", json_type_array, &list) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count && i < DAEMON_WRITING; i++)
        get_text(json_object_array_get_idx(list, i), "path", out->writing[out->writing_count++],
                 sizeof(out->writing[0]));
}

int daemon_status_read(const char *point, struct daemon_status *out, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/.bakfs/status.json", point);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "read %s", path);
    struct json_object *said = json_object_from_fd(fd);
    close(fd);
    struct json_object *store = NULL, *codes = NULL;
    if (!said || !get(said, "store", json_type_string, &store) ||
        !get(said, "exit_codes", json_type_string, &codes)) {
        json_object_put(said);
        return err_set(err, EUCLEAN, "%s: not a status of bakfs", path);
    }
    struct daemon_status status = {
        .read_only = get_bool(said, "read_only"),
        .has_identity = get_bool(said, "identity"),
        .blind = strcmp(json_object_get_string(codes), "blind") == 0,
        .pid_namespace = (uint64_t)get_number(said, "pid_namespace"),
        .clock_offset_ms = get_number(said, "clock_offset_ms"),
        .files_failed = (uint64_t)get_number(said, "files_failed"),
    };
    snprintf(status.store, sizeof(status.store), "%s", json_object_get_string(store));
    get_lists(said, &status);
    json_object_put(said);
    *out = status;
    return 0;
}
