/* `carillon health`: which addresses it understands, and what it makes of answers. The server is a
 * thread with a real socket on loopback that answers once.
 *
 * Thread: main, and one for the server. Owns: nothing.
 */
#include "server/net/health_check.c"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* --- addresses -------------------------------------------------------------------------------- */

static void expect_parsed(const char *url, const char *host, const char *port, const char *path) {
    struct target t;
    if (!parse(url, &t) || strcmp(t.host, host) || strcmp(t.port, port) || strcmp(t.path, path))
        fail_msg("%s gave host %s port %s path %s", url, t.host, t.port, t.path);
}

static void addresses_are_taken_apart(void **state) {
    (void)state;
    expect_parsed("http://localhost", "localhost", "80", "/health");
    expect_parsed("http://localhost/", "localhost", "80", "/");
    expect_parsed("http://localhost:8000", "localhost", "8000", "/health");
    expect_parsed("http://127.0.0.1:8000/ready", "127.0.0.1", "8000", "/ready");
    expect_parsed("http://example.com/a/b?c=d", "example.com", "80", "/a/b?c=d");
    expect_parsed("http://[::1]:8000/ready", "::1", "8000", "/ready");
    expect_parsed("http://[::1]:8000", "::1", "8000", "/health");
    expect_parsed("http://[::1]", "::1", "80", "/health");
}

static void an_ipv6_address_may_have_a_path_without_a_port(void **state) {
    (void)state;
    expect_parsed("http://[::1]/ready", "::1", "80", "/ready");
}

static void other_addresses_are_refused(void **state) {
    (void)state;
    static const char *const urls[] = {
        "",
        "localhost:8000",
        "https://localhost",
        "HTTP://localhost",
        "http://",
        "http:///health",
        "http://:8000/",
        "http://[]:8000",
        "http://[::1",
        "http://localhost:/health",
        "http://localhost:80x/health",
        "http://localhost:123456789/health",
        "ws://localhost",
    };
    struct target t;
    int taken_count = 0;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        if (!parse(urls[i], &t))
            continue;
        print_error("%s gave host %s port %s path %s\n", urls[i], t.host, t.port, t.path);
        taken_count++;
    }
    assert_int_equal(taken_count, 0);
}

/* --- answers ---------------------------------------------------------------------------------- */

static struct server {
    int fd;
    uint16_t port;
    const char *answer;
    char request[1024];
} server;

static void *serve_once(void *arg) {
    struct server *s = arg;
    int fd = accept(s->fd, NULL, NULL);
    size_t n = 0;
    while (n < sizeof(s->request) - 1 && !strstr(s->request, "\r\n\r\n")) {
        ssize_t got = recv(fd, s->request + n, sizeof(s->request) - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        s->request[n] = '\0';
    }
    (void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void listen_somewhere(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    memset(&server, 0, sizeof(server));
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(server.fd, 4), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&a, &n), 0);
    server.port = ntohs(a.sin_port);
}

static int check_with(const char *answer) {
    pthread_t thread;
    char url[64];
    listen_somewhere();
    server.answer = answer;
    assert_int_equal(pthread_create(&thread, NULL, serve_once, &server), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/health", server.port);
    int status = health_check(url);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(server.fd);
    return status;
}

static void a_200_is_healthy(void **state) {
    (void)state;
    assert_int_equal(check_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), 0);
    assert_true(strncmp(server.request, "GET /health HTTP/1.1\r\nHost: 127.0.0.1", 37) == 0);
    assert_non_null(strstr(server.request, "\r\nConnection: close\r\n"));
    assert_int_equal(check_with("HTTP/1.1 200 OK\r\n\r\n"), 0); /* even a short one */
}

static void everything_else_is_not(void **state) {
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "200 OK\r\n\r\nHTTP/1.1 200 OK",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        "",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_int_equal(check_with(answers[i]), 1);
}

static void nobody_there_is_not_healthy(void **state) {
    (void)state;
    char url[64];
    listen_somewhere();
    close(server.fd); /* nobody listens at this port now */
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
    assert_int_equal(health_check(url), 1);
}

static void a_bad_address_is_not_healthy(void **state) {
    (void)state;
    assert_int_equal(health_check("localhost"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(an_ipv6_address_may_have_a_path_without_a_port),
        cmocka_unit_test(other_addresses_are_refused),
        cmocka_unit_test(a_200_is_healthy),
        cmocka_unit_test(everything_else_is_not),
        cmocka_unit_test(nobody_there_is_not_healthy),
        cmocka_unit_test(a_bad_address_is_not_healthy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
