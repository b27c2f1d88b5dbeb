/* One connection to what is examined: TCP, and TLS for https. Every wait ends at a deadline, so
 * nothing that the other side does or leaves undone can hold the doctor up.
 *
 * Thread: main. Owns: its socket and what has come in.
 */
#ifndef CARILLON_DOCTOR_LINK_H
#define CARILLON_DOCTOR_LINK_H

#include "auth/http_get.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

enum { ADDRESSES_MAX = 8 };

struct address {
    struct sockaddr_storage sockaddr;
    socklen_t bytes;
    char text[64]; /* numeric */
};

/* What is connected to. */
struct target {
    struct http_url url;
    const char *ca_file; /* NULL: what the system trusts */
    bool is_insecure;    /* a bad certificate is no reason to stop */
    uint32_t timeout_ms; /* for a connect, a TLS handshake, an answer */
    struct address addresses[ADDRESSES_MAX];
    uint32_t address_count;
    uint32_t chosen; /* the address that is used */
};

/* How a connection is, or how it ended. */
enum link_state {
    LINK_OPEN,
    LINK_LATE,   /* not in time; it is still there */
    LINK_ENDED,  /* the peer closed it */
    LINK_RESET,  /* the peer, or somebody in between, broke it */
    LINK_FAILED, /* no connection, no TLS: see fault */
};

struct link {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    enum link_state state;
    uint64_t end_ms; /* the deadline, of clock_now_ms() */
    struct buf in;   /* what has come and was not consumed */
    const char *fault;
    int verify_error; /* X509_V_..., the first one; the handshake goes on for the details */
};

/* Fills addresses. NULL, or what went wrong, static. */
const char *target_resolve(struct target *t);

/* TCP to one address. NULL, or what went wrong, static; then *fd is -1. */
const char *target_connect(const struct target *t, uint32_t which, int *fd);

/* Connects to the chosen address. With false, state is LINK_FAILED; link_close() in any case. */
bool link_open(struct link *l, const struct target *t);

/* The TLS part of it. */
bool link_start_tls(struct link *l, const struct target *t);

/* Is the deadline this far away from now? */
void link_set_deadline(struct link *l, uint32_t after_ms);

/* False: see state. */
bool link_send(struct link *l, struct str bytes);

/* Waits for some more bytes. False: see state; LINK_LATE may be tried again. */
bool link_receive(struct link *l);

void link_close(struct link *l);

/* How it ended, in words. */
const char *link_state_text(const struct link *l);

#endif
