/* See redis_tls.h. Two memory BIOs stand where OpenSSL expects a socket.
 *
 * The certificate of a server that wants one of ours comes in the handshake; with TLS 1.3 the
 * server judges ours only afterwards, so that refusal shows as a broken read.
 *
 * Thread: one per stream.
 */
#include "channels/redis_tls.h"

#include "server/base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

struct redis_tls {
    SSL_CTX *context;
    char *server_name;
    bool is_verified;
};

struct redis_tls_stream {
    SSL *ssl;
    BIO *in, *out; /* of the ssl */
    struct buf *sealed;
    const char *fault;
};

/* --- settings --------------------------------------------------------------------------------- */

/* Without it OpenSSL would ask on the terminal. */
static int no_passphrase(char *text, int max_bytes, int is_write, void *arg) {
    (void)text;
    (void)max_bytes;
    (void)is_write;
    (void)arg;
    return -1;
}

static BIO *open_text(const char *text) {
    BIO *b = BIO_new_mem_buf(text, -1);
    assert(b); /* only memory can lack */
    return b;
}

static X509 *read_certificate(BIO *b) {
    return PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
}

/* A CA of ours need not be self-signed. */
static bool use_authorities(SSL_CTX *context, const char *pem) {
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *b = open_text(pem);
    X509 *x;
    bool is_good = true;
    unsigned count = 0;
    for (; is_good && (x = read_certificate(b)); count++) {
        is_good = X509_STORE_add_cert(store, x) == 1;
        X509_free(x);
    }
    BIO_free(b);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return is_good && count > 0;
}

static bool use_own(SSL_CTX *context, const char *cert_pem, const char *key_pem) {
    BIO *certs = open_text(cert_pem), *key_text = open_text(key_pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL);
    X509 *x = read_certificate(certs);
    bool is_good = x && key && SSL_CTX_use_certificate(context, x) == 1 &&
                   SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(x);
    while (is_good && (x = read_certificate(certs)))
        is_good = SSL_CTX_add0_chain_cert(context, x) == 1;
    EVP_PKEY_free(key);
    BIO_free(key_text);
    BIO_free(certs);
    return is_good;
}

struct redis_tls *redis_tls_create(const struct redis_tls_options *o) {
    struct redis_tls *tls = mem_zalloc(sizeof(*tls));
    tls->context = SSL_CTX_new(TLS_client_method());
    assert(tls->context);
    tls->server_name = mem_strndup(o->server_name, strlen(o->server_name));
    tls->is_verified = !o->insecure_skip_verify;
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls->context, tls->is_verified ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    bool is_good = *o->server_ca_pem ? use_authorities(tls->context, o->server_ca_pem)
                                     : SSL_CTX_set_default_verify_paths(tls->context) == 1;
    if (*o->cert_pem)
        is_good = is_good && use_own(tls->context, o->cert_pem, o->key_pem);
    ERR_clear_error();
    if (is_good)
        return tls;
    redis_tls_destroy(tls);
    return NULL;
}

void redis_tls_destroy(struct redis_tls *tls) {
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    mem_free(tls->server_name);
    mem_free(tls);
}

/* --- a stream --------------------------------------------------------------------------------- */

