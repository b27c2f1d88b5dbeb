/* Tokens: the input once as a whole token, once as the claims of one that is rightly signed.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/token.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void verify(struct str token) {
    const struct token_keys keys = {STR("secret")};
    struct token_claims claims;
    enum token_result result = token_verify(token, &keys, 1000000, &claims);
    if (result == TOKEN_OK && (!str_is_utf8(claims.user) || claims.user.n > USER_MAX_BYTES))
        __builtin_trap();
    if (result != TOKEN_OK && !claims.fault)
        __builtin_trap();
    token_claims_fini(&claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const struct str input = {(const char *)data, n};
    struct buf token = {0};
    verify(input);
    if (n) {
        jws_sign(input, STR("secret"), &token);
        verify(buf_str(&token));
    }
    buf_fini(&token);
    return 0;
}
