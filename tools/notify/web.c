// Mail, webhook and heartbeat: what libcurl does.
#include "tools/notify/ways.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"
#include "backend/base/secret.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECT_TIMEOUT_S 10L
#define PASSWORD_MAX 1024
#define REDIRECTS_MAX 3L

struct upload {
    const char *bytes;
    size_t len, at;
};

static void curl_type_free(CURL **handle)
{
    curl_easy_cleanup(*handle);
}

static void slist_free(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

#define auto_curl __attribute__((cleanup(curl_type_free))) CURL
#define auto_slist __attribute__((cleanup(slist_free))) struct curl_slist

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t send_some(char *to, size_t size, size_t count, void *ctx)
{
    struct upload *upload = ctx;
    size_t room = size * count, left = upload->len - upload->at;
    size_t n = left < room ? left : room;
    memcpy(to, upload->bytes + upload->at, n);
    upload->at += n;
    return n;
}

static size_t drop_answer(char *from, size_t size, size_t count, void *ctx)
{
    (void)from;
    (void)ctx;
    return size * count;
}

// libcurl itself reads none of the environment's bundles.
static const char *bundle(void)
{
    static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *path = getenv(names[i]);
        if (path && *path)
            return path;
    }
    return NULL;
}

static int make_handle(const char *url, const char *protocols, char error[CURL_ERROR_SIZE],
                       CURL **out, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    CURL *curl = curl_easy_init();
    if (!curl)
        return err_set(err, ENOMEM, "libcurl does not start");
    error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)NOTIFY_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_answer);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bakfs/" BAKFS_VERSION);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    if (code == CURLE_OK && bundle())
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, bundle());
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (code == CURLE_OK) {
        *out = curl;
        return 0;
    }
    curl_easy_cleanup(curl);
    return err_set(err, EIO, "libcurl: %s", curl_easy_strerror(code));
}

// What went wrong, as far as curl knows, on one line.
static int curl_failed(CURLcode code, const char *error, struct err *err)
{
    const char *why = *error ? error : curl_easy_strerror(code);
    int len = (int)strcspn(why, "\r\n");
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(err, EIO,
                       "%.*s (its certificate is not trusted here; CURL_CA_BUNDLE=FILE in the "
                       "environment names others)",
                       len, why);
    return err_set(err, EIO, "%.*s", len, why);
}

// --- Mail ---

static int read_password(const char *path, struct secret **out, struct err *err)
{
    char text[PASSWORD_MAX + 1];
    struct stat st;
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_errno(err, errno, "password file %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "password file %s: not a regular file", path);
    if (st.st_mode & 077)
        return err_set(err, EACCES,
                       "password file %s: group or others may use it (mode %04o): chmod 600 %s",
                       path, st.st_mode & 07777, path);
    ssize_t len = read(fd, text, sizeof(text));
    if (len < 0)
        return err_errno(err, errno, "password file %s", path);
    int rc = 0;
    if (len > PASSWORD_MAX)
        rc = err_set(err, EFBIG, "password file %s: longer than a password can be", path);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (rc == 0 && len == 0)
        rc = err_set(err, EINVAL, "password file %s: is empty", path);
    struct secret *password = rc == 0 ? secret_new(text, (size_t)len) : NULL;
    secret_wipe(text, sizeof(text));
    if (rc == 0 && !password)
        rc = err_errno(err, ENOMEM, "password file %s", path);
    if (rc == 0)
        *out = password;
    return rc;
}

// Without a user TLS is taken where it is offered, whoever offers it: what would strip a certificate could strip the
// offer as well (RFC 7435), and mail servers on the same host have certificates of their own making. With one it is all
// or nothing: no password without a server that proves its name.
static int set_security(CURL *curl, const struct conf *conf, struct err *err)
{
    if (strncmp(conf->notify.smtp, "smtps:", 6) != 0) {
        bool demanded = *conf->notify.user;
        curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(demanded ? CURLUSESSL_ALL : CURLUSESSL_TRY));
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, demanded ? 1L : 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, demanded ? 2L : 0L);
    }
    if (!*conf->notify.user)
        return 0;
    struct secret *password = NULL;
    int rc = read_password(conf->notify.password_file, &password, err);
    if (rc != 0)
        return rc;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_USERNAME, conf->notify.user);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PASSWORD, (const char *)password->bytes);
    secret_free(password);
    return code == CURLE_OK ? 0 : err_set(err, EIO, "libcurl: %s", curl_easy_strerror(code));
}

