/* Connection tokens: what a good one says, and every attack on HMAC tokens that must fail.
 *
 * Tokens are made here, part by part, so that each part can be wrong. The clock is an argument.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/token.c"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
enum { NOW_S = 1000000 };

static struct token_claims claims;
static struct buf token;

static void add_encoded(struct buf *b, const void *bytes, size_t n) {
    size_t room = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_bin2base64(buf_reserve(b, room), room, bytes, n,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    b->n += strlen(b->p + b->n);
}

static void sign(const EVP_MD *digest, const char *secret) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    HMAC(digest, secret, (int)strlen(secret), (unsigned char *)token.p, token.n, mac, &n);
    buf_add_char(&token, '.');
    add_encoded(&token, mac, n);
}

static struct str make_with(const char *header, const char *payload, const EVP_MD *digest) {
    buf_clear(&token);
    add_encoded(&token, header, strlen(header));
    buf_add_char(&token, '.');
    add_encoded(&token, payload, strlen(payload));
    sign(digest, SECRET);
    return buf_str(&token);
}

static struct str make(const char *payload) {
    return make_with(HS256, payload, EVP_sha256());
}

static enum token_result verify(struct str t) {
    const struct token_keys keys = {STR(SECRET)};
    token_claims_fini(&claims);
    return token_verify(t, &keys, NOW_S, &claims);
}

static void expect(enum token_result result, const char *payload) {
    enum token_result found = verify(make(payload));
    if (found != result)
        print_error("%s\nfault: %s\n", payload, claims.fault ? claims.fault : "none");
    assert_int_equal(found, result);
    assert_true(result == TOKEN_OK || claims.fault);
}

static void expect_str(struct str s, const char *z) {
    assert_true(str_equal(s, str_of(z)));
}

/* --- good ones -------------------------------------------------------------------------------- */

static void claims_are_read(void **state) {
    (void)state;
    expect(TOKEN_OK, "{\"sub\":\"al\\u0069ce\",\"exp\":1000060,\"info\":{\"a\": [1.50]},"
                     "\"channels\":[\"news\",\"b\\\"c\"],\"other\":1}");
    expect_str(claims.user, "alice");
    expect_str(claims.info, "{\"a\": [1.50]}");
    assert_int_equal(claims.expires_at_s, 1000060);
    assert_int_equal(claims.channel_count, 2);
    expect_str(claims.channels[0], "news");
    expect_str(claims.channels[1], "b\"c");
}

static void nothing_is_needed(void **state) {
    (void)state;
    expect(TOKEN_OK, "{}");
    assert_int_equal(claims.user.n + claims.info.n + claims.channel_count, 0);
    assert_int_equal(claims.expires_at_s, 0);
}

static void all_three_digests_are_allowed(void **state) {
    (void)state;
    assert_int_equal(verify(make_with("{\"alg\":\"HS256\"}", "{}", EVP_sha256())), TOKEN_OK);
    assert_int_equal(verify(make_with("{\"alg\":\"HS384\"}", "{}", EVP_sha384())), TOKEN_OK);
    assert_int_equal(verify(make_with("{\"alg\":\"HS512\"}", "{}", EVP_sha512())), TOKEN_OK);
}

