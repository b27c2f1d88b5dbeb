/* See jwks_cache.h. Readers take the lock only to copy a pointer and count themselves in; a fetch
 * holds it only to put the new set in place.
 *
 * Thread: any; the fetches run in one of their own.
 */
#include "auth/jwks_cache.h"

#include "auth/http_get.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct jwks_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a fetch was asked for, has ended, or the thread shall stop */
    struct jwks *set;       /* lock */
    bool is_asked;          /* lock: as soon as retry_ms allow */
    bool is_stopping;       /* lock */
    struct jwks_cache_counts counts; /* lock */
    uint64_t last_ms;                /* lock: when the last fetch began */
    bool is_failing;                 /* lock: the last fetch failed */

    char *url; /* NULL: fixed */
    struct jwks_cache_options options;
    pthread_t thread;
    bool has_thread;
    int stop_fd;
};

/* --- the URL ---------------------------------------------------------------------------------- */

/* A name such as 127.example.com is none. */
static bool is_loopback(struct str host) {
    if (str_equal_nocase(host, STR("localhost")) || str_equal(host, STR("::1")))
        return true;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9'))
            return false;
    return str_starts(host, STR("127."));
}

const char *jwks_cache_check_url(const char *url, bool is_unsafe_allowed) {
    struct http_url u;
    if (strstr(url, "{{"))
        return "must be one address: {{placeholders}} filled from iss or aud are not supported";
    if (!http_url_parse(str_of(url), &u))
        return "must be a URL such as https://example.com/.well-known/jwks.json, without a user "
               "and without #";
    if (!u.is_tls && !is_unsafe_allowed && !is_loopback(u.host))
        return "must begin with https://: over http whoever is in between could give keys of their "
               "own; http is for this machine only (localhost, 127.0.0.1, [::1])";
    return NULL;
}

/* --- making ----------------------------------------------------------------------------------- */

static struct jwks_cache *make(void) {
    struct jwks_cache *c = mem_zalloc(sizeof(*c));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    c->stop_fd = -1;
    return c;
}

struct jwks_cache *jwks_cache_fixed(struct jwks *set) {
    struct jwks_cache *c = make();
    c->set = set;
    return c;
}

struct jwks_cache *jwks_cache_create(const struct jwks_cache_options *o) {
    struct jwks_cache *c = make();
    c->options = *o;
    c->url = mem_strndup(o->url, strlen(o->url));
    c->options.url = c->url;
    return c;
}

void jwks_cache_destroy(struct jwks_cache *c) {
    if (!c)
        return;
    if (c->has_thread) {
        const uint64_t one = 1;
        pthread_mutex_lock(&c->lock);
        c->is_stopping = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        ssize_t n = write(c->stop_fd, &one, sizeof(one));
        assert(n == sizeof(one));
        pthread_join(c->thread, NULL);
    }
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    jwks_unref(c->set);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->url);
    mem_free(c);
}

/* --- for workers ------------------------------------------------------------------------------ */

struct jwks *jwks_cache_get(struct jwks_cache *c) {
    pthread_mutex_lock(&c->lock);
    struct jwks *s = c->set;
    if (s)
        jwks_ref(s);
    pthread_mutex_unlock(&c->lock);
    return s;
}

