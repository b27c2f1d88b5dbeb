/* One small document by HTTP/1.1, for a thread that may wait: GET, one answer, the connection is
 * closed. With TLS 1.2 or newer for https, the certificate checked against what the system trusts
 * (SSL_CERT_FILE and SSL_CERT_DIR count) and the host's name.
 *
 * No redirects, no proxies, no cookies: who configures an address gets what is there. Everything is
 * bounded: the head to 16 KiB, the body, and the time for all of it together (but for the
 * resolver's, which has its own).
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_HTTP_GET_H
#define CARILLON_AUTH_HTTP_GET_H

#include "server/base/buf.h"

/* Taken apart; borrows the URL. */
struct http_url {
    bool is_tls;
    struct str host; /* without the brackets of an IPv6 address */
    struct str port;
    struct str authority; /* host and port as they were written */
    struct str target;    /* path and query; may be empty: "/" */
};

/* False when it is no http or https URL, or has a user or a fragment in it. */
bool http_url_parse(struct str url, struct http_url *out);

struct http_get {
    struct http_url url;
    size_t max_bytes;    /* of the body */
    uint32_t timeout_ms; /* for all of it */
    int stop_fd;         /* when it can be read from, the fetch ends; -1: none */
};

/* NULL when the status was 200: then the body is appended to *body. Otherwise what went wrong, a
 * static text. */
const char *http_get(const struct http_get *g, struct buf *body);

#endif