static bool is_ip(const char *host) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* An address is not sent ahead as a name (RFC 6066). To OpenSSL an empty name means any. */
static bool expect_host(const struct redis_tls *tls, SSL *ssl, const char *host) {
    if (!host || !*host)
        return false;
    bool is_name = !is_ip(host);
    if (is_name && SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    if (!tls->is_verified)
        return true;
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return is_name ? SSL_set1_host(ssl, host) == 1
                   : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
}

struct redis_tls_stream *redis_tls_open(const struct redis_tls *tls, const char *host,
                                        struct buf *sealed) {
    struct redis_tls_stream *s = mem_zalloc(sizeof(*s));
    s->sealed = sealed;
    s->ssl = SSL_new(tls->context);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    assert(s->ssl && s->in && s->out);
    BIO_set_mem_eof_return(s->in, -1); /* empty is not the end */
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_connect_state(s->ssl);
    if (expect_host(tls, s->ssl, *tls->server_name ? tls->server_name : host))
        return s;
    ERR_clear_error();
    redis_tls_close(s);
    return NULL;
}

void redis_tls_close(struct redis_tls_stream *s) {
    if (!s)
        return;
    SSL_free(s->ssl);
    mem_free(s);
}

void redis_tls_feed(struct redis_tls_stream *s, const char *sealed, size_t size_bytes) {
    assert(size_bytes <= INT32_MAX);
    int n = BIO_write(s->in, sealed, (int)size_bytes);
    assert(n == (int)size_bytes);
}

/* --- what is wrong ---------------------------------------------------------------------------- */

static const char *certificate_words(long result) {
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the certificate of redis has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the certificate of redis is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "the certificate of redis is for another host";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return "the certificate of redis is not trusted";
    case X509_V_ERR_INVALID_PURPOSE:
        return "the certificate of redis is not for a server";
    default:
        return "the certificate of redis is not valid";
    }
}

/* The alerts are what the other side says to ours. */
static const char *protocol_words(int reason) {
    switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "redis wants a certificate of ours";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "redis refuses the TLS handshake, maybe it wants a certificate of ours";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        return "redis refuses our certificate";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
        return "redis does not speak TLS here";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "redis speaks no TLS 1.2 or newer";
    default:
        return "TLS to redis broke";
    }
}

static void note_fault(struct redis_tls_stream *s) {
    unsigned long error = ERR_peek_error();
    bool is_certificate = ERR_GET_LIB(error) == ERR_LIB_SSL &&
                          ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    if (!s->fault)
        s->fault = is_certificate ? certificate_words(SSL_get_verify_result(s->ssl))
                                  : protocol_words(ERR_GET_REASON(error));
    ERR_clear_error();
}

const char *redis_tls_fault(const struct redis_tls_stream *s) {
    return s->fault;
}

/* --- working ---------------------------------------------------------------------------------- */

/* Also what OpenSSL says by itself: the handshake, an alert, new keys. */
static void take_sealed(struct redis_tls_stream *s) {
    size_t waiting_bytes = BIO_ctrl_pending(s->out);
    if (waiting_bytes == 0)
        return;
    int n = BIO_read(s->out, buf_reserve(s->sealed, waiting_bytes), (int)waiting_bytes);
    assert(n == (int)waiting_bytes);
    s->sealed->n += waiting_bytes;
}

enum redis_tls_state redis_tls_shake(struct redis_tls_stream *s) {
    ERR_clear_error();
    int result = SSL_do_handshake(s->ssl);
    take_sealed(s);
    if (result == 1)
        return REDIS_TLS_OPEN;
    if (SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ)
        return REDIS_TLS_SHAKING;
    note_fault(s);
    return REDIS_TLS_BROKEN;
}

ssize_t redis_tls_read(struct redis_tls_stream *s, char *into, size_t max_bytes) {
    size_t n = 0;
    ERR_clear_error();
    int result = SSL_read_ex(s->ssl, into, max_bytes, &n);
    take_sealed(s);
    if (result == 1)
        return (ssize_t)n;
    int error = SSL_get_error(s->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        return 0;
    if (error == SSL_ERROR_ZERO_RETURN)
        s->fault = "redis closed the connection";
    note_fault(s);
    return -1;
}

bool redis_tls_write(struct redis_tls_stream *s, struct str plain) {
    size_t n = 0;
    ERR_clear_error();
    bool is_written = plain.n == 0 || SSL_write_ex(s->ssl, plain.p, plain.n, &n) == 1;
    take_sealed(s);
    if (is_written)
        assert(n == plain.n); /* a memory BIO takes all */
    else
        note_fault(s);
    return is_written;
}
