/* See link.h: TLS. What is wrong with a certificate is noted while the handshake goes on, so that
 * there is something to say about it; nothing is sent over a connection that is not trusted.
 *
 * Thread: main.
 */
#include "auth/tls_peer.h"
#include "server/base/clock.h"
#include "server/doctor/link.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <poll.h>

static int note_and_go_on(int is_good, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct link *l = SSL_get_app_data(ssl);
    if (!is_good && l->verify_error == X509_V_OK)
        l->verify_error = X509_STORE_CTX_get_error(store);
    return 1;
}

static bool fail(struct link *l, const char *fault) {
    l->fault = fault;
    return false;
}

static bool prepare(struct link *l, const struct target *t) {
    l->ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ctx || !SSL_CTX_set_min_proto_version(l->ctx, TLS1_2_VERSION))
        return fail(l, "OpenSSL gives no TLS");
    if (t->ca_file ? SSL_CTX_load_verify_locations(l->ctx, t->ca_file, NULL) != 1
                   : SSL_CTX_set_default_verify_paths(l->ctx) != 1)
        return fail(l, "the file of --ca has no certificate that can be read");
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, note_and_go_on);
    l->ssl = SSL_new(l->ctx);
    /* What browsers offer for a WebSocket. 0 is good. */
    static const unsigned char protocols[] = "\x08http/1.1";
    if (!l->ssl || !tls_name_peer(l->ssl, t->url.host) || !SSL_set_fd(l->ssl, l->fd) ||
        SSL_set_alpn_protos(l->ssl, protocols, sizeof(protocols) - 1))
        return fail(l, "OpenSSL gives no TLS");
    SSL_set_app_data(l->ssl, l);
    return true;
}

static const char *why_not(struct link *l, int result) {
    if (SSL_get_error(l->ssl, result) == SSL_ERROR_SSL) {
        int reason = ERR_GET_REASON(ERR_peek_error());
        if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
            return "what listens there speaks no TLS";
        if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
            return "it speaks no TLS 1.2 or 1.3";
        if (reason == SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL)
            return "it takes no HTTP/1.1, which a WebSocket begins with";
        return "the TLS handshake failed";
    }
    return "the connection was cut during the TLS handshake";
}

/* The same as wait_for() of link.c, for the handshake. */
static bool wait_for(struct link *l, short events) {
    struct pollfd p = {.fd = l->fd, .events = events};
    uint64_t now_ms = clock_now_ms();
    return now_ms < l->end_ms && poll(&p, 1, (int)(l->end_ms - now_ms)) > 0;
}

bool link_start_tls(struct link *l, const struct target *t) {
    int result;
    if (!prepare(l, t))
        return false;
    ERR_clear_error();
    while ((result = SSL_connect(l->ssl)) != 1) {
        int error = SSL_get_error(l->ssl, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return fail(l, why_not(l, result));
        if (!wait_for(l, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT))
            return fail(l, "no answer to the TLS handshake in time");
    }
    return t->is_insecure || l->verify_error == X509_V_OK || fail(l, "the certificate is bad");
}
