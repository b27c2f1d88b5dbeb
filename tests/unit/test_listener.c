/* Listening sockets: real ones, on loopback and in a folder of their own.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/net/listener.c"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_log.h"
#include "tests/unit/test_folder.h"

static struct folder folder;
static size_t descriptors_before;

static size_t count_descriptors(void) {
    size_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static int start(void **state) {
    (void)state;
    make_folder(&folder);
    last_log[0] = '\0';
    descriptors_before = count_descriptors();
    return 0;
}

static int stop(void **state) {
    (void)state;
    remove_folder(&folder);
    assert_int_equal(count_descriptors(), descriptors_before);
    return 0;
}

static bool open_at(struct listeners *l, const char *address, uint16_t port, uint32_t count) {
    char text[200];
    struct config c = {.http_server_address = text, .http_server_port = port, .backlog = 16};
    snprintf(text, sizeof(text), "%s", address);
    return listeners_open(l, &c, count);
}

static void expect_refused(const char *address, uint16_t port, const char *why) {
    struct listeners l;
    assert_false(open_at(&l, address, port, 2));
    if (!strstr(last_log, why))
        print_error("%s\n", last_log);
    assert_non_null(strstr(last_log, why));
    assert_null(l.fds); /* nothing is left open */
}

static int connect_tcp(const char *address, uint16_t port) {
    struct address a;
    assert_true(parse_ip(address, port, strchr(address, ':') != NULL, &a));
    int fd = socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a.storage, a.size) == 0)
        return fd;
    close(fd);
    return -1;
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(un.sun_path));
    memcpy(un.sun_path, path, strlen(path));
    return un;
}

static int connect_unix(const char *path) {
    struct sockaddr_un un = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* How many of the sockets have a connection waiting. */
static uint32_t accept_all(const struct listeners *l) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->count; i++)
        for (int fd; (fd = accept4(l->fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0; count++)
            close(fd);
    return count;
}

/* --- TCP -------------------------------------------------------------------------------------- */

static void each_worker_has_a_socket_on_the_same_port(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, "127.0.0.1", 0, 4));
    assert_true(l.port > 0);
    assert_int_equal(l.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct address a;
        assert_int_equal(bound_port(l.fds[i], &a), l.port);
        assert_true(fcntl(l.fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(l.fds[i], F_GETFD) & FD_CLOEXEC);
        for (uint32_t j = 0; j < i; j++)
            assert_int_not_equal(l.fds[i], l.fds[j]);
    }
    listeners_close(&l);
    listeners_close(&l); /* twice is fine */
}

static void the_kernel_spreads_connections_over_the_sockets(void **state) {
    (void)state;
    struct listeners l;
    uint32_t accepted[4] = {0}, used = 0, total = 0;
    assert_true(open_at(&l, "127.0.0.1", 0, 4));
    for (int i = 0; i < 100; i++) {
        int fd = connect_tcp("127.0.0.1", l.port);
        assert_true(fd >= 0);
        for (uint32_t j = 0; j < 4; j++)
            accepted[j] += accept_all(&(struct listeners){.fds = &l.fds[j], .count = 1});
        close(fd);
    }
    for (uint32_t j = 0; j < 4; j++) {
        total += accepted[j];
        used += accepted[j] > 0;
    }
    assert_int_equal(total, 100);
    assert_true(used >= 2); /* chance alone gives one of them all 100 once in 10^59 times */
    listeners_close(&l);
}

static void a_port_that_is_held_is_refused_with_its_holder(void **state) {
    (void)state;
    struct listeners l;
    char pid[32];
    assert_true(open_at(&l, "127.0.0.1", 0, 1)); /* shares its port, and still it is not shared */
    snprintf(pid, sizeof(pid), "by_pid=%ld ", (long)getpid());
    expect_refused("127.0.0.1", l.port, "the port is in use");
    assert_non_null(strstr(last_log, pid));
    assert_non_null(strstr(last_log, "by_program=test_listener"));
    expect_refused("", l.port, "the port is in use");
    listeners_close(&l);
}

static void a_port_may_be_used_again_at_once(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, "127.0.0.1", 0, 2));
    uint16_t port = l.port;
    int fd = connect_tcp("127.0.0.1", port);
    assert_int_equal(accept_all(&l), 1); /* closed by us first: the kernel keeps it a minute */
    close(fd);
    listeners_close(&l);
    assert_true(open_at(&l, "127.0.0.1", port, 2));
    listeners_close(&l);
}

