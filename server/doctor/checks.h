/* The checks, in their order. Each adds its lines to the report and leaves what the next ones need.
 *
 * Thread: main.
 */
#ifndef CARILLON_DOCTOR_CHECKS_H
#define CARILLON_DOCTOR_CHECKS_H

#include "server/config/config.h"
#include "server/doctor/exchange.h"
#include "server/doctor/options.h"
#include "server/doctor/report.h"

enum { DOCTOR_BODY_BYTES_MAX = 65536, DOCTOR_METRICS_BYTES_MAX = 1 << 20 };

struct doctor {
    const struct doctor_options *ask;
    const struct config *config; /* of --config, else the defaults */
    struct report report;
    struct target target;
    char *url_text;    /* what target.url borrows */
    struct str prefix; /* of the URL's path, before the handler prefixes */
    char *websocket_path;
    /* What was found out: */
    bool is_carillon;        /* by its own words, or its version */
    bool is_upgrading;       /* the handshake gets through */
    const char *origin;      /* what is sent from now on: the one asked for, if it is allowed */
    bool is_connected;       /* and the token is taken */
    const char *good_stream; /* its handler prefix, or NULL */
    uint64_t ping_s;         /* by the reply to connect */
    char version[32];
};

/* Name, addresses, TLS. False: there is no connection to go on with. */
bool check_network(struct doctor *d);

/* Is it Carillon? False: something else answers. */
bool check_identity(struct doctor *d);

/* WebSocket: the handshake, the origin, the token. */
void check_upgrade(struct doctor *d);
void check_origin(struct doctor *d);
void check_claims(struct doctor *d);
void check_connect(struct doctor *d);

/* HTTP streaming and Server-Sent Events. */
void check_streams(struct doctor *d);

/* Does a quiet connection live? */
void check_idle(struct doctor *d);

/* The same for a stream, d->good_stream: opened, left alone, and then looked at for up to left_ms
 * until its first ping. age_ms: for how long it was left alone. */
struct stream *quiet_stream_open(struct doctor *d);
void quiet_stream_report(struct doctor *d, struct stream *s, uint64_t age_ms, uint32_t left_ms);
void quiet_stream_close(struct stream *s);

/* What the server says about itself: Redis, descriptors. */
void check_host(struct doctor *d);

/* Gives prefix + handler prefix; free with mem_free(). */
char *doctor_path(const struct doctor *d, const char *handler_prefix);

/* The connect command; it holds the token. */
void doctor_add_connect(const struct doctor *d, struct buf *out);

#endif
