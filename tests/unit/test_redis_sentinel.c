/* What Sentinels may answer, or not: a few servers say what the test wants. Real Sentinels are in
 * tests/integration/redis-deployments.test.mjs.
 *
 * Thread: main, with the loop; and one per server. Owns: the servers.
 */
#include "channels/redis_sentinel.c"

#include "channels/redis_link.c" /* to run the loop more than once */

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants those four first */
#include <cmocka.h>

enum { COUNT = 3, PATIENCE_MS = 30000 };

/* --- servers that answer like a Sentinel ------------------------------------------------------ */

struct fake {
    int listener, fd;
    uint32_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *epoch, *address; /* whole replies; NULL: silence. Under the lock. */
    atomic_bool is_over;
};

static struct fake fakes[COUNT];

static void say_reply(struct fake *f, bool is_address) {
    pthread_mutex_lock(&f->lock);
    const char *text = is_address ? f->address : f->epoch;
    if (text && send(f->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        text = NULL;
    pthread_mutex_unlock(&f->lock);
}

/* Answers each whole command; their last word before the name tells them apart. */
static void serve(struct fake *f) {
    static const char epoch[] = "MASTER\r\n$4\r\nmain\r\n",
                      address[] = "-BY-NAME\r\n$4\r\nmain\r\n";
    char text[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(f->fd, text + n, sizeof(text) - 1 - n, 0)) > 0) {
        n += (size_t)got;
        for (;;) {
            text[n] = '\0';
            char *first = strstr(text, epoch), *second = strstr(text, address);
            char *at = first && (!second || first < second) ? first : second;
            if (!at)
                break;
            say_reply(f, at == second);
            size_t taken =
                (size_t)(at - text) + (at == second ? sizeof(address) : sizeof(epoch)) - 1;
            memmove(text, text + taken, n - taken);
            n -= taken;
        }
    }
}

static void *run_fake(void *arg) {
    struct fake *f = arg;
    while (!f->is_over) {
        int fd = accept(f->listener, NULL, NULL);
        if (fd < 0)
            break;
        pthread_mutex_lock(&f->lock);
        f->fd = fd;
        pthread_mutex_unlock(&f->lock);
        serve(f);
        pthread_mutex_lock(&f->lock);
        close(f->fd);
        f->fd = -1;
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

static void start_fake(struct fake *f) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    *f = (struct fake){.fd = -1, .listener = socket(AF_INET, SOCK_STREAM, 0)};
    pthread_mutex_init(&f->lock, NULL);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    pthread_create(&f->thread, NULL, run_fake, f);
}

static void stop_fake(struct fake *f) {
    pthread_mutex_lock(&f->lock);
    f->is_over = true;
    if (f->fd >= 0)
        shutdown(f->fd, SHUT_RDWR);
    pthread_mutex_unlock(&f->lock);
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listener);
    pthread_mutex_destroy(&f->lock);
}

static void set(uint32_t i, const char *epoch, const char *address) {
    pthread_mutex_lock(&fakes[i].lock);
    fakes[i].epoch = epoch;
    fakes[i].address = address;
    pthread_mutex_unlock(&fakes[i].lock);
}

#define EPOCH(digit) "*4\r\n$4\r\nname\r\n$4\r\nmain\r\n$12\r\nconfig-epoch\r\n$1\r\n" digit "\r\n"
#define AT_A "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n"
#define AT_B "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n6380\r\n"

/* --- the one who asks ------------------------------------------------------------------------- */

static struct redis_loop *loop;
static struct redis_sentinel *sentinel;
static unsigned found_count, failed_count, changed_count, heard_count;
static char found_host[64];
static uint32_t found_port;
static const char *why_failed;
static bool is_last_gone;
static bool (*is_over)(void);
static uint64_t end_ms;

static void found(void *arg, const struct redis_endpoint *master) {
    (void)arg;
    found_count++;
    snprintf(found_host, sizeof(found_host), "%s", master->host);
    found_port = master->port;
}

static void failed(void *arg, const char *why) {
    (void)arg;
    failed_count++;
    why_failed = why;
}

static void changed(void *arg) {
    (void)arg;
    changed_count++;
}

static void woken(void *arg) {
    (void)arg;
}

static void tick(void *arg, uint64_t now_ms) {
    (void)arg;
    assert_true(now_ms < end_ms);
    heard_count++;
    redis_sentinel_tick(sentinel, now_ms);
}

static void turn_end(void *arg) {
    (void)arg;
    if (is_over())
        redis_loop_stop(loop);
}

static bool has_result(void) {
    return found_count + failed_count > 0;
}

static bool has_changed(void) {
    return changed_count > 0;
}

/* The last one is gone, and the others were asked again. */
static bool others_were_heard(void) {
    if (!is_last_gone)
        heard_count = 0;
    is_last_gone |= sentinel->ones[COUNT - 1].is_closed;
    return heard_count > 15;
}

static void run_until(bool (*condition)(void)) {
    is_over = condition;
    end_ms = clock_now_ms() + PATIENCE_MS;
    loop->is_stopped = false;
    redis_loop_run(loop);
}

static void ask(void) {
    found_count = failed_count = changed_count = 0;
    redis_sentinel_ask(sentinel, clock_now_ms());
    assert_int_equal(found_count + failed_count, 0); /* never from inside */
    run_until(has_result);
}

static void expect_master(const char *host, uint32_t port) {
    assert_int_equal(found_count, 1);
    assert_string_equal(found_host, host);
    assert_int_equal(found_port, port);
}

static void make(void) {
    struct redis_sentinel_options o = {.count = COUNT,
                                       .master_name = "main",
                                       .user = "",
                                       .password = "",
                                       .connect_timeout_ms = 500};
    const struct redis_sentinel_hooks hooks = {
        .found = found, .failed = failed, .changed = changed};
    for (uint32_t i = 0; i < COUNT; i++)
        o.items[i] = (struct redis_endpoint){"127.0.0.1", fakes[i].port};
    sentinel = redis_sentinel_create(loop, &o, &hooks);
}

static int start(void **state) {
    const struct redis_loop_hooks hooks = {.woken = woken, .tick = tick, .turn_end = turn_end};
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        start_fake(&fakes[i]);
    loop = redis_loop_create(&hooks);
    make();
    return 0;
}

static int stop(void **state) {
    (void)state;
    redis_sentinel_close(sentinel);
    redis_sentinel_destroy(sentinel);
    redis_loop_destroy(loop);
    for (uint32_t i = 0; i < COUNT; i++)
        if (fakes[i].port)
            stop_fake(&fakes[i]);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void the_highest_epoch_counts(void **state) {
    (void)state;
    set(0, EPOCH("1"), AT_A);
    set(1, EPOCH("2"), AT_B);
    set(2, EPOCH("1"), AT_A);
    ask();
    expect_master("10.0.0.2", 6380);
}

static void a_silent_one_holds_nobody_up(void **state) {
    (void)state;
    set(0, NULL, NULL);
    set(1, EPOCH("1"), AT_A);
    set(2, NULL, NULL);
    uint64_t start_ms = clock_now_ms();
    ask();
    expect_master("10.0.0.1", 6379);
    assert_true(clock_now_ms() - start_ms < 10 * GRACE_MS);
}

static void a_new_master_is_noticed_and_an_old_one_is_not_gone_back_to(void **state) {
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        set(i, EPOCH("1"), AT_A);
    ask();
    expect_master("10.0.0.1", 6379);
    set(2, EPOCH("2"), AT_B);
    run_until(has_changed);
    ask();
    expect_master("10.0.0.2", 6380);
    /* The one that knows goes; the others, who were cut off, must not win. */
    stop_fake(&fakes[2]);
    fakes[2].port = 0;
    changed_count = 0;
    run_until(others_were_heard);
    assert_int_equal(changed_count, 0);
    ask(); /* but better than nobody */
    expect_master("10.0.0.1", 6379);
}

static void errors_are_told_from_silence(void **state) {
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        set(i, "-ERR No such master with that name\r\n", "*-1\r\n");
    ask();
    assert_int_equal(failed_count, 1);
    assert_string_equal(why_failed, "sentinel does not know this master name");
    set(1, EPOCH("1"), AT_A);
    ask();
    expect_master("10.0.0.1", 6379);
    for (uint32_t i = 0; i < COUNT; i++)
        set(i, NULL, NULL);
    ask();
    assert_int_equal(failed_count, 1);
    assert_string_equal(why_failed, "no sentinel answers");
}

static void a_user_who_may_not_see_epochs_is_enough(void **state) {
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        set(i, "-NOPERM this user has no permissions\r\n", AT_B);
    ask();
    expect_master("10.0.0.2", 6380);
}

static void nonsense_is_no_master(void **state) {
    static const char *const texts[] = {
        "*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
        "*2\r\n$1\r\na\r\n$1\r\n0\r\n",
        "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n:6379\r\n",
        "*1\r\n$1\r\na\r\n",
        "+OK\r\n",
        ":1\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (uint32_t j = 0; j < COUNT; j++)
            set(j, "+OK\r\n", texts[i]);
        ask();
        assert_int_equal(failed_count, 1);
        assert_string_equal(why_failed, "sentinel answers nonsense");
    }
}

static void when_none_is_there_it_is_said(void **state) {
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        stop_fake(&fakes[i]);
        fakes[i].port = 0;
    }
    ask();
    assert_int_equal(failed_count, 1);
    assert_string_equal(why_failed, "no sentinel answers");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    log_setup(LOG_NONE, false);
    const struct CMUnitTest tests[] = {
        TEST(the_highest_epoch_counts),
        TEST(a_silent_one_holds_nobody_up),
        TEST(a_new_master_is_noticed_and_an_old_one_is_not_gone_back_to),
        TEST(errors_are_told_from_silence),
        TEST(a_user_who_may_not_see_epochs_is_enough),
        TEST(nonsense_is_no_master),
        TEST(when_none_is_there_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
