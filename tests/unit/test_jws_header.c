/* The header of a token: the key decides, and what is not understood is refused. Each row is signed
 * well, with each algorithm, so that nothing but the header can be wrong.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/jws.c"

#include "tests/unit/jws_testing.h"

struct header_row {
    struct str header;
    const char *words; /* of the fault; NULL: good */
};

#define NAMES "different names"
#define SPECIAL "not supported"
#define TYPE "typ in the header"
#define ALGORITHM "alg in the header"

static const struct header_row headers[] = {
    {STR("{\"alg\":\"@\"}"), NULL},
    {STR(" {\r\n\t\"typ\" : \"JWT\" , \"alg\" : \"@\" } \n"), NULL},
    {STR("{\"typ\":\"jwt\",\"alg\":\"@\"}"), NULL},
    {STR("{\"typ\":\"\\u004aW\\u0054\",\"\\u0061lg\":\"@\"}"), NULL},
    {STR("{\"alg\":\"@\",\"later\":{\"a\":[1,1e999,null]},\"\":0}"), NULL},
    /* keys and addresses are not for us */
    {STR("{\"alg\":\"@\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"jku\":\"http://127.0.0.1:1/\"}"),
     NULL},
    {STR("{\"alg\":\"@\",\"x5u\":\"file:///etc/passwd\",\"x5c\":[\"MIIB\"],\"x5t\":1}"), NULL},
    {STR("{\"alg\":\"@\",\"kid\":\"../../dev/null\"}"), NULL},
    {STR("{\"alg\":\"@\",\"kid\":\"' OR 1=1 --\"}"), NULL},
    {STR("{\"alg\":\"@\",\"kid\":\"\\u0000\"}"), NULL},
    {STR("{\"alg\":\"@\",\"kid\":[{}]}"), NULL},
    /* the token does not decide how it is checked, though here its signature would be good */
    {STR("{\"alg\":\"none\"}"), ALGORITHM},
    {STR("{\"alg\":\"None\"}"), ALGORITHM},
    {STR("{\"alg\":\"NONE\"}"), ALGORITHM},
    {STR("{\"alg\":\"nOnE\"}"), ALGORITHM},
    {STR("{\"alg\":\"\"}"), ALGORITHM},
    {STR("{\"alg\":\"RS256\"}"), ALGORITHM},
    {STR("{\"alg\":\"RS384\"}"), ALGORITHM},
    {STR("{\"alg\":\"RS512\"}"), ALGORITHM},
    {STR("{\"alg\":\"PS256\"}"), ALGORITHM},
    {STR("{\"alg\":\"ES256\"}"), ALGORITHM},
    {STR("{\"alg\":\"EdDSA\"}"), ALGORITHM},
    {STR("{\"alg\":\"HS1\"}"), ALGORITHM},
    {STR("{\"alg\":\"HS224\"}"), ALGORITHM},
    {STR("{\"alg\":\"HS256/64\"}"), ALGORITHM},
    {STR("{\"alg\":\"hs256\"}"), ALGORITHM},
    {STR("{\"alg\":\"hs384\"}"), ALGORITHM},
    {STR("{\"alg\":\"hs512\"}"), ALGORITHM},
    {STR("{\"alg\":\" @\"}"), ALGORITHM},
    {STR("{\"alg\":\"@ \"}"), ALGORITHM},
    {STR("{\"alg\":\"@\\u0000\"}"), ALGORITHM},
    {STR("{\"alg\":\"@,none\"}"), ALGORITHM},
    {STR("{\"alg\":[\"@\"]}"), ALGORITHM},
    {STR("{\"alg\":{\"@\":1}}"), ALGORITHM},
    {STR("{\"alg\":256}"), ALGORITHM},
    {STR("{\"alg\":null}"), ALGORITHM},
    {STR("{\"alg\":true}"), ALGORITHM},
    {STR("{\"Alg\":\"@\"}"), ALGORITHM},
    {STR("{\"typ\":\"JWT\"}"), ALGORITHM},
    {STR("{}"), ALGORITHM},
    /* what would have to be understood */
    {STR("{\"alg\":\"@\",\"crit\":[\"exp\"],\"exp\":1}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"crit\":[\"b64\"],\"b64\":false}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"crit\":[]}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"crit\":null}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"\\u0063rit\":[\"x\"],\"x\":1}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"b64\":false}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"b64\":true}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"zip\":\"DEF\"}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"cty\":\"JWT\"}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"cty\":\"\"}"), SPECIAL},
    {STR("{\"alg\":\"@\",\"typ\":\"at+jwt\"}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":\"application/jwt\"}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":\"JOSE\"}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":\"JWT\\u0000\"}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":\"\"}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":null}"), TYPE},
    {STR("{\"alg\":\"@\",\"typ\":[\"JWT\"]}"), TYPE},
    /* two readers must not see two tokens */
    {STR("{\"alg\":\"@\",\"alg\":\"@\"}"), NAMES},
    {STR("{\"alg\":\"none\",\"alg\":\"@\"}"), NAMES},
    {STR("{\"alg\":\"@\",\"\\u0061lg\":\"none\"}"), NAMES},
    {STR("{\"alg\":\"@\",\"\\u0061\":1,\"b\":2,\"a\":3}"), NAMES},
    {STR("{\"alg\":\"@\",\"kid\":1,\"kid\":2}"), NAMES},
    {STR("{\"alg\":\"@\",\"\":1,\"\":2}"), NAMES},
    /* no JSON object */
    {STR("\"@\""), NAMES},
    {STR("[\"alg\",\"@\"]"), NAMES},
    {STR("[{\"alg\":\"@\"}]"), NAMES},
    {STR("null"), NAMES},
    {STR("1"), NAMES},
    {STR(" "), NAMES},
    {STR("{"), NAMES},
    {STR("{\"alg\":\"@\""), NAMES},
    {STR("{\"alg\":\"@\",}"), NAMES},
    {STR("{\"alg\":\"@\"}x"), NAMES},
    {STR("{\"alg\":\"@\"}{}"), NAMES},
    {STR("{\"alg\":\"@\"}\0"), NAMES},
    {STR("{\"alg\":\"@\"/**/}"), NAMES},
    {STR("{'alg':'@'}"), NAMES},
    {STR("{alg:\"@\"}"), NAMES},
    {STR("{\"alg\":\"@\",\"x\":\"\xff\"}"), NAMES},
    {STR("{\"alg\":\"@\",\"x\":\"\\ud800\"}"), NAMES},
    {STR("{\"alg\":\"@\",\"x\":NaN}"), NAMES},
    {STR("{\"alg\":\"@\",\"x\":01}"), NAMES},
    {STR("\xef\xbb\xbf{\"alg\":\"@\"}"), NAMES},
};

static void headers_are_judged_row_by_row(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
            make_token(&token, a, headers[i].header, PAYLOAD);
            if (headers[i].words)
                expect_refused(&token, headers[i].words);
            else
                expect_good(&token);
        }
    }
    buf_fini(&token);
}

