/* TLS from bytes to bytes, against OpenSSL as the server: who is trusted, what is said when not,
 * and that bytes come out as they went in, however they are cut.
 *
 * Thread: one. Owns: certificates, made at the start.
 */
#include "channels/redis_tls.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

#include "tests/unit/certificates.h"

static struct certificate ca, other_ca, local, expired, early, nameless, own, alone;

/* --- the server ------------------------------------------------------------------------------- */

struct peer {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
};

struct peer_options {
    const struct certificate *certificate;
    bool wants_certificate;
    int max_version;    /* 0: the newest */
    size_t piece_bytes; /* how much is passed on at a time; 0: all */
};

static void open_peer(struct peer *p, const struct peer_options *o) {
    p->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(p->context, o->certificate->x);
    SSL_CTX_use_PrivateKey(p->context, o->certificate->key);
    if (o->wants_certificate) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(p->context), ca.x);
        SSL_CTX_set_verify(p->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (o->max_version)
        SSL_CTX_set_max_proto_version(p->context, o->max_version);
    p->ssl = SSL_new(p->context);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(p->in, -1);
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_accept_state(p->ssl);
}

static void close_peer(struct peer *p) {
    SSL_free(p->ssl);
    SSL_CTX_free(p->context);
}

/* --- both sides ------------------------------------------------------------------------------- */

struct talk {
    struct redis_tls *tls;
    struct redis_tls_stream *stream;
    struct buf sealed;
    struct peer peer;
    size_t piece_bytes;
};

static void to_peer(struct talk *t) {
    if (t->sealed.n)
        BIO_write(t->peer.in, t->sealed.p, (int)t->sealed.n);
    buf_clear(&t->sealed);
}

/* Feeds at most a piece; false when there is nothing. */
static bool from_peer(struct talk *t) {
    char text[65536];
    size_t max = t->piece_bytes ? t->piece_bytes : sizeof(text);
    int n = BIO_read(t->peer.out, text, (int)max);
    if (n <= 0)
        return false;
    redis_tls_feed(t->stream, text, (size_t)n);
    return true;
}

/* Until both are done or one gives up. A server that judges our certificate late says so to the
 * first read. */
static const char *shake(struct talk *t) {
    enum redis_tls_state state = redis_tls_shake(t->stream);
    char byte;
    for (int quiet = 0; quiet < 2 && state == REDIS_TLS_SHAKING;) {
        to_peer(t);
        SSL_do_handshake(t->peer.ssl);
        quiet = from_peer(t) ? 0 : quiet + 1;
        state = redis_tls_shake(t->stream);
    }
    if (state == REDIS_TLS_BROKEN)
        return redis_tls_fault(t->stream);
    to_peer(t);
    SSL_do_handshake(t->peer.ssl);
    while (from_peer(t))
        continue;
    return state == REDIS_TLS_OPEN && redis_tls_read(t->stream, &byte, 1) == 0
               ? NULL
               : redis_tls_fault(t->stream);
}

static const struct redis_tls_options trusting = {
    .server_ca_pem = ca.cert_pem, .cert_pem = "", .key_pem = "", .server_name = ""};

static const char *open_talk(struct talk *t, const struct redis_tls_options *o,
                             const struct peer_options *po, const char *host) {
    *t = (struct talk){.tls = redis_tls_create(o), .piece_bytes = po->piece_bytes};
    assert_non_null(t->tls);
    t->stream = redis_tls_open(t->tls, host, &t->sealed);
    assert_non_null(t->stream);
    open_peer(&t->peer, po);
    return shake(t);
}

static void close_talk(struct talk *t) {
    redis_tls_close(t->stream);
    redis_tls_destroy(t->tls);
    buf_fini(&t->sealed);
    close_peer(&t->peer);
}