bool jwks_cache_ask(struct jwks_cache *c) {
    if (!c->url)
        return false;
    pthread_mutex_lock(&c->lock);
    if (!c->is_asked) {
        c->is_asked = true;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return true;
}

struct jwks_cache_counts jwks_cache_counts(struct jwks_cache *c) {
    pthread_mutex_lock(&c->lock);
    struct jwks_cache_counts counts = c->counts;
    pthread_mutex_unlock(&c->lock);
    return counts;
}

/* --- fetching --------------------------------------------------------------------------------- */

/* NULL and *set, or why not. */
static const char *fetch(const struct jwks_cache *c, struct jwks **set,
                         struct jwks_report *report) {
    struct buf body = {0};
    struct http_get get = {
        .max_bytes = JWKS_MAX_BYTES, .timeout_ms = c->options.timeout_ms, .stop_fd = c->stop_fd};
    bool is_url = http_url_parse(str_of(c->url), &get.url);
    assert(is_url); /* as jwks_cache_check_url() found */
    *report = (struct jwks_report){0};
    const char *fault = http_get(&get, &body);
    if (!fault) {
        *set = jwks_parse(buf_str(&body), true, report);
        fault = report->fault;
    }
    buf_fini(&body);
    return fault;
}

/* One line when something changes for the worse or the better, none when it stays as it was. The
 * query of the URL is left out, which may hold a key. */
static void tell(const struct jwks_cache *c, const char *fault, const struct jwks_report *r,
                 bool was_failing, bool has_set) {
    struct str url = str_slice(str_of(c->url), 0, str_find(str_of(c->url), '?'));
    if (fault && !was_failing)
        log_warn("no keys from jwks_public_endpoint error=\"%s\" url=\"%.*s\" old_keys_stay=%s",
                 fault, STR_ARG(url), has_set ? "yes" : "no");
    else if (!fault && (was_failing || !has_set))
        log_info("keys fetched%s url=\"%.*s\" keys=%u", has_set ? " again" : "", STR_ARG(url),
                 r->key_count);
    if (!fault && r->left_out && (was_failing || !has_set))
        log_warn("keys left out url=\"%.*s\" count=%u first=%u why=\"%s\"", STR_ARG(url),
                 r->left_out, r->first_out, r->why_out);
}

/* Gives the fault. */
static const char *refresh(struct jwks_cache *c) {
    struct jwks *set = NULL, *old = NULL;
    struct jwks_report report;
    const char *fault = fetch(c, &set, &report);
    pthread_mutex_lock(&c->lock);
    bool was_failing = c->is_failing, had_set = c->set != NULL;
    bool is_told = !c->is_stopping;
    c->is_failing = fault != NULL;
    if (fault) {
        c->counts.failed++;
    } else {
        c->counts.fetched++;
        old = c->set;
        c->set = set;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    jwks_unref(old);
    if (is_told)
        tell(c, fault, &report, was_failing, had_set);
    return fault;
}

const char *jwks_cache_fetch_now(struct jwks_cache *c) {
    struct jwks_report report;
    if (!c->url)
        return NULL;
    assert(!c->has_thread && !c->set);
    return fetch(c, &c->set, &report);
}

/* With the lock held: until that time or until something changes. */
static void wait_until(struct jwks_cache *c, uint64_t ms) {
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

/* With the lock held: when it is time for the next fetch. */
static uint64_t next_ms(const struct jwks_cache *c) {
    bool is_soon = c->is_asked || c->is_failing || !c->set;
    return c->last_ms + (is_soon ? c->options.retry_ms : c->options.refresh_ms);
}

static void *run(void *arg) {
    struct jwks_cache *c = arg;
    pthread_setname_np(pthread_self(), "carillon-jwks");
    pthread_mutex_lock(&c->lock);
    while (!c->is_stopping) {
        uint64_t now_ms = clock_now_ms();
        if (c->last_ms && now_ms < next_ms(c)) {
            wait_until(c, next_ms(c));
            continue;
        }
        c->last_ms = now_ms;
        c->is_asked = false; /* who asks from now on may want what is newer than this answer */
        pthread_mutex_unlock(&c->lock);
        refresh(c);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool jwks_cache_start(struct jwks_cache *c) {
    if (!c || !c->url)
        return true;
    c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->stop_fd < 0 || pthread_create(&c->thread, NULL, run, c) != 0)
        return false;
    c->has_thread = true;
    uint64_t end_ms = clock_now_ms() + c->options.timeout_ms;
    pthread_mutex_lock(&c->lock);
    while (c->counts.fetched + c->counts.failed == 0 && clock_now_ms() < end_ms)
        wait_until(c, end_ms);
    pthread_mutex_unlock(&c->lock);
    return true;
}
