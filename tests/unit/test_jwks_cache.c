/* Sets of keys that are fetched: which URLs will do, and that readers in several threads always
 * hold a whole set while others take its place. The endpoint is a real one, in a thread.
 *
 * Thread: main, readers, the endpoint, and the cache's own. Owns: a port of its own.
 */
#include "auth/jwks_cache.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#define NAMED(kid)                                                                                 \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"                                       \
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"" kid "\"}]}"

/* --- URLs ------------------------------------------------------------------------------------- */

static void urls_are_judged_row_by_row(void **state) {
    static const struct {
        const char *url, *words;
        bool is_good_if_unsafe;
    } rows[] = {
        {"https://example.com/.well-known/jwks.json", NULL, true},
        {"http://localhost:3000/jwks", NULL, true},
        {"http://LOCALHOST/", NULL, true},
        {"http://127.0.0.1/", NULL, true},
        {"http://127.1.2.3:80/", NULL, true},
        {"http://[::1]/", NULL, true},
        {"http://example.com/", "must begin with https", true},
        {"http://10.0.0.1/", "must begin with https", true},
        {"http://127.example.com/", "must begin with https", true},
        {"http://localhost.example.com/", "must begin with https", true},
        {"http://[::2]/", "must begin with https", true},
        {"https://{{tenant}}.example.com/", "placeholders", false},
        {"https://example.com/{{a}}/jwks", "placeholders", false},
        {"https://user:pass@example.com/", "must be a URL", false},
        {"http://127.0.0.1@example.com/", "must be a URL", false},
        {"https://example.com/#x", "must be a URL", false},
        {"file:///etc/passwd", "must be a URL", false},
        {"example.com", "must be a URL", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = jwks_cache_check_url(rows[i].url, false);
        if (rows[i].words ? !fault || !strstr(fault, rows[i].words) : fault != NULL)
            fail_msg("%s: %s", rows[i].url, fault ? fault : "taken");
        assert_int_equal(jwks_cache_check_url(rows[i].url, true) == NULL,
                         rows[i].is_good_if_unsafe);
    }
}

/* --- fixed sets ------------------------------------------------------------------------------- */

static void a_fixed_set_never_changes(void **state) {
    struct jwks_report r;
    (void)state;
    struct jwks_cache *c = jwks_cache_fixed(jwks_parse(STR(NAMED("a")), false, &r));
    assert_true(jwks_cache_start(c));
    assert_null(jwks_cache_fetch_now(c));
    struct jwks *s = jwks_cache_get(c);
    assert_non_null(jwks_find(s, STR("a")));
    assert_false(jwks_cache_ask(c));
    jwks_cache_destroy(c);
    assert_non_null(jwks_find(s, STR("a"))); /* who holds it may still use it */
    jwks_unref(s);
    jwks_cache_destroy(NULL);
    assert_true(jwks_cache_start(NULL));
}

/* --- an endpoint ------------------------------------------------------------------------------ */

struct endpoint {
    int fd;
    pthread_t thread;
    char url[64];
    atomic_uint count; /* answers so far; each has another key, and every fifth is an error */
};

/* One request, which fits into one read as it is sent with one write. */
static void serve_one(struct endpoint *e, int fd) {
    char request[1024], answer[512];
    unsigned number = atomic_load(&e->count);
    if (read(fd, request, sizeof(request)) <= 0)
        return;
    snprintf(
        answer, sizeof(answer),
        "HTTP/1.1 %d x\r\nConnection: close\r\n\r\n{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519"
        "\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"%u\"}]}",
        number % 5 == 4 ? 500 : 200, number);
    ssize_t n = write(fd, answer, strlen(answer));
    (void)n;
    atomic_fetch_add(&e->count, 1);
}

static void *run_endpoint(void *arg) {
    struct endpoint *e = arg;
    int fd;
    while ((fd = accept(e->fd, NULL, NULL)) >= 0) {
        serve_one(e, fd);
        close(fd);
    }
    return NULL;
}

static void start_endpoint(struct endpoint *e) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    *e = (struct endpoint){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(e->fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(e->fd, 10), 0);
    assert_int_equal(getsockname(e->fd, (struct sockaddr *)&a, &n), 0);
    snprintf(e->url, sizeof(e->url), "http://127.0.0.1:%u/", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&e->thread, NULL, run_endpoint, e), 0);
}

