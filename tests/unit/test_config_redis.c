/* The options of Redis: addresses and their parts, Sentinels, TLS, and what does not go together.
 *
 * Thread: one. Owns: files in a folder of its own.
 */
#include "server/config/config_redis.c"

#include "server/config/config_value.h"
#include "tests/unit/config_testing.h"

#include "tests/unit/certificates.h"

#include <sys/stat.h>
#include <unistd.h>

#define REDIS "--engine.type=redis"
#define SENTINEL "--engine.redis.sentinel_address="
#define NAME "--engine.redis.sentinel_master_name=main"
#define TLS "--engine.redis.tls."

/* ---- addresses ---- */

struct check_row {
    const char *text;
    bool is_good;
};

static void run_checks(option_check_fn check, const struct check_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *allowed = NULL;
        char copy[256];
        snprintf(copy, sizeof(copy), "%s", rows[i].text);
        if (check(copy, &allowed) != rows[i].is_good)
            fail_msg("\"%s\" should be %s", rows[i].text, rows[i].is_good ? "fine" : "refused");
        assert_non_null(allowed);
        assert_string_equal(copy, rows[i].text);
    }
}

#define CHECK_ALL(check, rows) run_checks(check, rows, sizeof(rows) / sizeof((rows)[0]))

static void redis_addresses_name_one_server(void **state) {
    static const struct check_row rows[] = {
        {"redis://127.0.0.1:6379", true},
        {"redis://redis:6379/3", true},
        {"redis://redis:6379/", true},
        {"redis://user:pass@redis:6379", true},
        {"redis://:pass@redis:6379", true},
        {"redis://:p%40%3a%2F@redis:6379/0", true},
        {"redis://[::1]:6379", true},
        {"127.0.0.1:6379", true},
        {"[::1]:6379", true},
        {"", false},
        {"redis", false},
        {"redis://", false},
        {"redis://redis", false},
        {"redis://redis:", false},
        {"redis://redis:0", false},
        {"redis://redis:65536", false},
        {"redis://redis:6379/x", false},
        {"redis://redis:6379/65536", false},
        {"redis://redis:6379?db=1", false},
        {"redis://user@redis:6379", false},
        {"redis://user:@redis:6379", false},
        {"redis://:p%4@redis:6379", false},
        {"redis://:p%zz@redis:6379", false},
        {"redis://:p%00@redis:6379", false},
        {"redis://:a@b@redis:6379", false},
        {"redis://[::1:6379", false},
        {"redis://:6379", false},
        {"rediss://redis:6379", true},
        {"rediss://user:pass@[::1]:6379/3", true},
        {"tcp://redis:6379", true},
        {"http://redis:6379", false},
        {"redis+sentinel://redis:6379", false},
        {"unix:///run/redis.sock", true},
        {"unix:///run/a%20b.sock?db=3", true},
        {"unix://user:pass@/run/redis.sock", true},
        {"unix://:pass@/run/redis@home.sock?db=0", true},
        {"unix://", false},
        {"unix:///", false},
        {"unix://run/redis.sock", false},
        {"unix://user@/run/redis.sock", false},
        {"unix://user:pass/run/redis.sock", false},
        {"unix://?db=1", false},
        {"unix:///run/redis.sock?db=", false},
        {"unix:///run/redis.sock?db=x", false},
        {"unix:///run/redis.sock?db=65536", false},
        {"unix:///run/redis.sock?tls=1", false},
        {"unix:///run/%00", false},
        {"unix:///234567890123456789012345678901234567890123456789012345678901234567890123456789"
         "01234567890123456789012345678",
         false},
        {"redis://a:1,redis://b:2", false},
    };
    (void)state;
    CHECK_ALL(config_check_redis_address, rows);
}

static void sentinels_are_hosts_with_ports(void **state) {
    static const struct check_row rows[] = {
        {"a:26379", true},
        {"10.0.0.1:26379", true},
        {"[::1]:26379", true},
        {"a:1,b:2", true},
        {"", false},
        {"a", false},
        {"a:0", false},
        {"a:1,,b:2", false},
        {"redis://a:1", false},
        {"a:1 b:2", false},
        {"user:pw@a:26379", false},
        {"a:99999", false},
    };
    (void)state;
    CHECK_ALL(config_check_sentinel_address, rows);
}

struct part_row {
    const char *address, *host, *unix_path, *user, *password, *shown;
    uint32_t port, db;
    bool is_tls;
};