static int add_recipients(const char *to, struct curl_slist **list, struct err *err)
{
    auto_free char *copy = strdup(to);
    char *rest = NULL;
    if (!copy)
        return err_errno(err, ENOMEM, "mail");
    for (char *word = strtok_r(copy, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
        char address[1024];
        snprintf(address, sizeof(address), "<%s>", word);
        struct curl_slist *more = curl_slist_append(*list, address);
        if (!more)
            return err_errno(err, ENOMEM, "mail");
        *list = more;
    }
    return 0;
}

static int mail_failed(CURL *curl, CURLcode code, const char *error, struct err *err)
{
    long answer = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    if (code == CURLE_LOGIN_DENIED)
        return err_set(
            err, EIO,
            "the server does not take user and password (%ld): look at [notify] user and "
            "password_file",
            answer);
    if (code == CURLE_USE_SSL_FAILED)
        return err_set(err, EIO,
                       "the server offers no STARTTLS, and a password is not sent without it; use "
                       "smtps:// or another port");
    int rc = curl_failed(code, error, err);
    return answer >= 400 ? err_prefix(err, "the server answers %ld", answer) : rc;
}

static int send_mail(const struct conf *conf, const struct message *m, const char *sender,
                     const struct upload *mail, struct err *err)
{
    char error[CURL_ERROR_SIZE], from[1024];
    auto_curl *curl = NULL;
    auto_slist *to = NULL;
    (void)m;
    int rc = make_handle(conf->notify.smtp, "smtp,smtps", error, &curl, err);
    if (rc == 0)
        rc = set_security(curl, conf, err);
    if (rc == 0)
        rc = add_recipients(conf->notify.to, &to, err);
    if (rc != 0)
        return rc;
    struct upload upload = *mail;
    snprintf(from, sizeof(from), "<%s>", sender);
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_some);
    curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
    CURLcode code = curl_easy_perform(curl);
    return code == CURLE_OK ? 0 : mail_failed(curl, code, error, err);
}

int way_mail(const struct conf *conf, const struct message *m, struct err *err)
{
    uint64_t number;
    char id[64], *text = NULL;
    crypto_random(&number, sizeof(number));
    snprintf(id, sizeof(id), "%lld.%016" PRIx64, (long long)m->when, number);
    auto_free char *sender = message_sender(m, conf->notify.from);
    if (!sender)
        return err_errno(err, ENOMEM, "mail");
    size_t len = 0;
    int rc = message_mail(m, conf->notify.from, conf->notify.to, id, &text, &len, err);
    if (rc != 0)
        return rc;
    auto_free char *mail = text;
    rc = send_mail(conf, m, sender, &(struct upload){.bytes = mail, .len = len}, err);
    return rc == 0 ? 0 : err_prefix(err, "mail by %s", conf->notify.smtp);
}

// --- Webhook and heartbeat ---

// "https://host", without what may be secret behind or before it.
static void shown_host(const char *url, char *out, size_t room)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len);
    if (at) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    snprintf(out, room, "%.*s", (int)len, host);
}

static int perform_web(CURL *curl, const char *error, struct err *err)
{
    long answer = 0;
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return curl_failed(code, error, err);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    if (answer < 200 || answer > 299)
        return err_set(err, EIO, "it answers %ld", answer);
    return 0;
}

static int add_text(struct json_object *to, const char *name, const char *text)
{
    struct json_object *value = json_object_new_string(text);
    if (value && json_object_object_add(to, name, value) == 0)
        return 0;
    json_object_put(value);
    return -ENOMEM;
}

static int fill(struct json_object *o, const struct message *m)
{
    char when[32];
    struct tm tm;
    gmtime_r(&m->when, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    const struct {
        const char *name, *value;
    } all[] = {{"verdict", m->pass ? "PASS" : "FAIL"},
               {"subject", m->subject},
               {"verb", m->verb},
               {"what", m->what},
               {"summary", m->summary},
               {"body", m->body},
               {"host", m->host},
               {"time", when},
               {"text", m->text}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (add_text(o, all[i].name, all[i].value) != 0)
            return -ENOMEM;
    return 0;
}

static int post(const char *url, const char *body, struct err *err)
{
    char error[CURL_ERROR_SIZE];
    auto_curl *curl = NULL;
    auto_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!headers)
        return err_errno(err, ENOMEM, "webhook");
    int rc = make_handle(url, "http,https", error, &curl, err);
    if (rc != 0)
        return rc;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    return perform_web(curl, error, err);
}

int way_webhook(const struct conf *conf, const struct message *m, struct err *err)
{
    struct json_object *o = json_object_new_object();
    const char *body = o && fill(o, m) == 0
                           ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE)
                           : NULL;
    int rc = body ? post(conf->notify.webhook, body, err) : err_errno(err, ENOMEM, "webhook");
    json_object_put(o);
    if (rc == 0)
        return 0;
    char host[256];
    shown_host(conf->notify.webhook, host, sizeof(host));
    return err_prefix(err, "webhook at %s", host);
}

int way_heartbeat(const struct conf *conf, const struct message *m, struct err *err)
{
    (void)m;
    char error[CURL_ERROR_SIZE], host[256];
    auto_curl *curl = NULL;
    int rc = make_handle(conf->notify.heartbeat, "http,https", error, &curl, err);
    if (rc == 0) {
        bool safe = strncmp(conf->notify.heartbeat, "https:", 6) == 0;
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
        curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, safe ? "https" : "http,https");
        rc = perform_web(curl, error, err);
    }
    if (rc == 0)
        return 0;
    shown_host(conf->notify.heartbeat, host, sizeof(host));
    return err_prefix(err, "heartbeat at %s", host);
}
