/* The options of keys: what is taken, what stops the start, and what is only warned about.
 *
 * Thread: one. Owns: files in a folder of its own.
 */
#include "server/config/config_keys.c"

#include "tests/unit/config_testing.h"

#include "tests/unit/key_testing.h"

#include <sodium.h>
#include <unistd.h>

#define LONG_KEY "0123456789abcdef0123456789abcdef"
#define SET                                                                                        \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"                                       \
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"a\"%s}]}"

static void rows_of_options_are_judged(void **state) {
    static const struct {
        const char *token; /* members of client.token */
        size_t problems, warnings;
        const char *words;
    } rows[] = {
        {"\"hmac_secret_key\":\"" LONG_KEY "\"", 0, 0, NULL},
        {"\"hmac_secret_key\":\"short\"", 0, 1, "shorter than 32 bytes"},
        {"\"hmac_secret_key\":\"" LONG_KEY "\",\"hmac_previous_secret_key\":\"old\"", 0, 1,
         "shorter than 32 bytes"},
        {"\"hmac_secret_key\":\"" LONG_KEY "\",\"hmac_previous_secret_key\":\"" LONG_KEY
         "\",\"hmac_previous_secret_key_valid_until\":1999999999",
         0, 0, NULL},
        {"\"hmac_previous_secret_key_valid_until\":1", 1, 0, "hmac_previous_secret_key is not"},
        {"\"hmac_previous_secret_key_valid_until\":-1", 1, 0, "4294967295"},
        {"\"hmac_previous_secret_key_valid_until\":\"1\"", 1, 0, "4294967295"},
        {"\"hmac_secret_key\":\"-----BEGIN PUBLIC KEY-----MIIB\"", 1, 0, "is a PEM text"},
        {"\"rsa_public_key\":\"-----BEGIN PUBLIC KEY-----\\nAAAA\"", 1, 0, "no public key"},
        {"\"rsa_public_key\":\"/nowhere/at/all\"", 1, 0, "cannot be read"},
        {"\"ecdsa_public_key\":\"-----BEGIN EC PRIVATE KEY-----\\nAAAA\"", 1, 0, "private key"},
        {"\"jwks_file\":\"/nowhere/at/all\"", 1, 0, "cannot be read"},
        {"\"jwks_file\":\"/x\",\"jwks_public_endpoint\":\"https://a.b/\"", 1, 0, "set one of them"},
        {"\"jwks_public_endpoint\":\"https://a.b/\"", 0, 0, NULL},
        {"\"jwks_public_endpoint\":\"https://a.b/\",\"hmac_secret_key\":\"" LONG_KEY "\"", 0, 1,
         "not used"},
        {"\"jwks_public_endpoint\":\"http://a.b/\"", 1, 0, "must begin with https"},
        {"\"jwks_public_endpoint\":\"http://a.b/\",\"insecure_skip_jwks_endpoint_safety_check\":"
         "true",
         0, 1, "can make tokens for every user"},
        {"\"jwks_public_endpoint\":\"https://{{a}}.b/"
         "\",\"insecure_skip_jwks_endpoint_safety_check\""
         ":true",
         1, 0, "placeholders"},
        {"\"jwks_retry_interval\":\"50ms\"", 1, 0, "from 100ms to 1h"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        struct buf json = {0};
        buf_printf(&json, "{\"client\":{\"token\":{%s}}}", rows[i].token);
        load_json(&l, config_z(&json));
        if (l.problems.count != rows[i].problems || l.warnings.count != rows[i].warnings)
            print_error("%s\n", rows[i].token);
        expect_counts(&l, rows[i].problems, rows[i].warnings);
        if (rows[i].words)
            expect_note(rows[i].problems ? &l.problems : &l.warnings, NULL, rows[i].words);
        buf_fini(&json);
        config_loader_fini(&l);
    }
}

static void strict_refuses_short_secrets(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, "{\"client\":{\"token\":{\"hmac_secret_key\":\"hush\"}}}", NONE, LIST("--strict"));
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "client.token.hmac_secret_key", "shorter than 32 bytes");
    expect_no_word(&l, "hush");
    config_loader_fini(&l);
}

static void the_previous_secret_is_not_taken_from_the_command_line(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE, LIST("--client.token.hmac_previous_secret_key=hush"));
    expect_counts(&l, 1, 0);
    expect_no_word(&l, "hush");
    config_loader_fini(&l);
}

static void public_keys_are_ready_to_be_used(void **state) {
    static const char *const names[] = {"rsa", "ecdsa", "ecdsa", "ecdsa", "ed25519"};
    (void)state;
    for (int pair = 0; pair < PAIR_COUNT; pair++) {
        struct config_loader l;
        struct buf pem = {0}, variable = {0};
        add_public_pem(&pem, pair_of(pair));
        buf_printf(&variable, "CARILLON_CLIENT_TOKEN_%s_PUBLIC_KEY=%s",
                   !strcmp(names[pair], "rsa")     ? "RSA"
                   : !strcmp(names[pair], "ecdsa") ? "ECDSA"
                                                   : "ED25519",
                   pem.p);
        load(&l, NULL, (char *[]){(char *)(uintptr_t)config_z(&variable), NULL}, NONE);
        expect_counts(&l, 0, 0);
        const struct jws_keys *k = &l.config->client_token_keys.jws;
        assert_int_equal(k->rsa != NULL, pair == PAIR_RSA);
        assert_int_equal(k->ecdsa != NULL, pair >= PAIR_P256 && pair <= PAIR_P521);
        assert_int_equal(k->ed25519 != NULL, pair == PAIR_ED25519);
        assert_true(jws_keys_exist(k));
        config_loader_fini(&l);
        buf_fini(&pem);
        buf_fini(&variable);
    }
}

static void a_file_of_keys_must_be_right_in_all_of_them(void **state) {
    static const struct {
        const char *more, *words;
    } rows[] = {{"", NULL},
                {",\"use\":\"enc\"", "key 0 of it (counted from 0) is not for signatures"},
                {",\"kid\":\"b\"", "two keys with the same kid"},
                {"},{\"kid\":\"a\"", "same kid"},
                {"},{\"kid\":\"b\",\"kty\":\"x\"", "key 1 of it (counted from 0) has no kty"}};
    char folder[] = "/tmp/carillon-test-XXXXXX", path[64], argument[128];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/set.json", folder);
    snprintf(argument, sizeof(argument), "--client.token.jwks_file=%s", path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        FILE *f = fopen(path, "w");
        fprintf(f, SET, rows[i].more);
        fclose(f);
        load(&l, NULL, NONE, LIST(argument));
        expect_counts(&l, rows[i].words ? 1 : 0, 0);
        if (rows[i].words)
            expect_note(&l.problems, "client.token.jwks_file", rows[i].words);
        assert_int_equal(jws_keys_exist(&l.config->client_token_keys.jws), !rows[i].words);
        config_loader_fini(&l);
    }
    unlink(path);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_options_are_judged),
        cmocka_unit_test(strict_refuses_short_secrets),
        cmocka_unit_test(the_previous_secret_is_not_taken_from_the_command_line),
        cmocka_unit_test(public_keys_are_ready_to_be_used),
        cmocka_unit_test(a_file_of_keys_must_be_right_in_all_of_them),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