static void addresses_are_split(void **state) {
    static const struct part_row rows[] = {
        {"h:1", "h", NULL, "", "", "redis://h:1", 1, 0, false},
        {"tcp://:p@h:1", "h", NULL, "", "p", "redis://h:1", 1, 0, false},
        {"rediss://u:p%40%2f@[::1]:2/7", "::1", NULL, "u", "p@/", "rediss://[::1]:2", 2, 7, true},
        {"unix:///run/r.sock", "", "/run/r.sock", "", "", "unix:///run/r.sock", 0, 0, false},
        {"unix://u:p@/run/a%20b?db=3", "", "/run/a b", "u", "p", "unix:///run/a b", 0, 3, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct part_row *r = &rows[i];
        struct config_loader l;
        struct buf json = {0};
        buf_printf(&json, "{\"engine\": {\"redis\": {\"address\": \"%s\"}}}", r->address);
        load(&l, config_z(&json), NONE, LIST(REDIS));
        expect_counts(&l, 0, 0);
        const struct config *c = l.config;
        assert_string_equal(c->engine_redis_host, r->host);
        if (r->unix_path)
            assert_string_equal(c->engine_redis_unix_path, r->unix_path);
        else
            assert_null(c->engine_redis_unix_path);
        assert_string_equal(c->engine_redis_user, r->user);
        assert_string_equal(c->engine_redis_password, r->password);
        assert_string_equal(c->engine_redis_address.items[0], r->shown);
        assert_int_equal(c->engine_redis_port, r->port);
        assert_int_equal(c->engine_redis_db, r->db);
        assert_int_equal(c->engine_redis_tls.enabled, r->is_tls);
        config_loader_fini(&l);
        buf_fini(&json);
    }
}

static void sentinels_are_split(void **state) {
    static const char *const forms[] = {
        "\"a:1,b:2\"", "[\"a:1\", \"b:2\"]", "[\"a:1,b:2\"]", /* as in Centrifugo */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct config_loader l;
        struct buf json = {0};
        buf_printf(&json, "{\"engine\": {\"redis\": {\"sentinel_address\": %s}}}", forms[i]);
        load(&l, config_z(&json), NONE, LIST(REDIS, NAME));
        expect_counts(&l, 0, 0);
        assert_int_equal(l.config->engine_redis_sentinel_count, 2);
        assert_string_equal(l.config->engine_redis_sentinels[0].host, "a");
        assert_string_equal(l.config->engine_redis_sentinels[1].host, "b");
        assert_int_equal(l.config->engine_redis_sentinels[1].port, 2);
        config_loader_fini(&l);
        buf_fini(&json);
    }
}

/* ---- what goes together ---- */

static void options_that_would_be_in_vain_are_refused(void **state) {
    static const struct {
        const char *args[5], *option, *words; /* option NULL: fine */
    } rows[] = {
        {{REDIS, SENTINEL "a:1", NAME}, NULL, NULL},
        {{REDIS, SENTINEL "a:1"}, "engine.redis.sentinel_master_name", "is missing"},
        {{REDIS, NAME}, "engine.redis.sentinel_master_name", "sentinel_address is not"},
        {{NAME}, NULL, NULL},
        {{REDIS, "--engine.redis.sentinel_user=u"}, "engine.redis.sentinel_user", "is not"},
        {{REDIS, "--engine.redis.sentinel_tls.enabled"},
         "engine.redis.sentinel_tls.enabled",
         "is not"},
        {{REDIS, SENTINEL "a:1", NAME, "--engine.redis.address=redis://127.0.0.1:6379"},
         NULL,
         NULL},
        {{REDIS, SENTINEL "a:1", NAME, "--engine.redis.address=rediss://127.0.0.1:6379"},
         "engine.redis.address",
         "is not used with"},
        {{REDIS, "--engine.redis.address=a:1,b:2"}, "engine.redis.address", "sharding"},
        {{REDIS, "--engine.redis.address=unix:///a", TLS "enabled"},
         "engine.redis.address",
         "over a unix socket"},
        {{REDIS, TLS "server_name=a"}, "engine.redis.tls.server_name", "TLS is off"},
        {{REDIS, TLS "insecure_skip_verify"}, "engine.redis.tls.insecure_skip_verify", "is off"},
        {{REDIS, TLS "server_ca_pem=/nothing/here"}, "engine.redis.tls.server_ca_pem", "is off"},
        {{REDIS, TLS "enabled", TLS "server_ca_pem=/nothing/here"},
         "engine.redis.tls.server_ca_pem",
         "cannot be read: No such file"},
        {{REDIS, TLS "enabled", TLS "client_ca_pem=x"},
         "engine.redis.tls.client_ca_pem",
         "server_ca_pem"},
        {{REDIS, TLS "enabled", TLS "server_name=a b"},
         "engine.redis.tls.server_name",
         "a host name"},
        {{REDIS, "--engine.redis.cluster_address=a:1"}, "engine.redis.cluster_address", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load(&l, NULL, NONE, (char **)(uintptr_t)rows[i].args);
        expect_counts(&l, rows[i].option != NULL, 0);
        if (rows[i].option)
            expect_note(&l.problems, rows[i].option, rows[i].words);
        config_loader_fini(&l);
    }
}

static void sentinels_of_shards_are_refused(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, "{\"engine\": {\"redis\": {\"sentinel_address\": [\"a:1,b:2\", \"c:3,d:4\"]}}}", NONE,
         LIST(REDIS, NAME));
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "engine.redis.sentinel_address", "sharding is not supported");
    config_loader_fini(&l);
    load(&l, NULL, NONE,
         LIST(REDIS, NAME,
              SENTINEL "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,"
                       "a:15,a:16,a:17"));
    expect_counts(&l, 1, 0);
    expect_note(&l.problems, "engine.redis.sentinel_address", "more than 16");
    config_loader_fini(&l);
}