static void the_example_of_rfc_7515_verifies(void **state) {
    (void)state;
    unsigned char key[64];
    size_t n = 0;
    static const char key_text[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4"
        "hcgUuTwjAzZr1Z9CAow";
    sodium_base642bin(key, sizeof(key), key_text, strlen(key_text), NULL, &n, NULL,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    const struct str example = STR(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0"
        "dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    const struct token_keys keys = {{(char *)key, n}};
    token_claims_fini(&claims);
    assert_int_equal(token_verify(example, &keys, 1300819379, &claims), TOKEN_OK);
    assert_int_equal(claims.expires_at_s, 1300819380);
    token_claims_fini(&claims);
    assert_int_equal(token_verify(example, &keys, 1300819380, &claims), TOKEN_EXPIRED);
}

static void what_we_make_we_take(void **state) {
    (void)state;
    const struct str channels[] = {STR("a"), STR("b\"")};
    struct buf made = {0};
    token_make(&(struct token_request){.user = STR("bob\""),
                                       .info = STR("{\"x\":1}"),
                                       .channels = channels,
                                       .channel_count = 2,
                                       .expires_at_s = NOW_S + 5},
               STR(SECRET), &made);
    assert_int_equal(verify(buf_str(&made)), TOKEN_OK);
    expect_str(claims.user, "bob\"");
    expect_str(claims.info, "{\"x\":1}");
    expect_str(claims.channels[1], "b\"");
    buf_fini(&made);
}

/* --- time ------------------------------------------------------------------------------------- */

static void time_is_exact_on_both_edges(void **state) {
    (void)state;
    expect(TOKEN_OK, "{\"exp\":1000001}");
    expect(TOKEN_EXPIRED, "{\"exp\":1000000}");
    expect(TOKEN_EXPIRED, "{\"exp\":0}");
    expect(TOKEN_OK, "{\"nbf\":1000000}");
    expect(TOKEN_EXPIRED, "{\"nbf\":1000001}");
    expect(TOKEN_OK, "{\"exp\":1000001.9}");
    expect(TOKEN_OK, "{\"exp\":1000001,\"expire_at\":0}");
    assert_int_equal(claims.expires_at_s, 0);
    expect(TOKEN_OK, "{\"exp\":1000001,\"expire_at\":2000000}");
    assert_int_equal(claims.expires_at_s, 2000000);
}

static void times_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const times[] = {"\"1000001\"", "1e400", "-1", "{}", "[]", "true", "1e300"};
    char payload[64];
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        snprintf(payload, sizeof(payload), "{\"exp\":%s}", times[i]);
        expect(TOKEN_INVALID, payload);
        snprintf(payload, sizeof(payload), "{\"nbf\":%s}", times[i]);
        expect(TOKEN_INVALID, payload);
    }
}

/* --- attacks ---------------------------------------------------------------------------------- */

static void bad_claims_are_refused(void **state) {
    (void)state;
    static const char *const payloads[] = {
        "",
        "[]",
        "{",
        "{} {}",
        "\"x\"",
        "{\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"exp\":1000001,\"\\u0065xp\":2000000}",
        "{\"sub\":5}",
        "{\"sub\":\"a\\u0000b\"}",
        "{\"sub\":\"a\\nb\"}",
        "{\"channel\":\"news\"}",
        "{\"channels\":\"news\"}",
        "{\"channels\":[5]}",
        "{\"channels\":[\"\"]}",
        "{\"channels\":[\"a\",null]}",
        "{\"sub\":\"\xff\"}",
    };
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        if (*payloads[i])
            expect(TOKEN_INVALID, payloads[i]);
    char payload[400] = "{\"sub\":\"";
    memset(payload + 8, 'u', 255);
    strcpy(payload + 8 + 255, "\"}");
    expect(TOKEN_OK, payload);
    strcpy(payload + 8 + 255, "u\"}");
    expect(TOKEN_INVALID, payload);
}

static void headers_that_ask_for_something_else_are_refused(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"nOnE\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"EdDSA\"}",
        "{\"alg\":\"HS512\"}", /* signed with HS256 */
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":null}",
        "{}",
        "[]",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"HS256\",\"b64\":false}",
        "{\"alg\":\"HS256\",\"zip\":\"DEF\"}",
        "{\"alg\":\"HS256\",\"cty\":\"JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":5}",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        assert_int_equal(verify(make_with(headers[i], "{}", EVP_sha256())), TOKEN_INVALID);
}

