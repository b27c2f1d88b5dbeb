/* The signature layer of tokens: what RFCs and other programs signed is good, and nothing else is.
 * Each attack is tried with each algorithm.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/jws.c"

#include "tests/unit/jws_testing.h"

#include <dlfcn.h>
#include <malloc.h>
#include <time.h>

static bool openssl_refuses;

/* In place of OpenSSL's, which it calls. */
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_bytes, const unsigned char *text,
                    size_t text_bytes, unsigned char *mac, unsigned *mac_bytes) {
    union {
        void *object;
        unsigned char *(*call)(const EVP_MD *, const void *, int, const unsigned char *, size_t,
                               unsigned char *, unsigned *);
    } real = {.object = openssl_refuses ? NULL : dlsym(RTLD_NEXT, "HMAC")};
    return real.object ? real.call(md, key, key_bytes, text, text_bytes, mac, mac_bytes) : NULL;
}

/* --- known answers ---------------------------------------------------------------------------- */

struct known {
    struct str token, secret, payload;
};

static const struct known known[] = {
    {/* RFC 7515, A.1 */
     STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
         ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
         "cnVlfQ"
         ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
     STR("\x03\x23\x35\x4b\x2b\x0f\xa5\xbc\x83\x7e\x06\x65\x77\x7b\xa6\x8f\x5a\xb3\x28\xe6\xf0\x54"
         "\xc9\x28\xa9\x0f\x84\xb2\xd2\x50\x2e\xbf\xd3\xfb\x5a\x92\xd2\x06\x47\xef\x96\x8a\xb4\xc3"
         "\x77\x62\x3d\x22\x3d\x2e\x21\x72\x05\x2e\x4f\x08\xc0\xcd\x9a\xf5\x67\xd0\x80\xa3"),
     STR("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}")},
    {/* RFC 7520, 4.4: no JSON in it, which is nothing to this layer */
     STR("eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9"
         ".SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAg"
         "b250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dp"
         "bmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
         ".s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"),
     STR("\x84\x9b\x57\x21\x9d\xae\x48\xde\x64\x6d\x07\xdb\xb5\x33\x56\x6e\x97\x66\x86\x45\x7c\x14"
         "\x91\xbe\x3a\x76\xdc\xea\x6c\x42\x71\x88"),
     STR("It\xe2\x80\x99s a dangerous business, Frodo, going out your door. You step onto the "
         "road, "
         "and if you don't keep your feet, there\xe2\x80\x99s no knowing where you might be swept "
         "off to.")},
    /* Python's hmac */
    {STR("eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiJhbGljZSJ9"
         ".Nlo6Akq117WdrmwSkMsTOyvM-UYoUQUon3uCXflmBa4"),
     SECRET, PAYLOAD},
    {STR("eyJhbGciOiAiSFMzODQiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiJhbGljZSJ9"
         ".KrvkF-t2d1cOtPBUY_VTfluSxQ9AU6pODiiZV4yZO7XRUUlfaLTdmRPDSK7iH25L"),
     SECRET, PAYLOAD},
    {STR("eyJhbGciOiAiSFM1MTIiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiJhbGljZSJ9"
         ".KqqGTk7bGWh0x8etuZIBgnBQhkL3RHa2vn9Tiqw7tbpzYLiLwg2p6EO_KKFIMMcjdKHIBeABg7Hf3ds21Z8KxQ"),
     SECRET, PAYLOAD},
};

static void tokens_of_rfcs_and_other_programs_are_good(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct buf payload = {0};
        const char *fault = NULL;
        assert_true(jws_verify(known[i].token, &(struct jws_keys){.hmac_secret = known[i].secret},
                               &payload, &fault, 0));
        assert_true(str_equal(buf_str(&payload), known[i].payload));
        assert_non_null(judge_with(known[i].token, STR("another")));
        buf_fini(&payload);
    }
}

static void what_is_signed_here_is_what_others_sign(void **state) {
    (void)state;
    struct buf ours = {0}, theirs = {0};
    char payload[70];
    memset(payload, 0xfb, sizeof(payload)); /* gives - and _ */
    for (size_t n = 1; n <= sizeof(payload); n++) {
        set(&ours, STR("x"));
        jws_sign((struct str){payload, n}, SECRET, &ours);
        make_token(&theirs, &test_algorithms[0], HEADER, (struct str){payload, n});
        assert_true(str_equal(str_slice(buf_str(&ours), 1, ours.n), buf_str(&theirs)));
        expect_good(&theirs);
    }
    buf_fini(&ours);
    buf_fini(&theirs);
}

/* --- signatures ------------------------------------------------------------------------------- */

