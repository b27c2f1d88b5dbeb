/* Certificates for tests, made when they are needed: a CA, and what it signs.
 *
 * Include once. Owns: static texts. Thread: one.
 */
#ifndef CARILLON_TESTS_CERTIFICATES_H
#define CARILLON_TESTS_CERTIFICATES_H

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

struct certificate {
    char cert_pem[2048], key_pem[1024];
    X509 *x;
    EVP_PKEY *key;
};

static inline void add_extension(X509 *x, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static inline void print_certificate(struct certificate *c) {
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, c->x);
    int n = BIO_read(b, c->cert_pem, sizeof(c->cert_pem) - 1);
    assert(n > 0);
    c->cert_pem[n] = '\0';
    PEM_write_bio_PrivateKey(b, c->key, NULL, NULL, 0, NULL, NULL);
    n = BIO_read(b, c->key_pem, sizeof(c->key_pem) - 1);
    assert(n > 0);
    c->key_pem[n] = '\0';
    BIO_free(b);
}

/* Signed by itself when `by` is NULL. `names` are alternative names as in "DNS:a,IP:127.0.0.1";
 * NULL: none, and it is a CA when it signs itself. */
static inline void make_certificate(struct certificate *c, const struct certificate *by,
                                    const char *common_name, const char *names, int start_days,
                                    int end_days) {
    static long serial = 1;
    c->key = EVP_EC_gen("P-256");
    c->x = X509_new();
    assert(c->key && c->x);
    X509_set_version(c->x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c->x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c->x), start_days * 86400L - 60);
    X509_gmtime_adj(X509_getm_notAfter(c->x), end_days * 86400L);
    X509_set_pubkey(c->x, c->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c->x), "CN", MBSTRING_ASC,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(c->x, X509_get_subject_name(by ? by->x : c->x));
    if (!by && !names)
        add_extension(c->x, NID_basic_constraints, "critical,CA:TRUE");
    if (names)
        add_extension(c->x, NID_subject_alt_name, names);
    int signature_bytes = X509_sign(c->x, by ? by->key : c->key, EVP_sha256());
    assert(signature_bytes > 0);
    print_certificate(c);
}

static inline void free_certificate(struct certificate *c) {
    X509_free(c->x);
    EVP_PKEY_free(c->key);
}

#endif