/* ---- certificates ---- */

static struct certificate ca, own, other;
static char folder[64];

static const char *file_of(const char *name, const char *text, mode_t mode) {
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
    return path;
}

/* One certificate and key, each as the variable is given. */
static void load_pair(struct config_loader *l, const char *cert, const char *key) {
    struct buf a = {0}, b = {0};
    buf_printf(&a, "CARILLON_ENGINE_REDIS_TLS_CERT_PEM=%s", cert);
    buf_printf(&b, "CARILLON_ENGINE_REDIS_TLS_KEY_PEM=%s", key);
    char *env[] = {(char *)(uintptr_t)config_z(&a), (char *)(uintptr_t)config_z(&b), NULL};
    load(l, NULL, env, LIST(REDIS, TLS "enabled"));
    buf_fini(&a);
    buf_fini(&b);
}

static void base64_of(const char *text, char *out) {
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
}

static void certificates_are_text_base64_or_files(void **state) {
    struct config_loader l;
    char cert[4096], key[4096], path[128];
    (void)state;
    base64_of(own.cert_pem, cert);
    base64_of(own.key_pem, key);
    strcpy(path, file_of("cert.pem", own.cert_pem, 0644));
    const char *certs[] = {own.cert_pem, cert, path};
    const char *keys[] = {own.key_pem, key, file_of("key.pem", own.key_pem, 0600)};
    for (size_t i = 0; i < 9; i++) {
        load_pair(&l, certs[i / 3], keys[i % 3]);
        expect_counts(&l, 0, 0);
        assert_int_equal(strncmp(l.config->engine_redis_tls.cert_pem, own.cert_pem, 100), 0);
        assert_int_equal(strncmp(l.config->engine_redis_tls.key_pem, own.key_pem, 100), 0);
        expect_no_word(&l, "PRIVATE");
        config_loader_fini(&l);
    }
    load_pair(&l, own.cert_pem, file_of("key.pem", own.key_pem, 0644));
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "engine.redis.tls.key_pem", "chmod");
    config_loader_fini(&l);
}

static void certificates_that_cannot_be_used_are_refused(void **state) {
    const char *const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const char *const locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                               "-----END ENCRYPTED PRIVATE KEY-----\n";
    const struct {
        const char *cert, *key, *option, *words;
    } rows[] = {
        {own.cert_pem, other.key_pem, "engine.redis.tls.key_pem", "not the key of"},
        {own.cert_pem, "", "engine.redis.tls.key_pem", "is missing"},
        {"", own.key_pem, "engine.redis.tls.cert_pem", "is missing"},
        {broken, own.key_pem, "engine.redis.tls.cert_pem", "broken"},
        {own.key_pem, own.key_pem, "engine.redis.tls.cert_pem", "no certificate"},
        {own.cert_pem, own.cert_pem, "engine.redis.tls.key_pem", "no private key"},
        {own.cert_pem, locked, "engine.redis.tls.key_pem", "passphrase"},
        {own.cert_pem, "no such file", "engine.redis.tls.key_pem", "cannot be read"},
        {own.cert_pem, "/", "engine.redis.tls.key_pem", "is a directory"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config_loader l;
        load_pair(&l, rows[i].cert, rows[i].key);
        expect_counts(&l, 1, 0);
        expect_note(&l.problems, rows[i].option, rows[i].words);
        config_loader_fini(&l);
    }
}

static void trust_without_proof_is_warned_about(void **state) {
    struct config_loader l;
    (void)state;
    load(&l, NULL, NONE,
         LIST(REDIS, "--engine.redis.address=rediss://h:1", TLS "insecure_skip_verify"));
    expect_counts(&l, 0, 1);
    expect_note(&l.warnings, "engine.redis.tls.insecure_skip_verify", "read and change");
    config_loader_fini(&l);
}

static int make_all(void **state) {
    (void)state;
    strcpy(folder, "/tmp/carillon-config-XXXXXX");
    assert_non_null(mkdtemp(folder));
    make_certificate(&ca, NULL, "ca", NULL, 0, 1);
    make_certificate(&own, &ca, "own", "DNS:own", 0, 1);
    make_certificate(&other, &ca, "other", "DNS:other", 0, 1);
    return 0;
}

static int drop_all(void **state) {
    (void)state;
    unlink(file_of("cert.pem", "", 0600));
    unlink(file_of("key.pem", "", 0600));
    rmdir(folder);
    free_certificate(&ca);
    free_certificate(&own);
    free_certificate(&other);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_addresses_name_one_server),
        cmocka_unit_test(sentinels_are_hosts_with_ports),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(sentinels_are_split),
        cmocka_unit_test(options_that_would_be_in_vain_are_refused),
        cmocka_unit_test(sentinels_of_shards_are_refused),
        cmocka_unit_test(certificates_are_text_base64_or_files),
        cmocka_unit_test(certificates_that_cannot_be_used_are_refused),
        cmocka_unit_test(trust_without_proof_is_warned_about),
    };
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
