// The other end of an HTTP connection, gone wrong on purpose: it answers what the test says, closes, says nothing, or
// stands before a real server and loses that one's answers. One request a connection, a thread for each.
#pragma once

#include <stddef.h>

enum fault_kind {
    FAULT_ANSWER,  // `answer`, byte for byte, then close
    FAULT_CLOSE,   // close without a word
    FAULT_HANG,    // say nothing until the peer is freed
    FAULT_FORWARD, // the real server's answer
    FAULT_LOSE,    // the real server does it, its answer is lost
};

struct fault_step {
    enum fault_kind kind;
    const char *answer;
};

struct fault_peer;
// Each request takes the next step; the last one stays. `upstream_port` 0: no real server.
// `needle` (NULL: all) limits the steps to requests in whose first line it stands; others are forwarded.
struct fault_peer *fault_peer_new(const struct fault_step *steps, size_t count,
                                  unsigned upstream_port, const char *needle);
unsigned fault_peer_port(const struct fault_peer *);
unsigned fault_peer_requests(struct fault_peer *);
// The head of request number `n` (from 0), "" if there was none; of the first 32.
const char *fault_peer_head(struct fault_peer *, unsigned n);
void fault_peer_free(struct fault_peer *);