#define FORM "not base64url of as many bytes"
#define WRONG "the signature is wrong"

/* "{header}.{payload}." with this signature. */
static void unsigned_token(struct buf *token, const struct test_algorithm *a) {
    make_token(token, a, HEADER, PAYLOAD);
    while (token->p[token->n - 1] != '.')
        token->n--;
}

static void a_signature_of_another_key_is_wrong(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_algorithm(a) {
        make_token(&token, a, HEADER, PAYLOAD);
        struct str t = buf_str(&token), secret = SECRET;
        assert_non_null(strstr(judge_with(t, STR("x")), WRONG));
        assert_non_null(strstr(judge_with(t, str_slice(secret, 0, secret.n - 1)), WRONG));
        assert_non_null(strstr(judge_with(t, STR("A secret of at least 64 bytes, which is what "
                                                 "HS512 should have: ok")),
                               WRONG));
    }
    buf_fini(&token);
}

static void without_a_key_every_token_is_refused(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_algorithm(a) {
        make_token(&token, a, HEADER, PAYLOAD);
        assert_string_equal(judge_with(buf_str(&token), STR_NONE), "no key is configured");
        /* also one that is signed with the empty key */
        unsigned_token(&token, a);
        token.n--;
        add_signature(&token, a, STR(""));
        assert_string_equal(judge_with(buf_str(&token), STR("")), "no key is configured");
        expect_refused(&token, WRONG);
    }
    buf_fini(&token);
}

static void what_openssl_cannot_compute_is_refused(void **state) {
    (void)state;
    struct buf token = {0};
    for_each_algorithm(a) {
        make_token(&token, a, HEADER, PAYLOAD);
        expect_good(&token);
        openssl_refuses = true;
        expect_refused(&token, "OpenSSL refuses");
        openssl_refuses = false;
    }
    buf_fini(&token);
}

static void keys_may_be_any_bytes_of_any_length(void **state) {
    (void)state;
    static char large[65536];
    const struct str keys[] = {STR("s"),    STR("\0zero \xff"), {large, 64},
                               {large, 65}, {large, 200},       {large, sizeof(large)}};
    struct buf token = {0};
    memset(large, 'k', sizeof(large));
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            unsigned_token(&token, a);
            token.n--;
            add_signature(&token, a, keys[i]);
            assert_null(judge_with(buf_str(&token), keys[i]));
            assert_non_null(judge_with(buf_str(&token), SECRET));
        }
    }
    buf_fini(&token);
}

static void the_signature_has_the_length_of_its_algorithm(void **state) {
    (void)state;
    struct buf token = {0}, mac = {0};
    for_each_algorithm(a) {
        for_each_algorithm(other) {
            if (a == other)
                continue;
            unsigned_token(&token, a);
            token.n--;
            add_signature(&token, other, SECRET); /* a good one of the other algorithm */
            expect_refused(&token, FORM);
        }
        unsigned_token(&token, a);
        size_t start = token.n;
        buf_clear(&mac);
        add_mac(&mac, a, SECRET, (struct str){token.p, start - 1});
        buf_add(&mac, STR("\0")); /* one byte too many */
        for (size_t n = 1; n <= a->mac_bytes + 1; n++) {
            token.n = start;
            add_base64url(&token, (struct str){mac.p, n});
            if (n == a->mac_bytes)
                expect_good(&token);
            else
                expect_refused(&token, FORM);
        }
    }
    buf_fini(&mac);
    buf_fini(&token);
}

static void every_bit_of_the_signature_counts(void **state) {
    (void)state;
    struct buf token = {0}, mac = {0};
    for_each_algorithm(a) {
        unsigned_token(&token, a);
        size_t start = token.n;
        buf_clear(&mac);
        add_mac(&mac, a, SECRET, (struct str){token.p, start - 1});
        for (size_t bit = 0; bit < 8 * a->mac_bytes; bit++) {
            mac.p[bit / 8] ^= (char)(1 << bit % 8);
            token.n = start;
            add_base64url(&token, buf_str(&mac));
            expect_refused(&token, WRONG);
            mac.p[bit / 8] ^= (char)(1 << bit % 8);
        }
        memset(mac.p, 0, mac.n);
        token.n = start;
        add_base64url(&token, buf_str(&mac));
        expect_refused(&token, WRONG);
    }
    buf_fini(&mac);
    buf_fini(&token);
}

/* --- base64url -------------------------------------------------------------------------------- */

