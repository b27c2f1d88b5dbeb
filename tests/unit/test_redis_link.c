/* One link to a server that does what the test says: refuses, stays silent, talks nonsense, answers
 * late or in pieces.
 *
 * The loop runs in the main thread until the test has seen what it wants; the server is a thread
 * that accepts one connection and plays its part.
 *
 * Thread: main, and the server's. Owns: a socket in a folder of its own.
 */
#include "channels/redis_link.c"

#include "channels/redis_shared.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include <cmocka.h>

enum { IO_TIMEOUT_MS = 400, CONNECT_TIMEOUT_MS = 400, PATIENCE_MS = 30000 };

static char folder[64], path[96];
static int listener = -1;
static struct redis_loop *loop;
static struct redis_link *hooked_link;
static unsigned connected_count, message_count, down_count, answer_count;
static char answers[4096]; /* what came, one letter each: see note() */
static const char *why_down;
static uint64_t end_ms;
static bool (*is_over)(void);
static void (*when_connected)(void);

/* --- hooks ------------------------------------------------------------------------------------ */

static void note(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    const char *letter = arg;
    char c = *letter; /* its own letter when answered, else how it ended */
    if (outcome != REDIS_ANSWERED)
        c = outcome == REDIS_UNSENT ? '-' : '?';
    else if (reply->type == REDIS_REPLY_ERROR)
        c = '!';
    answers[answer_count++] = c;
}

static void on_connected(void *arg) {
    (void)arg;
    connected_count++;
    if (when_connected)
        when_connected();
}

static void on_message(void *arg, struct str channel, struct str payload) {
    (void)arg;
    assert_true(str_equal(channel, STR("c")));
    assert_true(str_equal(payload, STR("hello")));
    message_count++;
}

static void on_down(void *arg, const char *why) {
    (void)arg;
    down_count++;
    why_down = why;
}

static void on_woken(void *arg) {
    (void)arg;
}

static void on_tick_hook(void *arg, uint64_t now_ms) {
    (void)arg;
    assert_true(now_ms < end_ms);
}

static void on_turn_end_hook(void *arg) {
    (void)arg;
    if (is_over())
        redis_loop_stop(loop);
}

static bool is_down(void) {
    return down_count > 0;
}

/* --- the server ------------------------------------------------------------------------------- */

struct part {
    size_t wants_bytes; /* reads so much first */
    const char *says;   /* NULL: closes */
};

struct play {
    pthread_t thread;
    const struct part *parts;
    size_t part_count;
    bool holds; /* keeps the connection open until the test ends it */
    int fd;
};

static void *perform(void *arg) {
    struct play *p = arg;
    char text[65536];
    p->fd = accept(listener, NULL, NULL);
    assert_true(p->fd >= 0);
    for (size_t i = 0; i < p->part_count; i++) {
        for (size_t n = 0; n < p->parts[i].wants_bytes;) {
            ssize_t got = read(p->fd, text, sizeof(text));
            if (got <= 0)
                return NULL;
            n += (size_t)got;
        }
        if (!p->parts[i].says)
            break;
        if (write(p->fd, p->parts[i].says, strlen(p->parts[i].says)) < 0)
            return NULL;
    }
    if (!p->holds)
        shutdown(p->fd, SHUT_RDWR);
    return NULL;
}

static struct play play;

static void start_play(const struct part *parts, size_t count, bool holds) {
    play = (struct play){.parts = parts, .part_count = count, .holds = holds, .fd = -1};
    assert_int_equal(pthread_create(&play.thread, NULL, perform, &play), 0);
}

static void end_play(void) {
    pthread_join(play.thread, NULL);
    close(play.fd);
}

#define PLAY(holds, ...)                                                                           \
    static const struct part parts[] = {__VA_ARGS__};                                              \
    start_play(parts, sizeof(parts) / sizeof(*parts), holds)

/* --- set-up ----------------------------------------------------------------------------------- */

static void open_listener(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 8), 0);
}

static void make_link(struct redis_target target) {
    const struct redis_link_hooks hooks = {
        .connected = on_connected, .message = on_message, .down = on_down};
    redis_link_destroy(hooked_link);
    hooked_link = redis_link_create(loop,
                                    &(struct redis_link_options){
                                        .target = target,
                                        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                        .io_timeout_ms = IO_TIMEOUT_MS,
                                    },
                                    &hooks);
}

