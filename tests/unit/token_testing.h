/* Makes tokens, good ones and such as no library would make, without the code under test: own
 * base64url, OpenSSL's MAC.
 *
 * Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_TOKEN_TESTING_H
#define CARILLON_TESTS_TOKEN_TESTING_H

#include "server/base/buf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

struct test_algorithm {
    const char *name;
    const EVP_MD *(*digest)(void);
    size_t mac_bytes;
};

static const struct test_algorithm test_algorithms[] = {
    {"HS256", EVP_sha256, 32}, {"HS384", EVP_sha384, 48}, {"HS512", EVP_sha512, 64}};

#define for_each_algorithm(a)                                                                      \
    for (const struct test_algorithm *a = test_algorithms; a < test_algorithms + 3; a++)

#define SECRET_TEXT "a secret of at least 64 bytes, which is what HS512 should have: ok"
#define SECRET STR(SECRET_TEXT)

static inline void add_base64url(struct buf *out, struct str s) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < s.n; i++) {
        bits = bits << 8 | (unsigned char)s.p[i];
        for (count += 8; count >= 6; count -= 6)
            buf_add_char(out, letters[bits >> (count - 6) & 63]);
    }
    if (count)
        buf_add_char(out, letters[bits << (6 - count) & 63]);
}

/* The MAC of text, as it is. */
static inline void add_mac(struct buf *out, const struct test_algorithm *a, struct str secret,
                           struct str text) {
    unsigned n = 0;
    HMAC(a->digest(), secret.p, (int)secret.n, (const unsigned char *)text.p, text.n,
         (unsigned char *)buf_reserve(out, EVP_MAX_MD_SIZE), &n);
    out->n += n;
}

/* Makes the first two parts, whatever they are, a token with a good signature. */
static inline void add_signature(struct buf *token, const struct test_algorithm *a,
                                 struct str secret) {
    struct buf mac = {0};
    add_mac(&mac, a, secret, buf_str(token));
    buf_add_char(token, '.');
    add_base64url(token, buf_str(&mac));
    buf_fini(&mac);
}

/* Replaces what is in the buffer by a token; each @ in the header stands for the algorithm. */
static inline void make_token(struct buf *token, const struct test_algorithm *a, struct str header,
                              struct str payload) {
    struct buf text = {0};
    buf_clear(token);
    for (size_t i = 0; i < header.n; i++) {
        if (header.p[i] == '@')
            buf_add_z(&text, a->name);
        else
            buf_add_char(&text, header.p[i]);
    }
    add_base64url(token, buf_str(&text));
    buf_add_char(token, '.');
    add_base64url(token, payload);
    add_signature(token, a, SECRET);
    buf_fini(&text);
}

#endif
