/* What the tests of the signature layer share: judges tokens with the function under test.
 *
 * Include after auth/jws.c. Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_JWS_TESTING_H
#define CARILLON_TESTS_JWS_TESTING_H

#include "auth/jws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/token_testing.h"

#define HEADER STR("{\"alg\":\"@\",\"typ\":\"JWT\"}")
#define PAYLOAD STR("{\"sub\":\"alice\"}")

/* The fault, or NULL when the token is good. */
static inline const char *judge_with(struct str token, struct str secret) {
    struct buf payload = {0};
    const char *fault = "untouched";
    buf_add_z(&payload, "before ");
    bool is_good =
        jws_verify(token, &(struct jws_keys){.hmac_secret = secret}, &payload, &fault, 0);
    if (is_good)
        assert_true(str_starts(buf_str(&payload), STR("before ")) && payload.n > 7);
    else
        assert_true(str_equal(buf_str(&payload), STR("before ")));
    buf_fini(&payload);
    return is_good ? NULL : fault;
}

static inline const char *judge(const struct buf *token) {
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = malloc(token->n ? token->n : 1);
    if (token->n)
        memcpy(copy, token->p, token->n);
    const char *fault = judge_with((struct str){copy, token->n}, SECRET);
    free(copy);
    return fault;
}

static inline void expect_good(const struct buf *token) {
    const char *fault = judge(token);
    if (fault)
        fail_msg("refused, because %s: %.*s", fault, STR_ARG(buf_str(token)));
}

static inline void expect_refused(const struct buf *token, const char *words) {
    const char *fault = judge(token);
    if (!fault)
        fail_msg("taken: %.*s", STR_ARG(buf_str(token)));
    else if (!strstr(fault, words))
        fail_msg("refused because %s, but expected: %s", fault, words);
}

static inline void set(struct buf *b, struct str s) {
    buf_clear(b);
    buf_add(b, s);
}

#endif