static int start(void **state) {
    const struct redis_loop_hooks hooks = {
        .woken = on_woken, .tick = on_tick_hook, .turn_end = on_turn_end_hook};
    (void)state;
    strcpy(folder, "/tmp/carillon-link-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    open_listener();
    loop = redis_loop_create(&hooks);
    hooked_link = NULL;
    make_link((struct redis_target){.unix_path = path});
    connected_count = message_count = down_count = answer_count = 0;
    memset(answers, 0, sizeof(answers));
    why_down = NULL;
    when_connected = NULL;
    is_over = is_down;
    end_ms = clock_now_ms() + PATIENCE_MS;
    return 0;
}

static int stop(void **state) {
    (void)state;
    redis_link_destroy(hooked_link);
    redis_loop_destroy(loop);
    if (listener >= 0)
        close(listener);
    unlink(path);
    rmdir(folder);
    return 0;
}

static void run(void) {
    redis_link_open(hooked_link);
    redis_loop_run(loop);
}

static void send_ping(const char *letter, uint32_t answers_wanted) {
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("PING"));
    bool is_sent = redis_link_send_args(
        hooked_link, &args, (struct redis_waiter){note, (void *)(uintptr_t)letter, answers_wanted});
    assert_true(is_sent);
}

static void send_abc(void) {
    send_ping("a", 1);
    send_ping("b", 1);
    send_ping("c", 1);
}

enum { PING_BYTES = sizeof("*1\r\n$4\r\nPING\r\n") - 1 };

/* --- tests ------------------------------------------------------------------------------------ */

static void answers_come_in_the_order_of_the_commands(void **state) {
    (void)state;
    PLAY(false, {3 * PING_BYTES, "+PONG\r\n-ERR x\r\n:1"}, {0, "\r\n"});
    when_connected = send_abc;
    run();
    end_play();
    assert_string_equal(answers, "a!c");
    assert_string_equal(why_down, "redis closed the connection");
    assert_int_equal(connected_count, 1);
    assert_int_equal(down_count, 1);
}

static void a_command_without_an_answer_in_time_breaks_the_link(void **state) {
    (void)state;
    PLAY(true, {3 * PING_BYTES, "+PONG\r\n+PO"});
    when_connected = send_abc;
    uint64_t start_ms = clock_now_ms();
    run();
    end_play();
    assert_string_equal(answers, "a??");
    assert_string_equal(why_down, "redis does not answer");
    assert_true(clock_now_ms() - start_ms >= IO_TIMEOUT_MS);
}

static void send_two_then_wait(void) {
    send_ping("s", 3);
    send_ping("p", 1);
}

static void a_command_may_have_several_answers_and_messages_between_them(void **state) {
    (void)state;
#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"
    PLAY(false, {2 * PING_BYTES, SUBSCRIBED MESSAGE SUBSCRIBED SUBSCRIBED "+PONG\r\n" MESSAGE});
    when_connected = send_two_then_wait;
    run();
    end_play();
    assert_string_equal(answers, "sssp");
    assert_int_equal(message_count, 2);
}

static void an_error_answers_the_whole_command(void **state) {
    (void)state;
    PLAY(false, {2 * PING_BYTES, "-NOPERM no\r\n+PONG\r\n"});
    when_connected = send_two_then_wait;
    run();
    end_play();
    assert_string_equal(answers, "!p");
}

static void nonsense_breaks_the_link(void **state) {
    (void)state;
    PLAY(true, {PING_BYTES, "HTTP/1.1 400 Bad Request\r\n"});
    when_connected = send_abc;
    run();
    end_play();
    assert_string_equal(answers, "???");
    assert_string_equal(why_down, "redis does not speak its protocol");
}

static void an_answer_that_nobody_asked_for_breaks_the_link(void **state) {
    (void)state;
    PLAY(true, {0, "+PONG\r\n"});
    run();
    end_play();
    assert_string_equal(why_down, "redis answered what was not asked");
}

static void send_and_fail(void) {
    send_abc();
    redis_link_fail(hooked_link, "test");
    assert_false(redis_link_is_open(hooked_link));
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("PING"));
    assert_false(redis_link_send_args(hooked_link, &args, (struct redis_waiter){note, "x", 1}));
}

static void what_was_not_sent_is_told_so(void **state) {
    (void)state;
    PLAY(true, {0, ""});
    when_connected = send_and_fail;
    run();
    end_play();
    assert_string_equal(answers, "---");
    assert_string_equal(why_down, "test");
}

static void a_link_can_be_opened_again(void **state) {
    (void)state;
    a_command_without_an_answer_in_time_breaks_the_link(state);
    loop->is_stopped = false;
    connected_count = down_count = answer_count = 0;
    memset(answers, 0, sizeof(answers));
    answers_come_in_the_order_of_the_commands(state);
}

static void a_server_that_does_not_accept_is_given_up(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fillers[16], count = 0;
    memcpy(address.sun_path, path, strlen(path) + 1);
    listen(listener, 0); /* a short queue, which is filled */
    do {
        fillers[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    } while (connect(fillers[count++], (struct sockaddr *)&address, sizeof(address)) == 0 &&
             count < 16);
    run();
    assert_non_null(why_down);
    assert_int_equal(connected_count, 0);
    while (count > 0)
        close(fillers[--count]);
}

static void no_server_is_told_with_its_reason(void **state) {
    (void)state;
    close(listener);
    listener = -1;
    run();
    assert_string_equal(why_down, "redis refuses connections");
    unlink(path);
    loop->is_stopped = false;
    down_count = 0;
    run();
    assert_string_equal(why_down, "the socket of redis does not exist");
    assert_int_equal(connected_count, 0);
}

static void a_path_that_is_too_long_finds_nothing(void **state) {
    (void)state;
    char long_path[200];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    make_link((struct redis_target){.unix_path = long_path});
    run();
    assert_string_equal(why_down, "the address of redis is not known");
}

/* Listens on 127.0.0.1 only, so that a name with two addresses is tried to the end. */
static uint32_t listen_on_tcp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    close(listener);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&address, &n);
    return ntohs(address.sin_port);
}