static void expect(const struct redis_tls_options *o, const struct peer_options *po,
                   const char *host, const char *words) {
    struct talk t;
    const char *why = open_talk(&t, o, po, host);
    if (words && (!why || strcmp(why, words) != 0))
        fail_msg("%s: %s instead of %s", host, why ? why : "nothing", words);
    if (!words && why)
        fail_msg("%s: %s", host, why);
    close_talk(&t);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_server_is_who_its_certificate_names(void **state) {
    const char *const other = "the certificate of redis is for another host";
    (void)state;
    const struct peer_options o = {.certificate = &local};
    expect(&trusting, &o, "redis.test", NULL);
    expect(&trusting, &o, "REDIS.test", NULL);
    expect(&trusting, &o, "a.wild.test", NULL);
    expect(&trusting, &o, "127.0.0.1", NULL);
    expect(&trusting, &o, "::1", NULL);
    expect(&trusting, &o, "a.b.wild.test", other);
    expect(&trusting, &o, "wild.test", other);
    expect(&trusting, &o, "127.0.0.2", other);
    expect(&trusting, &o, "local", other); /* its common name */
    expect(&trusting, &(struct peer_options){.certificate = &nameless}, "nameless", other);
    struct redis_tls_options named = trusting;
    named.server_name = "redis.test";
    expect(&named, &o, "10.0.0.1", NULL);
    named.server_name = "else.test";
    expect(&named, &o, "redis.test", other);
}

static void a_certificate_must_be_trusted_and_in_its_time(void **state) {
    const char *const untrusted = "the certificate of redis is not trusted";
    struct redis_tls_options o = trusting;
    (void)state;
    expect(&o, &(struct peer_options){.certificate = &expired}, "redis.test",
           "the certificate of redis has expired");
    expect(&o, &(struct peer_options){.certificate = &early}, "redis.test",
           "the certificate of redis is not valid yet");
    expect(&o, &(struct peer_options){.certificate = &alone}, "redis.test", untrusted);
    o.server_ca_pem = other_ca.cert_pem;
    expect(&o, &(struct peer_options){.certificate = &local}, "redis.test", untrusted);
    o.server_ca_pem = ""; /* the system's */
    expect(&o, &(struct peer_options){.certificate = &local}, "redis.test", untrusted);
    o.server_ca_pem = alone.cert_pem; /* itself is trusted */
    expect(&o, &(struct peer_options){.certificate = &alone}, "redis.test", NULL);
    o.insecure_skip_verify = true;
    o.server_ca_pem = "";
    expect(&o, &(struct peer_options){.certificate = &expired}, "anything", NULL);
}

static void a_server_may_want_a_certificate_of_ours(void **state) {
    struct redis_tls_options o = trusting;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct peer_options po = {
            .certificate = &local, .wants_certificate = true, .max_version = versions[i]};
        o.cert_pem = own.cert_pem;
        o.key_pem = own.key_pem;
        expect(&o, &po, "redis.test", NULL);
        o.cert_pem = alone.cert_pem;
        o.key_pem = alone.key_pem;
        expect(&o, &po, "redis.test", "redis refuses our certificate");
        expect(&trusting, &po, "redis.test",
               i ? "redis wants a certificate of ours"
                 : "redis refuses the TLS handshake, maybe it wants a certificate of ours");
    }
}

static void what_is_no_tls_or_too_old_is_refused(void **state) {
    struct talk t;
    (void)state;
    const char *why =
        open_talk(&t, &trusting, &(struct peer_options){.certificate = &local}, "redis.test");
    assert_null(why);
    redis_tls_close(t.stream);
    buf_clear(&t.sealed);
    t.stream = redis_tls_open(t.tls, "redis.test", &t.sealed);
    assert_int_equal(redis_tls_shake(t.stream), REDIS_TLS_SHAKING);
    redis_tls_feed(t.stream, "-ERR unknown command\r\n", 22);
    assert_int_equal(redis_tls_shake(t.stream), REDIS_TLS_BROKEN);
    assert_string_equal(redis_tls_fault(t.stream), "redis does not speak TLS here");
    close_talk(&t);
    expect(&trusting, &(struct peer_options){.certificate = &local, .max_version = TLS1_1_VERSION},
           "redis.test", "redis speaks no TLS 1.2 or newer");
}

static void settings_that_cannot_be_used_make_none(void **state) {
    struct redis_tls_options o = trusting;
    (void)state;
    o.server_ca_pem = "no certificate";
    assert_null(redis_tls_create(&o));
    o.server_ca_pem = ca.cert_pem;
    o.cert_pem = own.cert_pem;
    o.key_pem = local.key_pem;
    assert_null(redis_tls_create(&o));
    o.key_pem = "no key";
    assert_null(redis_tls_create(&o));

    struct buf sealed = {0};
    struct redis_tls *tls = redis_tls_create(&trusting);
    assert_null(redis_tls_open(tls, "", &sealed));
    assert_null(redis_tls_open(tls, NULL, &sealed));
    redis_tls_destroy(tls);
}