static void keys_in_the_header_are_never_looked_at(void **state) {
    (void)state;
    static const char header[] =
        "{\"alg\":\"HS256\",\"kid\":\"../../"
        "etc\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"},\"jku\":\"http://e\","
        "\"x5u\":\"http://e\",\"x5c\":[\"x\"]}";
    assert_int_equal(verify(make_with(header, "{}", EVP_sha256())), TOKEN_OK);
    /* the same, signed with the key it brings along */
    buf_clear(&token);
    add_encoded(&token, header, sizeof(header) - 1);
    buf_add(&token, STR(".e30"));
    sign(EVP_sha256(), "\x01");
    assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
}

static void any_changed_byte_spoils_it(void **state) {
    (void)state;
    make("{\"sub\":\"alice\"}");
    for (size_t i = 0; i < token.n; i++) {
        char was = token.p[i];
        token.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
        token.p[i] = was;
    }
    assert_int_equal(verify(buf_str(&token)), TOKEN_OK);
}

static void base64url_is_strict(void **state) {
    (void)state;
    static const char *const tails[] = {"=", "==", "A", " ", "\n", "+", "/", "."};
    make("{}");
    size_t n = token.n;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        token.n = n;
        buf_add_z(&token, tails[i]);
        assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
    }
    token.n = n; /* 43 digits for 32 bytes: two bits of the last must be zero */
    token.p[n - 1]++;
    assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
}

static void other_shapes_are_refused(void **state) {
    (void)state;
    static const char *const shapes[] = {"",     ".",   "..",      "...",       "a",       "a.b",
                                         "a.b.", ".b.", "a.b.c.d", "a.b.c.d.e", "{}.{}.{}"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_int_equal(verify(str_of(shapes[i])), TOKEN_INVALID);
    make("{}"); /* without its signature */
    token.n = strrchr(token.p, '.') - token.p + 1;
    assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
    token.n--;
    assert_int_equal(verify(buf_str(&token)), TOKEN_INVALID);
}

static void what_is_too_long_is_refused(void **state) {
    (void)state;
    char *dots = mem_alloc(100000);
    char header[1200] = "{\"alg\":\"HS256\",\"x\":\"";
    memset(dots, '.', 100000);
    assert_int_equal(verify((struct str){dots, 100000}), TOKEN_INVALID);
    assert_int_equal(verify((struct str){dots, 8192}), TOKEN_INVALID);
    mem_free(dots);
    memset(header + 20, 'x', 1000);
    strcpy(header + 1020, "\"}");
    assert_int_equal(verify(make_with(header, "{}", EVP_sha256())), TOKEN_INVALID);
}

static void without_a_secret_nothing_is_valid(void **state) {
    (void)state;
    const struct token_keys none = {STR_NONE};
    buf_clear(&token);
    add_encoded(&token, HS256, strlen(HS256));
    buf_add(&token, STR(".e30"));
    sign(EVP_sha256(), "");
    token_claims_fini(&claims);
    assert_int_equal(token_verify(buf_str(&token), &none, NOW_S, &claims), TOKEN_INVALID);
}

static int stop(void **state) {
    (void)state;
    token_claims_fini(&claims);
    buf_fini(&token);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_read),
        cmocka_unit_test(nothing_is_needed),
        cmocka_unit_test(all_three_digests_are_allowed),
        cmocka_unit_test(the_example_of_rfc_7515_verifies),
        cmocka_unit_test(what_we_make_we_take),
        cmocka_unit_test(time_is_exact_on_both_edges),
        cmocka_unit_test(times_that_are_none_are_refused),
        cmocka_unit_test(bad_claims_are_refused),
        cmocka_unit_test(headers_that_ask_for_something_else_are_refused),
        cmocka_unit_test(keys_in_the_header_are_never_looked_at),
        cmocka_unit_test(any_changed_byte_spoils_it),
        cmocka_unit_test(base64url_is_strict),
        cmocka_unit_test(other_shapes_are_refused),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(without_a_secret_nothing_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, stop);
}