static void a_host_is_found_by_number_and_by_name(void **state) {
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    uint32_t port = listen_on_tcp();
    for (int i = 0; i < 2; i++) {
        make_link((struct redis_target){.host = hosts[i], .port = port});
        loop->is_stopped = false;
        connected_count = down_count = answer_count = 0;
        memset(answers, 0, sizeof(answers));
        answers_come_in_the_order_of_the_commands(state);
    }
}

static void add_address(uint32_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    uint32_t i = hooked_link->addresses.count++;
    memcpy(&hooked_link->addresses.items[i].address, &address, sizeof(address));
    hooked_link->addresses.items[i].size_bytes = sizeof(address);
}

/* The kernel drops what comes for a listener whose queue is full. */
static void an_address_that_swallows_everything_leaves_time_for_the_next(void **state) {
    int fillers[4];
    (void)state;
    add_address(listen_on_tcp());
    int silent = listener;
    listen(silent, 0);
    for (int i = 0; i < 4; i++) {
        fillers[i] = redis_socket_connect(&hooked_link->addresses, 0);
        assert_true(fillers[i] >= 0);
    }
    listener = -1;
    add_address(listen_on_tcp());
    PLAY(false, {3 * PING_BYTES, "+PONG\r\n-ERR x\r\n:1\r\n"});
    when_connected = send_abc;
    hooked_link->options.connect_timeout_ms = 4 * CONNECT_TIMEOUT_MS;
    hooked_link->connect_deadline_ms = clock_now_ms() + 4 * (uint64_t)CONNECT_TIMEOUT_MS;
    try_addresses(hooked_link, 0);
    redis_loop_run(loop);
    assert_int_equal(connected_count, 1);
    end_play();
    assert_string_equal(answers, "a!c");
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(silent);
}

static void a_name_nobody_knows_is_told(void **state) {
    (void)state;
    make_link((struct redis_target){.host = "no-such-host.invalid", .port = 1});
    run();
    assert_true(!strcmp(why_down, "the address of redis is not known") ||
                !strcmp(why_down, "connecting to redis takes too long"));
}

static void send_too_much(void) {
    struct buf big = {0};
    memset(buf_reserve(&big, 1 << 20), 'x', 1 << 20);
    big.n = 1 << 20;
    for (int i = 0; i < 70 && redis_link_is_open(hooked_link); i++)
        redis_link_send(hooked_link, buf_str(&big), (struct redis_waiter){note, "x", 1});
    buf_fini(&big);
}

static void what_is_unsent_is_bounded(void **state) {
    (void)state;
    PLAY(true, {0, ""});
    when_connected = send_too_much;
    run();
    end_play();
    assert_string_equal(why_down, "redis does not keep up");
    assert_int_equal(answer_count, 65); /* the one over 64 MiB was the last */
}

static void commands_are_made_of_any_bytes(void **state) {
    (void)state;
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("SET"));
    redis_args_add(&args, (struct str){"a\0\r\n", 4});
    redis_args_add(&args, STR_NONE);
    struct str command = redis_command_make(&args);
    assert_true(str_equal(command, STR("*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n")));
    redis_command_free(command);
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        LINK_TEST(answers_come_in_the_order_of_the_commands),
        LINK_TEST(a_command_without_an_answer_in_time_breaks_the_link),
        LINK_TEST(a_command_may_have_several_answers_and_messages_between_them),
        LINK_TEST(an_error_answers_the_whole_command),
        LINK_TEST(nonsense_breaks_the_link),
        LINK_TEST(an_answer_that_nobody_asked_for_breaks_the_link),
        LINK_TEST(what_was_not_sent_is_told_so),
        LINK_TEST(a_link_can_be_opened_again),
        LINK_TEST(a_server_that_does_not_accept_is_given_up),
        LINK_TEST(no_server_is_told_with_its_reason),
        LINK_TEST(a_path_that_is_too_long_finds_nothing),
        LINK_TEST(a_host_is_found_by_number_and_by_name),
        LINK_TEST(an_address_that_swallows_everything_leaves_time_for_the_next),
        LINK_TEST(a_name_nobody_knows_is_told),
        LINK_TEST(what_is_unsent_is_bounded),
        cmocka_unit_test(commands_are_made_of_any_bytes),
    };
    signal(SIGPIPE, SIG_IGN); /* of the server when we are gone; links do not need it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
