/* See tls_peer.h.
 *
 * Thread: any (no state).
 */
#include "auth/tls_peer.h"

#include "server/base/mem.h"

#include <openssl/x509_vfy.h>

bool tls_name_peer(SSL *ssl, struct str host) {
    char *name = mem_strndup(host.p, host.n);
    bool is_good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ||
                   (SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1);
    mem_free(name);
    return is_good;
}
