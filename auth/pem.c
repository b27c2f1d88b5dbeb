/* See pem.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/pem.h"

#include "server/base/mem.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#define BEGIN "-----BEGIN "

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

char *pem_from_text(const char *text) {
    size_t n = strlen(text);
    int got = 0, last = 0;
    if (strstr(text, BEGIN))
        return mem_strndup(text, n);
    EVP_ENCODE_CTX *c = EVP_ENCODE_CTX_new();
    char *pem = mem_alloc(n + 1);
    EVP_DecodeInit(c);
    bool is_good =
        EVP_DecodeUpdate(c, (unsigned char *)pem, &got, (const unsigned char *)text, (int)n) >= 0 &&
        EVP_DecodeFinal(c, (unsigned char *)pem + got, &last) == 1;
    EVP_ENCODE_CTX_free(c);
    size_t pem_bytes = is_good ? (size_t)got + (size_t)last : 0;
    pem[pem_bytes] = '\0';
    if (strlen(pem) == pem_bytes && strstr(pem, BEGIN))
        return pem;
    explicit_bzero(pem, n + 1);
    mem_free(pem);
    return NULL;
}

/* True when reading ended because there was no more to read. */
static bool is_at_end(void) {
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

const char *pem_check_certificates(const char *pem) {
    BIO *b = open_text(pem);
    X509 *x;
    unsigned count = 0;
    ERR_clear_error();
    while ((x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL))) {
        X509_free(x);
        count++;
    }
    bool is_whole = is_at_end();
    ERR_clear_error();
    BIO_free(b);
    if (!is_whole)
        return "holds a broken certificate";
    return count ? NULL : "holds no certificate";
}

const char *pem_check_key(const char *key_pem, const char *cert_pem) {
    const char *why = NULL;
    BIO *key_text = open_text(key_pem), *cert_text = open_text(cert_pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL);
    X509 *cert = PEM_read_bio_X509(cert_text, NULL, no_passphrase, NULL);
    if (!key)
        why = strstr(key_pem, "ENCRYPTED") ? "is encrypted; a key without passphrase is needed"
                                           : "holds no private key, or a broken one";
    else if (!cert || X509_check_private_key(cert, key) != 1)
        why = "is not the key of the certificate";
    ERR_clear_error();
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(cert_text);
    BIO_free(key_text);
    return why;
}
