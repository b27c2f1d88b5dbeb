/* TLS between a link and its socket: plain bytes in, sealed bytes out, and the reverse. It touches
 * no socket and never waits; the one file of the channels that knows OpenSSL.
 *
 * TLS 1.2 or newer. The certificate of the other side must be signed by a CA of ours and be for the
 * host we meant, by a name or address among its alternative names; the old common name does not
 * count. Whatever is wrong is said in a static text.
 *
 * Owns: the settings; of a stream, what is half-read. Thread: settings are constant and may be
 * shared; a stream has one.
 */
#ifndef CARILLON_CHANNELS_REDIS_TLS_H
#define CARILLON_CHANNELS_REDIS_TLS_H

#include "server/base/buf.h"

#include <sys/types.h>

struct redis_tls_options {
    const char *server_ca_pem; /* whose signature counts; empty: whom the system trusts */
    const char *cert_pem;      /* our own, with those between it and its CA; empty: none */
    const char *key_pem;
    const char *server_name; /* what the certificate must be for; empty: the host of the link */
    bool insecure_skip_verify;
};

struct redis_tls;

/* Borrows the options. NULL when the texts are no certificates, or the key is not that of the
 * certificate. */
struct redis_tls *redis_tls_create(const struct redis_tls_options *options);
void redis_tls_destroy(struct redis_tls *tls);

struct redis_tls_stream;

/* Borrows the settings, and `sealed`, to which it adds what must be sent, as long as it lives. NULL
 * when no certificate can be for the host; NULL is such a host. */
struct redis_tls_stream *redis_tls_open(const struct redis_tls *tls, const char *host,
                                        struct buf *sealed);
void redis_tls_close(struct redis_tls_stream *s);

/* Copies what came from the socket. */
void redis_tls_feed(struct redis_tls_stream *s, const char *sealed, size_t size_bytes);

enum redis_tls_state { REDIS_TLS_SHAKING, REDIS_TLS_OPEN, REDIS_TLS_BROKEN };

/* Goes on with the handshake; the first call begins it. */
enum redis_tls_state redis_tls_shake(struct redis_tls_stream *s);

/* After the handshake. Plain bytes of what was fed: how many, 0 when there are no more for now, -1
 * when it broke. */
ssize_t redis_tls_read(struct redis_tls_stream *s, char *into, size_t max_bytes);

/* After the handshake. Seals all of it; false when it broke. */
bool redis_tls_write(struct redis_tls_stream *s, struct str plain);

/* Why it broke, a static text. */
const char *redis_tls_fault(const struct redis_tls_stream *s);

#endif