/* Every byte value in place of, before and after every byte of a good token; and none. */
static void no_other_byte_anywhere_gives_a_good_token(void **state) {
    (void)state;
    struct buf good = {0}, token = {0};
    for_each_algorithm(a) {
        make_token(&good, a, STR("{\"alg\":\"@\"}"), STR("{}"));
        struct str g = buf_str(&good);
        for (size_t at = 0; at <= g.n; at++) {
            for (int c = -1; c < 256; c++) {
                for (size_t skipped = 0; skipped <= (at < g.n); skipped++) {
                    set(&token, str_slice(g, 0, at));
                    if (c >= 0)
                        buf_add_char(&token, (char)c);
                    buf_add(&token, str_slice(g, at + skipped, g.n));
                    if (!str_equal(buf_str(&token), g) && !judge(&token))
                        fail_msg("taken, with byte %d at %zu: %.*s", c, at, STR_ARG(g));
                }
            }
        }
    }
    buf_fini(&good);
    buf_fini(&token);
}

static struct str last_of(struct str s, size_t n) {
    return str_slice(s, s.n - n, s.n);
}

/* A part with something behind it that is no base64url, with a signature that is good for it. */
static void expect_refused_with(const struct test_algorithm *a, struct str header_more,
                                struct str payload_more) {
    struct buf token = {0}, header = {0};
    buf_printf(&header, "{\"alg\":\"%s\"}", a->name); /* 15 bytes: no bits left over */
    add_base64url(&token, buf_str(&header));
    buf_add(&token, header_more);
    buf_add_char(&token, '.');
    add_base64url(&token, STR("{\"sub\":1 }")); /* 10 bytes: 4 bits left over */
    assert_true(str_equal(last_of(buf_str(&token), 2), STR("fQ")));
    buf_add(&token, payload_more);
    add_signature(&token, a, SECRET);
    expect_refused(&token,
                   header_more.n ? "the header is not base64url" : "the payload is not base64url");
    buf_fini(&header);
    buf_fini(&token);
}

static void signed_parts_must_be_strict_base64url_too(void **state) {
    (void)state;
    static const struct str header_more[] = {
        STR("="),  STR("=="), STR("===="), STR(" "),    STR("\n"),   STR("\r\n"), STR("\t"),
        STR("+"),  STR("/"),  STR("\0"),   STR("A"),    STR("AB"),   STR("AAB"),  STR("A==="),
        STR("A="), STR("~"),  STR("%3D"),  STR("\xc3"), STR("AA+A"), STR("AA/A"), STR("A A")};
    static const struct str payload_more[] = {
        STR("="),    STR("=="),  STR(" "),     STR("\n"),   STR("\0"),  STR("A==="),
        STR("+"),    STR("/"),   STR("AAA"),   STR("AAA="), STR("*"),   STR("AA AA"),
        STR("\xff"), STR("%3D"), STR("AAAA+"), STR("A="),   STR("A\n"), STR("AAAAAAA")};
    for_each_algorithm(a) {
        for (size_t i = 0; i < sizeof(header_more) / sizeof(header_more[0]); i++)
            expect_refused_with(a, header_more[i], STR_NONE);
        for (size_t i = 0; i < sizeof(payload_more) / sizeof(payload_more[0]); i++)
            expect_refused_with(a, STR_NONE, payload_more[i]);
    }
}

static void bits_left_over_must_be_zero(void **state) {
    (void)state;
    static const char *const payloads[] = {"fQ", "fR", "fT", "fX", "ff"}; /* } and 4 bits */
    for_each_algorithm(a) {
        for (size_t i = 0; i < 5; i++) {
            struct buf token = {0}, header = {0};
            buf_printf(&header, "{\"alg\":\"%s\"}", a->name);
            add_base64url(&token, buf_str(&header));
            buf_add_char(&token, '.');
            add_base64url(&token, STR("{\"sub\":1 "));
            buf_add_z(&token, payloads[i]);
            add_signature(&token, a, SECRET);
            if (i == 0)
                expect_good(&token);
            else
                expect_refused(&token, "the payload is not base64url");
            buf_fini(&header);
            buf_fini(&token);
        }
    }
}

/* --- form and size ---------------------------------------------------------------------------- */