static char pattern_at(size_t i) {
    return (char)(i * 31 + i / 251);
}

/* The server sends it back as it comes. */
static void send_around(struct talk *t, size_t size_bytes) {
    char *text = mem_alloc(size_bytes + 1), part[20000];
    size_t back = 0, n;
    ssize_t got = 0;
    for (size_t i = 0; i < size_bytes; i++)
        text[i] = pattern_at(i);
    assert_true(redis_tls_write(t->stream, (struct str){text, size_bytes}));
    to_peer(t);
    while (SSL_read_ex(t->peer.ssl, part, sizeof(part), &n) == 1)
        SSL_write_ex(t->peer.ssl, part, n, &n);
    while (from_peer(t)) {
        while ((got = redis_tls_read(t->stream, part, 7777)) > 0)
            for (ssize_t i = 0; i < got; i++)
                assert_int_equal(part[i], pattern_at(back++));
        assert_int_equal(got, 0);
    }
    assert_int_equal(back, size_bytes);
    mem_free(text);
}

static void bytes_come_out_as_they_went_in(void **state) {
    static const size_t sizes[] = {0, 1, 100, 16384, 16385, 65536, 300000};
    static const size_t pieces[] = {1, 7, 1000, 65536};
    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct talk t;
        const char *why = open_talk(
            &t, &trusting, &(struct peer_options){.certificate = &local, .piece_bytes = pieces[i]},
            "redis.test");
        assert_null(why);
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++)
            send_around(&t, sizes[j]);
        SSL_key_update(t.peer.ssl,
                       SSL_KEY_UPDATE_REQUESTED); /* our answer goes with what follows */
        send_around(&t, 1000);
        send_around(&t, 1000);
        close_talk(&t);
    }
}

static void a_changed_byte_and_an_end_are_noticed(void **state) {
    struct talk t;
    char text[65536];
    size_t n;
    (void)state;
    const struct peer_options o = {.certificate = &local};
    assert_null(open_talk(&t, &trusting, &o, "redis.test"));
    SSL_write_ex(t.peer.ssl, "+OK\r\n", 5, &n);
    int got = BIO_read(t.peer.out, text, sizeof(text));
    text[got - 1] ^= 1;
    redis_tls_feed(t.stream, text, (size_t)got);
    assert_int_equal(redis_tls_read(t.stream, text, sizeof(text)), -1);
    assert_string_equal(redis_tls_fault(t.stream), "TLS to redis broke");
    assert_false(redis_tls_write(t.stream, STR("PING")));
    close_talk(&t);

    assert_null(open_talk(&t, &trusting, &o, "redis.test"));
    SSL_shutdown(t.peer.ssl);
    from_peer(&t);
    assert_int_equal(redis_tls_read(t.stream, text, sizeof(text)), -1);
    assert_string_equal(redis_tls_fault(t.stream), "redis closed the connection");
    close_talk(&t);
}

static int make_all(void **state) {
    const char *const names = "DNS:redis.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1";
    (void)state;
    make_certificate(&ca, NULL, "ca", NULL, 0, 2);
    make_certificate(&other_ca, NULL, "other", NULL, 0, 2);
    make_certificate(&local, &ca, "local", names, 0, 1);
    make_certificate(&expired, &ca, "expired", names, -3, -1);
    make_certificate(&early, &ca, "early", names, 1, 2);
    make_certificate(&nameless, &ca, "nameless", NULL, 0, 1);
    make_certificate(&own, &ca, "own", "DNS:node", 0, 1);
    make_certificate(&alone, NULL, "alone", names, 0, 1);
    return 0;
}

static int drop_all(void **state) {
    struct certificate *const all[] = {&ca,    &other_ca, &local, &expired,
                                       &early, &nameless, &own,   &alone};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free_certificate(all[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_who_its_certificate_names),
        cmocka_unit_test(a_certificate_must_be_trusted_and_in_its_time),
        cmocka_unit_test(a_server_may_want_a_certificate_of_ours),
        cmocka_unit_test(what_is_no_tls_or_too_old_is_refused),
        cmocka_unit_test(settings_that_cannot_be_used_make_none),
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(a_changed_byte_and_an_end_are_noticed),
    };
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