static bool has_ipv6(void) {
    struct address a;
    parse_ip("::1", 0, true, &a);
    int fd = bind_socket(&a, false);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void all_addresses_are_those_of_both_families(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, "", 0, 1));
    int v4 = connect_tcp("127.0.0.1", l.port);
    assert_true(v4 >= 0);
    close(v4);
    if (has_ipv6()) {
        int v6 = connect_tcp("::1", l.port);
        assert_true(v6 >= 0);
        close(v6);
    }
    listeners_close(&l);
}

static void one_address_is_only_that(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, "127.0.0.1", 0, 1));
    assert_int_equal(connect_tcp("127.0.0.2", l.port), -1);
    listeners_close(&l);
    if (!has_ipv6())
        skip();
    assert_true(open_at(&l, "::1", 0, 1));
    assert_int_equal(connect_tcp("127.0.0.1", l.port), -1);
    int fd = connect_tcp("::1", l.port);
    assert_true(fd >= 0);
    close(fd);
    listeners_close(&l);
}

static void an_address_of_another_machine_is_refused(void **state) {
    (void)state;
    expect_refused("192.0.2.1", 0, "Cannot assign requested address");
}

static void a_port_nobody_holds_has_no_owner(void **state) {
    (void)state;
    struct listeners l;
    long pid;
    char name[32];
    assert_true(open_at(&l, "127.0.0.1", 0, 1));
    assert_true(port_owner(l.port, &pid, name));
    assert_int_equal(pid, getpid());
    uint16_t port = l.port;
    listeners_close(&l);
    assert_false(port_owner(port, &pid, name));
}

/* --- Unix paths ------------------------------------------------------------------------------- */

static const char *socket_address(void) {
    static char text[160];
    snprintf(text, sizeof(text), "unix:%s/socket", folder.path);
    return text;
}

static const char *socket_path(void) {
    return socket_address() + 5;
}

static void a_path_is_one_socket_for_all_workers(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, socket_address(), 0, 3));
    assert_int_equal(l.port, 0);
    for (uint32_t i = 0; i < 3; i++) {
        int fd = connect_unix(socket_path());
        assert_true(fd >= 0);
        assert_int_equal(accept_all(&(struct listeners){.fds = &l.fds[i], .count = 1}), 1);
        close(fd);
    }
    listeners_close(&l);
    assert_int_equal(access(socket_path(), F_OK), -1); /* and is removed at the end */
}

static void a_path_that_answers_is_refused(void **state) {
    (void)state;
    struct listeners l;
    assert_true(open_at(&l, socket_address(), 0, 1));
    expect_refused(socket_address(), 0, "another server answers there");
    accept_all(&l);
    int fd = connect_unix(socket_path()); /* the first one still has it */
    assert_true(fd >= 0);
    close(fd);
    listeners_close(&l);
}

static void what_a_dead_server_left_is_replaced(void **state) {
    (void)state;
    struct listeners l;
    struct sockaddr_un un = unix_address(socket_path());
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&un, sizeof(un)), 0);
    close(dead);
    assert_true(open_at(&l, socket_address(), 0, 1));
    listeners_close(&l);
}

/* A typing error must not cost anybody a file. */
static void a_file_that_is_no_socket_is_refused_and_kept(void **state) {
    (void)state;
    char address[160];
    struct listeners l;
    write_file(&folder, "precious", 8, 0600);
    snprintf(address, sizeof(address), "unix:%s", folder.file);
    bool is_open = open_at(&l, address, 0, 1);
    if (is_open)
        listeners_close(&l);
    assert_int_equal(access(folder.file, F_OK), 0);
    assert_false(is_open);
}

static void a_path_that_cannot_be_is_refused(void **state) {
    (void)state;
    char address[200];
    snprintf(address, sizeof(address), "unix:%s/no/such/folder", folder.path);
    expect_refused(address, 0, "No such file or directory");
    memset(address + 5, 'a', 150);
    address[5] = '/';
    address[155] = '\0';
    expect_refused(address, 0, "longer than 107 bytes");
}

#define LISTENER_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(each_worker_has_a_socket_on_the_same_port),
        LISTENER_TEST(the_kernel_spreads_connections_over_the_sockets),
        LISTENER_TEST(a_port_that_is_held_is_refused_with_its_holder),
        LISTENER_TEST(a_port_may_be_used_again_at_once),
        LISTENER_TEST(all_addresses_are_those_of_both_families),
        LISTENER_TEST(one_address_is_only_that),
        LISTENER_TEST(an_address_of_another_machine_is_refused),
        LISTENER_TEST(a_port_nobody_holds_has_no_owner),
        LISTENER_TEST(a_path_is_one_socket_for_all_workers),
        LISTENER_TEST(a_path_that_answers_is_refused),
        LISTENER_TEST(what_a_dead_server_left_is_replaced),
        LISTENER_TEST(a_file_that_is_no_socket_is_refused_and_kept),
        LISTENER_TEST(a_path_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