static void only_three_parts_that_are_not_empty_are_a_token(void **state) {
    (void)state;
    struct buf token = {0};
    static const struct str forms[] = {
        STR(""),          STR("."),      STR(".."),      STR("..."),        STR("a"),
        STR("a.b"),       STR("a.b."),   STR(".b.c"),    STR("a..c"),       STR("..c"),
        STR("a.."),       STR(".b."),    STR("a.b.c.d"), STR("a.b.c."),     STR(".a.b.c"),
        STR("a.b.c.d.e"), STR("a.b..d"), STR("\0.\0"),   STR("a.b.c.d.e.f")};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        set(&token, forms[i]);
        expect_refused(&token, "two dots");
    }
    for_each_algorithm(a) {
        unsigned_token(&token, a);
        expect_refused(&token, "two dots"); /* no signature */
        token.n--;
        expect_refused(&token, "two dots"); /* not even the dot */
        make_token(&token, a, HEADER, STR_NONE);
        expect_refused(&token, "two dots"); /* detached */
        make_token(&token, a, HEADER, PAYLOAD);
        buf_add_char(&token, '.');
        expect_refused(&token, "two dots");
    }
    set(&token,
        STR("{\"protected\":\"eyJhbGciOiJIUzI1NiJ9\",\"payload\":\"e30\",\"signature\":\"\"}"));
    expect_refused(&token, "two dots");
    buf_fini(&token);
}

static void tokens_are_at_most_8192_bytes(void **state) {
    (void)state;
    struct buf token = {0}, payload = {0};
    bool is_seen[2] = {false, false};
    for_each_algorithm(a) {
        buf_clear(&payload);
        do {
            buf_add_char(&payload, 'x');
            if (payload.n < 6000)
                continue;
            make_token(&token, a, HEADER, buf_str(&payload));
            if (token.n <= 8192)
                expect_good(&token);
            else
                expect_refused(&token, "longer than 8192 bytes");
            is_seen[0] |= token.n == 8192;
            is_seen[1] |= token.n == 8193;
        } while (token.n <= 8193);
    }
    assert_true(is_seen[0] && is_seen[1]);
    buf_fini(&token);
    buf_fini(&payload);
}

/* --- cost ------------------------------------------------------------------------------------- */

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Of the best of many batches, so that nothing else on the machine counts. */
static double refusal_us(struct str token) {
    double best = 1e9;
    for (int batch = 0; batch < 50; batch++) {
        double start = cpu_us();
        for (int i = 0; i < 20; i++)
            assert_non_null(judge_with(token, SECRET));
        double each = (cpu_us() - start) / 20;
        best = each < best ? each : best;
    }
    return best;
}

static void nonsense_is_refused_in_under_10_us(void **state) {
    (void)state;
    static char dots[100000], letters[8192];
    struct buf token = {0};
    memset(dots, '.', sizeof(dots));
    memset(letters, 'A', sizeof(letters));
    assert_true(refusal_us((struct str){dots, sizeof(dots)}) < 10);
    assert_true(refusal_us((struct str){dots, 8192}) < 10);
    assert_true(refusal_us((struct str){letters, 8192}) < 10);
    letters[4000] = letters[8000] = '.';
    assert_true(refusal_us((struct str){letters, 8192}) < 10);
    make_token(&token, &test_algorithms[0], HEADER, (struct str){letters, 6000});
    buf_add(&token, (struct str){letters, 8193 - token.n}); /* good but for its length */
    assert_true(refusal_us(buf_str(&token)) < 10);
    buf_fini(&token);
}

static void verifying_keeps_no_memory(void **state) {
    (void)state;
    struct buf good = {0}, bad = {0};
    make_token(&good, &test_algorithms[0], HEADER, PAYLOAD);
    make_token(&bad, &test_algorithms[2], HEADER, PAYLOAD);
    bad.p[bad.n - 2] ^= 1;
    assert_null(judge(&good));
    assert_non_null(judge(&bad));
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 50000; i++) {
        assert_null(judge(&good));
        assert_non_null(judge(&bad));
    }
    assert_int_equal(mallinfo2().uordblks, before);
    buf_fini(&good);
    buf_fini(&bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_rfcs_and_other_programs_are_good),
        cmocka_unit_test(what_is_signed_here_is_what_others_sign),
        cmocka_unit_test(a_signature_of_another_key_is_wrong),
        cmocka_unit_test(without_a_key_every_token_is_refused),
        cmocka_unit_test(what_openssl_cannot_compute_is_refused),
        cmocka_unit_test(keys_may_be_any_bytes_of_any_length),
        cmocka_unit_test(the_signature_has_the_length_of_its_algorithm),
        cmocka_unit_test(every_bit_of_the_signature_counts),
        cmocka_unit_test(no_other_byte_anywhere_gives_a_good_token),
        cmocka_unit_test(signed_parts_must_be_strict_base64url_too),
        cmocka_unit_test(bits_left_over_must_be_zero),
        cmocka_unit_test(only_three_parts_that_are_not_empty_are_a_token),
        cmocka_unit_test(tokens_are_at_most_8192_bytes),
        cmocka_unit_test(nonsense_is_refused_in_under_10_us),
        cmocka_unit_test(verifying_keeps_no_memory),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
