#include "tests/support/fault_peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADS 32
#define HEAD_BYTES 8192
#define THREADS_MAX 256

struct fault_peer {
    const struct fault_step *steps;
    size_t count;
    unsigned upstream_port, port;
    const char *needle;
    int listener, stop; // stop: an eventfd that is readable once the peer is freed
    pthread_t acceptor;
    pthread_mutex_t lock;
    size_t next;
    unsigned requests;
    char heads[HEADS][HEAD_BYTES];
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
};

struct connection {
    struct fault_peer *peer;
    int fd;
};

// False when the peer is to stop, or there is nothing to read any more.
static bool wait_readable(struct fault_peer *peer, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = peer->stop, .events = POLLIN}};
    while (poll(fds, 2, -1) <= 0)
        ;
    return !fds[1].revents;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

// Reads one message: head, and as many bytes of body as it says (none for `head_only`, the answer to a HEAD). malloc'ed,
// NULL if it ended before.
static char *read_message(struct fault_peer *peer, int fd, bool head_only, size_t *out_len)
{
    size_t room = 1 << 16, len = 0, want = 0;
    char *text = malloc(room + 1);
    assert(text);
    for (;;) {
        if (want == 0) {
            text[len] = '\0';
            char *end = strstr(text, "\r\n\r\n");
            if (end) {
                char *length = strcasestr(text, "\r\ncontent-length:");
                want = (size_t)(end - text) + 4;
                if (length && length < end && !head_only)
                    want += strtoull(length + 17, NULL, 10);
            }
        }
        if (want > 0 && len >= want) {
            *out_len = len;
            return text;
        }
        if (len == room) {
            room *= 2;
            text = realloc(text, room + 1);
            assert(text);
        }
        ssize_t n = wait_readable(peer, fd) ? recv(fd, text + len, room - len, 0) : 0;
        if (n <= 0) {
            free(text);
            return NULL;
        }
        len += (size_t)n;
    }
}

static struct sockaddr_in loopback(unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// Sends the request on and reads the answer; NULL when the real server does not give one.
static char *ask_upstream(struct fault_peer *peer, const char *request, size_t len, size_t *out_len)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(peer->upstream_port);
    char *answer = NULL;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        send_all(fd, request, len))
        answer = read_message(peer, fd, strncmp(request, "HEAD ", 5) == 0, out_len);
    close(fd);
    return answer;
}

static struct fault_step note_request(struct fault_peer *peer, const char *request)
{
    struct fault_step step = {.kind = FAULT_FORWARD};
    pthread_mutex_lock(&peer->lock);
    const char *end = strstr(request, "\r\n");
    const char *found = peer->needle ? strstr(request, peer->needle) : request;
    if (found && found <= end) {
        step = peer->steps[peer->next];
        if (peer->next + 1 < peer->count)
            peer->next++;
    }
    if (peer->requests < HEADS)
        snprintf(peer->heads[peer->requests], HEAD_BYTES, "%.*s",
                 (int)(strstr(request, "\r\n\r\n") - request), request);
    peer->requests++;
    pthread_mutex_unlock(&peer->lock);
    return step;
}

static void *serve(void *ctx)
{
    struct connection *connection = ctx;
    struct fault_peer *peer = connection->peer;
    size_t len, answer_len = 0;
    char *request = read_message(peer, connection->fd, false, &len), *answer = NULL;
    if (request) {
        struct fault_step step = note_request(peer, request);
        if (step.kind == FAULT_ANSWER)
            send_all(connection->fd, step.answer, strlen(step.answer));
        else if (step.kind == FAULT_HANG)
            while (wait_readable(peer, connection->fd)) {
                char byte;
                if (recv(connection->fd, &byte, 1, 0) <= 0)
                    break; // the other side has had enough
            }
        else if (step.kind != FAULT_CLOSE)
            answer = ask_upstream(peer, request, len, &answer_len);
        if (answer && step.kind == FAULT_FORWARD)
            send_all(connection->fd, answer, answer_len);
    }
    free(answer);
    free(request);
    close(connection->fd);
    free(connection);
    return NULL;
}

static void *accept_all(void *ctx)
{
    struct fault_peer *peer = ctx;
    while (wait_readable(peer, peer->listener)) {
        struct connection *connection = malloc(sizeof(*connection));
        assert(connection && peer->thread_count < THREADS_MAX);
        *connection = (struct connection){peer, accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC)};
        int rc = pthread_create(&peer->threads[peer->thread_count++], NULL, serve, connection);
        assert(rc == 0);
        (void)rc;
    }
    return NULL;
}

struct fault_peer *fault_peer_new(const struct fault_step *steps, size_t count,
                                  unsigned upstream_port, const char *needle)
{
    struct fault_peer *peer = calloc(1, sizeof(*peer));
    assert(peer && count > 0);
    peer->steps = steps;
    peer->count = count;
    peer->upstream_port = upstream_port;
    peer->needle = needle;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    peer->stop = eventfd(0, EFD_CLOEXEC);
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);
    int rc = bind(peer->listener, (struct sockaddr *)&address, sizeof(address));
    assert(rc == 0);
    rc = listen(peer->listener, 64);
    assert(rc == 0);
    rc = getsockname(peer->listener, (struct sockaddr *)&address, &len);
    assert(rc == 0);
    peer->port = ntohs(address.sin_port);
    pthread_mutex_init(&peer->lock, NULL);
    rc = pthread_create(&peer->acceptor, NULL, accept_all, peer);
    assert(rc == 0);
    (void)rc;
    return peer;
}

unsigned fault_peer_port(const struct fault_peer *peer)
{
    return peer->port;
}

unsigned fault_peer_requests(struct fault_peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    unsigned requests = peer->requests;
    pthread_mutex_unlock(&peer->lock);
    return requests;
}

const char *fault_peer_head(struct fault_peer *peer, unsigned n)
{
    pthread_mutex_lock(&peer->lock);
    const char *head = n < peer->requests && n < HEADS ? peer->heads[n] : "";
    pthread_mutex_unlock(&peer->lock);
    return head;
}

void fault_peer_free(struct fault_peer *peer)
{
    if (!peer)
        return;
    eventfd_write(peer->stop, 1);
    pthread_join(peer->acceptor, NULL);
    for (unsigned i = 0; i < peer->thread_count; i++)
        pthread_join(peer->threads[i], NULL);
    close(peer->listener);
    close(peer->stop);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}
