/* Whom a TLS client expects at the other end.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_AUTH_TLS_PEER_H
#define CARILLON_AUTH_TLS_PEER_H

#include "server/base/str.h"

#include <openssl/ssl.h>

/* The certificate must be for this host. An address is checked as one, and sent as no name (RFC
 * 6066 section 3). False when OpenSSL takes it for neither. */
bool tls_name_peer(SSL *ssl, struct str host);

#endif