static void headers_have_at_most_32_members(void **state) {
    (void)state;
    struct buf header = {0}, token = {0};
    for (int count = 31; count <= 32; count++) {
        set(&header, STR("{\"alg\":\"@\""));
        for (int i = 0; i < count; i++)
            buf_printf(&header, ",\"%d\":0", i);
        buf_add_char(&header, '}');
        for_each_algorithm(a) {
            make_token(&token, a, buf_str(&header), PAYLOAD);
            if (count == 31)
                expect_good(&token);
            else
                expect_refused(&token, NAMES);
        }
    }
    buf_fini(&header);
    buf_fini(&token);
}

static void headers_are_at_most_1024_bytes(void **state) {
    (void)state;
    struct buf token = {0}, header = {0};
    for_each_algorithm(a) {
        for (int bytes = 760; bytes <= 780; bytes++) {
            buf_clear(&header);
            buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%0*d\"}", a->name, bytes - 24, 0);
            assert_int_equal(header.n, bytes);
            make_token(&token, a, buf_str(&header), PAYLOAD);
            if (bytes <= 1024 / 4 * 3)
                expect_good(&token);
            else
                expect_refused(&token, "longer than 1024 bytes");
        }
    }
    buf_fini(&token);
    buf_fini(&header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_judged_row_by_row),
        cmocka_unit_test(headers_have_at_most_32_members),
        cmocka_unit_test(headers_are_at_most_1024_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