static void stop_endpoint(struct endpoint *e) {
    shutdown(e->fd, SHUT_RDWR);
    pthread_join(e->thread, NULL);
    close(e->fd);
}

/* --- many readers ----------------------------------------------------------------------------- */

struct reader {
    struct jwks_cache *cache;
    pthread_t thread;
    atomic_bool *is_over;
};

static bool holds_one(const struct jwks *s) {
    unsigned count = 0;
    for (unsigned i = 0; i < 200; i++) {
        char kid[16];
        count +=
            jwks_find(s, (struct str){kid, (size_t)snprintf(kid, sizeof(kid), "%u", i)}) != NULL;
    }
    return count == 1;
}

static void *run_reader(void *arg) {
    struct reader *r = arg;
    while (!atomic_load(r->is_over)) {
        struct jwks *s = jwks_cache_get(r->cache);
        assert(s && holds_one(s));
        jwks_cache_ask(r->cache);
        jwks_unref(s);
    }
    return NULL;
}

static void readers_always_hold_a_whole_set(void **state) {
    struct endpoint e;
    struct reader readers[4];
    atomic_bool is_over = false;
    (void)state;
    start_endpoint(&e);
    struct jwks_cache *c = jwks_cache_create(&(struct jwks_cache_options){
        .url = e.url, .refresh_ms = 1000, .retry_ms = 1, .timeout_ms = 5000});
    assert_true(jwks_cache_start(c));
    assert_int_equal(jwks_cache_counts(c).fetched, 1);
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (struct reader){.cache = c, .is_over = &is_over};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, run_reader, &readers[i]), 0);
    }
    for (struct jwks_cache_counts n = {0}; n.fetched < 40;) {
        pthread_mutex_lock(&c->lock);
        wait_until(c, clock_now_ms() + 100);
        pthread_mutex_unlock(&c->lock);
        n = jwks_cache_counts(c);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < 4; i++)
        pthread_join(readers[i].thread, NULL);
    assert_true(jwks_cache_counts(c).failed >= 5);
    jwks_cache_destroy(c);
    stop_endpoint(&e);
}

static void one_question_gives_one_fetch(void **state) {
    struct endpoint e;
    (void)state;
    start_endpoint(&e);
    struct jwks_cache *c = jwks_cache_create(&(struct jwks_cache_options){
        .url = e.url, .refresh_ms = 3600000, .retry_ms = 3600000, .timeout_ms = 5000});
    assert_true(jwks_cache_start(c));
    for (int i = 0; i < 1000; i++)
        assert_true(jwks_cache_ask(c));
    assert_int_equal(next_ms(c), c->last_ms + 3600000);
    assert_int_equal(atomic_load(&e.count), 1);
    jwks_cache_destroy(c);
    stop_endpoint(&e);
}

/* Nobody listens there: the set of before stays. */
static void a_failure_keeps_the_set(void **state) {
    struct endpoint e;
    (void)state;
    start_endpoint(&e);
    struct jwks_cache *c = jwks_cache_create(&(struct jwks_cache_options){
        .url = e.url, .refresh_ms = 1000, .retry_ms = 1000, .timeout_ms = 5000});
    assert_null(refresh(c));
    stop_endpoint(&e);
    assert_non_null(refresh(c));
    struct jwks *s = jwks_cache_get(c);
    assert_non_null(jwks_find(s, STR("0")));
    jwks_unref(s);
    assert_int_equal(jwks_cache_counts(c).failed, 1);
    jwks_cache_destroy(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_judged_row_by_row),
        cmocka_unit_test(a_fixed_set_never_changes),
        cmocka_unit_test(readers_always_hold_a_whole_set),
        cmocka_unit_test(one_question_gives_one_fetch),
        cmocka_unit_test(a_failure_keeps_the_set),
    };
    if (sodium_init() < 0)
        return 1;
    log_setup(LOG_NONE, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
