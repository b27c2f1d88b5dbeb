/* What the tests of public keys share: a key of each kind, and what is expected of tokens.
 *
 * Include after auth/jws.c. Thread: one. Owns: the keys.
 */
#ifndef CARILLON_TESTS_JWS_PUBLIC_TESTING_H
#define CARILLON_TESTS_JWS_PUBLIC_TESTING_H

#include "tests/unit/jws_testing.h"

#include "tests/unit/key_testing.h"

#define FORM "not base64url of as many bytes"
#define WRONG "the signature is wrong"
#define ALGORITHM "alg in the header is none"
#define DOTS "two dots"

/* Of all pairs; one of them at a time is in a struct jws_keys. */
static struct jwk *public_keys[PAIR_COUNT];

static inline struct jws_keys keys_with(int pair) {
    struct jwk *k = public_keys[pair];
    return (struct jws_keys){.rsa = pair == PAIR_RSA ? k : NULL,
                             .ecdsa = pair >= PAIR_P256 && pair <= PAIR_P521 ? k : NULL,
                             .ed25519 = pair == PAIR_ED25519 ? k : NULL};
}

/* The fault, or NULL when it is good. */
static inline const char *judge_keys(struct str token, const struct jws_keys *keys) {
    struct buf payload = {0};
    const char *fault = NULL;
    char *copy = malloc(token.n + 1); /* exactly as long as ASan lets it be read */
    memcpy(copy, token.p, token.n);
    copy = realloc(copy, token.n ? token.n : 1);
    bool is_good = jws_verify((struct str){copy, token.n}, keys, &payload, &fault, 0);
    assert_true(is_good ? !fault : fault && payload.n == 0);
    free(copy);
    buf_fini(&payload);
    return fault;
}

static inline void expect_words(const struct buf *token, const struct jws_keys *keys,
                                const char *words) {
    const char *fault = judge_keys(buf_str(token), keys);
    if (!words && fault)
        fail_msg("refused because %s: %.*s", fault, STR_ARG(buf_str(token)));
    if (words && (!fault || !strstr(fault, words)))
        fail_msg("%s, but expected \"%s\": %.*s", fault ? fault : "taken", words,
                 STR_ARG(buf_str(token)));
}

static inline void expect_for(const struct buf *token, const struct public_algorithm *a,
                              const char *words) {
    struct jws_keys keys = keys_with(a->pair);
    expect_words(token, &keys, words);
}

/* A token with this signature, whatever it is. */
static inline void make_with(struct buf *token, const struct public_algorithm *a,
                             struct str signature) {
    make_unsigned(token, a->name, HEADER, PAYLOAD);
    buf_add_char(token, '.');
    add_base64url(token, signature);
}

/* A good signature for the text that make_with() signs. */
static inline void sign_default(struct buf *out, const struct public_algorithm *a) {
    struct buf text = {0};
    make_unsigned(&text, a->name, HEADER, PAYLOAD);
    buf_clear(out);
    add_public_signature(out, a, pair_of(a->pair), buf_str(&text));
    buf_fini(&text);
}

static inline int run_with_keys(int (*run)(void)) {
    if (sodium_init() < 0)
        return 1;
    for (int i = 0; i < PAIR_COUNT; i++)
        public_keys[i] = jwk_of_pair(pair_of(i), i);
    int status = run();
    for (int i = 0; i < PAIR_COUNT; i++)
        jwk_destroy(public_keys[i]);
    return status;
}

#endif
