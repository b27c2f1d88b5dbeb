/* Sets of keys: which are taken, what is left out, and that a set lives as long as it is held.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/jwks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ED(kid)                                                                                    \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\","  \
    "\"kid\":" kid "}"
#define OCT(kid)                                                                                   \
    "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\",\"kid\":" kid "}"
#define WEAK(kid) "{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":" kid "}"

static struct jwks *parse(struct str text, bool is_public, struct jwks_report *report) {
    char *copy = malloc(text.n ? text.n : 1); /* exactly as long as ASan lets it be read */
    memcpy(copy, text.p, text.n);
    struct jwks *s = jwks_parse((struct str){copy, text.n}, is_public, report);
    free(copy);
    assert_true((s != NULL) == !report->fault);
    return s;
}

static void sets_are_judged_row_by_row(void **state) {
    static const struct {
        const char *text, *fault;
        uint32_t key_count, left_out, first_out;
        const char *why_out;
    } rows[] = {
        {"{\"keys\":[" ED("\"a\"") "]}", NULL, 1, 0, 0, NULL},
        {" {\"x\":{},\"keys\":[" ED("\"a\"") "," ED("\"b\"") "],\"y\":1}\n", NULL, 2, 0, 0, NULL},
        {"{\"keys\":[" ED("\"a\"") "," WEAK("\"b\"") "]}", NULL, 1, 1, 1, "less than 32 bytes"},
        {"{\"keys\":[1," ED("\"a\"") ",{}]}", NULL, 1, 2, 0, "has no kid"},
        {"{\"keys\":[" ED("\"a\"") "," ED("1") "]}", NULL, 1, 1, 1, "has no kid"},
        {"{\"keys\":[" ED("\"a\"") "," ED("\"\"") "]}", NULL, 1, 1, 1, "has no kid"},
        {"{\"keys\":[" ED("\"a\"") ",{\"kid\":\"b\",\"kty\":\"AKP\"}]}", NULL, 1, 1, 1, "no kty"},
        {"{\"keys\":[" ED("\"a\"") "," ED("\"a\"") "]}", "same kid", 0, 0, 0, NULL},
        {"{\"keys\":[" ED("\"a\"") "," ED("\"\\u0061\"") "]}", "same kid", 0, 0, 0, NULL},
        {"{\"keys\":[" ED("\"a\"") "," WEAK("\"a\"") "]}", "same kid", 0, 0, 0, NULL},
        {"{\"keys\":[{\"kid\":\"a\",\"kid\":\"b\"}]}", "same kid", 0, 0, 0, NULL},
        {"{\"keys\":[" ED("\"a\"") "," ED("\"A\"") "]}", NULL, 2, 0, 0, NULL},
        {"{\"keys\":[]}", "has no key", 0, 0, 0, NULL},
        {"{\"keys\":[" WEAK("\"a\"") "]}", "no key that can be used", 0, 1, 0, "32 bytes"},
        {"{\"keys\":{}}", "no JSON Web Key Set", 0, 0, 0, NULL},
        {"{}", "no JSON Web Key Set", 0, 0, 0, NULL},
        {"", "no JSON Web Key Set", 0, 0, 0, NULL},
        {"[" ED("\"a\"") "]", "no JSON Web Key Set", 0, 0, 0, NULL},
        {ED("\"a\""), "no JSON Web Key Set", 0, 0, 0, NULL},
        {"{\"keys\":[],\"keys\":[" ED("\"a\"") "]}", "no JSON Web Key Set", 0, 0, 0, NULL},
        {"{\"keys\":[" ED("\"a\"") "]} x", "no JSON Web Key Set", 0, 0, 0, NULL},
        {"<html>", "no JSON Web Key Set", 0, 0, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct jwks_report r;
        struct jwks *s = parse(str_of(rows[i].text), false, &r);
        if (rows[i].fault ? !r.fault || !strstr(r.fault, rows[i].fault) : r.fault != NULL)
            fail_msg("%s: %s", rows[i].text, r.fault ? r.fault : "taken");
        assert_int_equal(r.key_count, rows[i].key_count);
        assert_int_equal(r.left_out, rows[i].left_out);
        assert_int_equal(r.first_out, rows[i].first_out);
        if (rows[i].why_out && !strstr(r.why_out, rows[i].why_out))
            fail_msg("%s: %s", rows[i].text, r.why_out);
        jwks_unref(s);
    }
}

static void secrets_are_left_out_of_public_sets(void **state) {
    struct jwks_report r;
    struct str text = STR("{\"keys\":[" OCT("\"a\"") "," ED("\"b\"") "]}");
    (void)state;
    struct jwks *s = parse(text, false, &r);
    assert_non_null(jwks_find(s, STR("a")));
    jwks_unref(s);
    s = parse(text, true, &r);
    assert_null(jwks_find(s, STR("a")));
    assert_non_null(jwks_find(s, STR("b")));
    assert_int_equal(r.left_out, 1);
    assert_non_null(strstr(r.why_out, "secret"));
    jwks_unref(s);
}

static void keys_are_found_by_their_exact_name(void **state) {
    static const char *const strangers[] = {"",  "a",   "K1",    "k1 ", " k1",
                                            "k", "k11", "../k1", "k1\n"};
    struct jwks_report r;
    (void)state;
    struct jwks *s = parse(STR("{\"keys\":[" ED("\"k1\"") "," OCT("\"\\u0000k\"") "]}"), false, &r);
    assert_int_equal(jwk_kind(jwks_find(s, STR("k1"))), JWK_ED25519);
    assert_int_equal(jwk_kind(jwks_find(s, STR("\0k"))), JWK_SECRET);
    assert_null(jwks_find(s, STR("k1\0")));
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        assert_null(jwks_find(s, str_of(strangers[i])));
    jwks_unref(s);
}

static void sets_are_bounded(void **state) {
    (void)state;
    for (int count = 100; count <= 101; count++) {
        struct jwks_report r;
        struct buf text = {0};
        buf_add_z(&text, "{\"keys\":[");
        for (int i = 0; i < count; i++) {
            buf_printf(&text, i ? ",%s%d\"}" : "%s%d\"}",
                       "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                       "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"",
                       i);
        }
        buf_add_z(&text, "]}");
        struct jwks *s = parse(buf_str(&text), true, &r);
        if (count == 100) {
            assert_int_equal(r.key_count, 100);
            assert_non_null(jwks_find(s, STR("99")));
            while (text.n < JWKS_MAX_BYTES)
                buf_add_char(&text, ' ');
            jwks_unref(s);
            s = parse(buf_str(&text), true, &r);
            assert_int_equal(r.key_count, 100);
            buf_add_char(&text, ' ');
            assert_null(parse(buf_str(&text), true, &r));
            assert_non_null(strstr(r.fault, "256 KiB"));
        } else {
            assert_non_null(strstr(r.fault, "more than 100 keys"));
        }
        jwks_unref(s);
        buf_fini(&text);
    }
}

static void the_last_reference_frees_a_set(void **state) {
    struct jwks_report r;
    (void)state;
    jwks_unref(parse(STR("{\"keys\":[" ED("\"a\"") "]}"), true, &r)); /* what OpenSSL keeps */
    size_t before = mallinfo2().uordblks;
    struct jwks *s = parse(STR("{\"keys\":[" ED("\"a\"") "," OCT("\"b\"") "]}"), false, &r);
    jwks_ref(s);
    jwks_unref(s);
    assert_non_null(jwks_find(s, STR("b")));
    jwks_unref(s);
    jwks_unref(NULL);
    assert_int_equal(mallinfo2().uordblks, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_judged_row_by_row),
        cmocka_unit_test(secrets_are_left_out_of_public_sets),
        cmocka_unit_test(keys_are_found_by_their_exact_name),
        cmocka_unit_test(sets_are_bounded),
        cmocka_unit_test(the_last_reference_frees_a_set),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
