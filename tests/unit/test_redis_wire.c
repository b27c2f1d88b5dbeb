/* The bytes of a link on a socket that is full: nothing is lost, doubled or counted twice, plain
 * and through TLS.
 *
 * Thread: one. Owns: a pair of sockets.
 */
#include "channels/redis_wire.c"

#include "server/base/mem.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

#include "tests/unit/certificates.h"

enum { LARGE_BYTES = 3 << 20 };

static struct redis_wire wire;
static int peer_fd;
static struct certificate own;
static struct redis_tls *tls;
static SSL_CTX *context;
static SSL *peer; /* NULL: plain */

static char byte_at(size_t i) {
    return (char)(i * 7 + i / 65521);
}

static void add(size_t from, size_t size_bytes) {
    char *text = mem_alloc(size_bytes);
    for (size_t i = 0; i < size_bytes; i++)
        text[i] = byte_at(from + i);
    redis_wire_add(&wire, (struct str){text, size_bytes});
    mem_free(text);
}

/* What the other side has: plain bytes from `at` on. Gives where it ends. */
static size_t take(size_t at) {
    char text[65536];
    for (;;) {
        ssize_t n = peer ? SSL_read(peer, text, sizeof(text))
                         : recv(peer_fd, text, sizeof(text), MSG_DONTWAIT);
        if (n <= 0)
            return at;
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(text[i], byte_at(at++));
    }
}

static void what_a_full_socket_leaves_goes_later(void **state) {
    size_t added = 0, taken = 0;
    (void)state;
    assert_false(redis_wire_wants_write(&wire));
    assert_true(redis_wire_flush(&wire));
    for (int round = 0; round < 4; round++) {
        add(added, LARGE_BYTES);
        added += LARGE_BYTES;
        assert_int_equal(redis_wire_position(&wire), added);
        assert_true(redis_wire_flush(&wire));
        assert_true(redis_wire_wants_write(&wire));
        assert_true(redis_wire_unsent(&wire) > LARGE_BYTES / 2); /* not sealed ahead */
        assert_int_equal(wire.written_bytes + redis_wire_unsent(&wire), added);
        add(added, 10);
        added += 10;
        while (redis_wire_wants_write(&wire)) {
            taken = take(taken);
            assert_true(taken <= wire.written_bytes); /* else it would be called unsent */
            assert_true(redis_wire_flush(&wire));
        }
        taken = take(taken);
        assert_int_equal(taken, added);
        assert_int_equal(wire.written_bytes, added);
        assert_int_equal(redis_wire_unsent(&wire), 0);
    }
}

static void a_broken_socket_is_said(void **state) {
    (void)state;
    add(0, 1);
    close(peer_fd);
    peer_fd = -1;
    assert_false(redis_wire_flush(&wire));
}

/* --- start and end ---------------------------------------------------------------------------- */

static int start_plain(void **state) {
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    redis_wire_init(&wire);
    wire.fd = fds[0];
    peer_fd = fds[1];
    return 0;
}

static void shake(void) {
    char text[16384];
    enum redis_tls_state state = redis_tls_shake(wire.tls);
    while (state == REDIS_TLS_SHAKING || SSL_do_handshake(peer) != 1) {
        assert_true(redis_wire_flush(&wire));
        SSL_do_handshake(peer);
        ssize_t n = recv(wire.fd, text, sizeof(text), MSG_DONTWAIT);
        if (n > 0)
            redis_tls_feed(wire.tls, text, (size_t)n);
        state = redis_tls_shake(wire.tls);
        assert_true(state != REDIS_TLS_BROKEN);
    }
}

static int start_tls(void **state) {
    start_plain(state);
    make_certificate(&own, NULL, "own", "DNS:redis", 0, 1);
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(context, own.x);
    SSL_CTX_use_PrivateKey(context, own.key);
    peer = SSL_new(context);
    SSL_set_fd(peer, peer_fd);
    SSL_set_accept_state(peer);
    tls = redis_tls_create(&(struct redis_tls_options){
        .server_ca_pem = own.cert_pem, .cert_pem = "", .key_pem = "", .server_name = ""});
    wire.tls = redis_tls_open(tls, "redis", &wire.sealed);
    shake();
    return 0;
}

static int stop(void **state) {
    (void)state;
    redis_wire_close(&wire);
    redis_wire_clear(&wire);
    if (peer) {
        SSL_free(peer);
        SSL_CTX_free(context);
        redis_tls_destroy(tls);
        free_certificate(&own);
        peer = NULL;
    }
    if (peer_fd >= 0)
        close(peer_fd);
    return 0;
}

#define TEST(f, kind) cmocka_unit_test_setup_teardown(f, start_##kind, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_a_full_socket_leaves_goes_later, plain),
        TEST(what_a_full_socket_leaves_goes_later, tls),
        TEST(a_broken_socket_is_said, plain),
        TEST(a_broken_socket_is_said, tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
