/* A worker of carillon-bench: opens its connections, publishes, receives and checks.
 *
 * One round: open connections while fewer than `concurrency` are on their way, wait for events,
 * handle them, publish what is due, send each publisher's frames with one send(). In a closed loop
 * a message is due when all subscribers got the one a window before it; in an open loop when its
 * intended time has come, however late this round is. The timer only wakes the worker up.
 *
 * What a delivery costs here must stay far below what it costs the server: no copy, no allocation,
 * no parser; one memcmp for the envelope, 30 hex digits, one memcmp for the rest.
 *
 * Owns: the worker's epoll, descriptors and connections, until the process ends.
 * Thread: each worker its own; the flow's atomics are shared.
 */
#include "tests/bench/carillon_bench.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 256

static bool is_first(const struct worker *w) {
    return w == w->flow->workers;
}

void worker_wake(struct worker *w) {
    uint64_t one = 1;
    if (write(w->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
        bench_die("eventfd: %s", strerror(errno));
}

/* ---- publishing ---- */

static void publish_one(struct worker *w, struct publisher *p, uint64_t time_ns) {
    struct flow *f = w->flow;
    char head[160];
    int n = snprintf(head, sizeof(head),
                     "{\"id\":%u,\"publish\":{\"channel\":\"%s\",\"data\":", ++p->command_id,
                     f->channel);
    payload_write(f->payload, &(struct payload){.publisher = p->conn->number,
                                                .sequence = p->sequence++,
                                                .time_ns = time_ns});
    f->command.count = 0;
    bytes_add(&f->command, head, (size_t)n);
    bytes_add(&f->command, f->payload, f->options->size_bytes);
    bytes_add(&f->command, "}}", 2);
    conn_queue(w, p->conn, f->command.at, f->command.count);
    p->is_queued = true;
    atomic_fetch_add_explicit(&f->published, 1, memory_order_relaxed);
}

static void publish_window(struct worker *w) {
    struct flow *f = w->flow;
    uint64_t now = now_ns();
    if (now >= f->until_ns) {
        atomic_store(&f->is_done, true);
        return;
    }
    for (uint32_t i = 0; i < f->publisher_count; i++) {
        struct publisher *p = &f->publishers[i];
        unsigned credits = atomic_exchange(&p->credits, 0);
        while (credits-- > 0)
            publish_one(w, p, now);
    }
}

static void publish_rate(struct worker *w) {
    struct flow *f = w->flow;
    uint64_t now = now_ns(), before = f->intended_ns;
    while (f->intended_ns <= now && f->intended_ns < f->until_ns) {
        publish_one(w, &f->publishers[f->publisher_next++ % f->publisher_count], f->intended_ns);
        if (f->intended_ns >= f->from_ns)
            histogram_add(&w->lateness, now - f->intended_ns);
        f->intended_ns += f->period_ns;
    }
    if (f->intended_ns >= f->until_ns)
        atomic_store(&f->is_done, true);
    else if (f->intended_ns != before) {
        struct itimerspec t = {.it_value = {.tv_sec = (time_t)(f->intended_ns / 1000000000u),
                                            .tv_nsec = (long)(f->intended_ns % 1000000000u)}};
        if (timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &t, NULL) < 0)
            bench_die("timerfd_settime: %s", strerror(errno));
    }
}

static void publish_due(struct worker *w) {
    struct flow *f = w->flow;
    if (!atomic_load_explicit(&f->is_running, memory_order_acquire) || atomic_load(&f->is_done))
        return;
    if (f->window > 0)
        publish_window(w);
    else
        publish_rate(w);
    for (uint32_t i = 0; i < f->publisher_count; i++) {
        struct publisher *p = &f->publishers[i];
        if (p->is_queued)
            conn_flush(w, p->conn);
        p->is_queued = false;
    }
}

/* ---- receiving ---- */

/* One more subscriber has this message; the last one makes room in the window. */
static void count_in_window(struct worker *w, const struct payload *p) {
    struct flow *f = w->flow;
    struct publisher *from = &f->publishers[p->publisher];
    atomic_uint *slot = &from->received[p->sequence % f->window];
    if (atomic_fetch_add(slot, 1) + 1 < f->subscribers)
        return;
    atomic_store(slot, 0);
    atomic_fetch_add(&from->credits, 1);
    if (!is_first(w))
        worker_wake(f->workers);
}

/* Where the payload starts. Everything before it is mostly the same as in the last push. */
static const char *find_payload(struct worker *w, struct conn *c, const char *line, size_t n) {
    size_t size = w->flow->options->size_bytes, known = w->prefix.count;
    if (known > 0 && known + size <= n && memcmp(line, w->prefix.at, known) == 0)
        return line + known;
    char channel[160];
    int channel_n = snprintf(channel, sizeof(channel), "\"channel\":\"%s\"", w->flow->channel);
    const char *mark = memmem(line, n, PAYLOAD_MARK, PAYLOAD_MARK_BYTES);
    if (n < 9 || memcmp(line, "{\"push\":{", 9) != 0 || !mark || mark + size > line + n ||
        !memmem(line, n, channel, (size_t)channel_n))
        bench_die("%s got something unexpected: %.*s", conn_name(w, c), (int)(n < 300 ? n : 300),
                  line);
    w->prefix.count = 0;
    bytes_add(&w->prefix, line, (size_t)(mark - line));
    return mark;
}

static void read_push(struct worker *w, struct conn *c, const char *line, size_t n) {
    const struct flow *f = w->flow;
    const char *at = find_payload(w, c, line, n);
    struct payload p;
    if (memcmp(at, PAYLOAD_MARK, PAYLOAD_MARK_BYTES) != 0 || !payload_read(at, &p) ||
        p.publisher >= f->publisher_count ||
        memcmp(at + PAYLOAD_FIXED_BYTES, f->payload + PAYLOAD_FIXED_BYTES,
               f->options->size_bytes - PAYLOAD_FIXED_BYTES) != 0)
        bench_die("%s got a changed payload: %.*s", conn_name(w, c), (int)(n < 300 ? n : 300),
                  line);
    uint64_t expected = c->next[p.publisher]++;
    if (p.sequence != expected)
        bench_die("%s: %s: expected message %llu of publisher %u and got %llu", conn_name(w, c),
                  p.sequence > expected ? "lost or out of order" : "repeated or out of order",
                  (unsigned long long)expected, p.publisher, (unsigned long long)p.sequence);
    /* Open loop: all messages of the interval, however late they come. Closed loop: there is always
     * something under way, so what arrives in the interval. */
    uint64_t moment_ns = f->window > 0 ? w->now_ns : p.time_ns;
    if (moment_ns >= f->from_ns && moment_ns < f->until_ns)
        histogram_add(&w->latency, w->now_ns - p.time_ns);
    /* Released after the histogram: who sees this count may read that. */
    uint64_t before = atomic_load_explicit(&w->deliveries, memory_order_relaxed);
    atomic_store_explicit(&w->deliveries, before + 1, memory_order_release);
    if (f->window > 0)
        count_in_window(w, &p);
}

/* Ends the program unless the line is the success we wait for. */
static void expect(struct worker *w, struct conn *c, const char *what, const char *line, size_t n) {
    if (!memmem(line, n, what, strlen(what)) || memmem(line, n, "\"error\":", 8))
        bench_die("%s expected %s} and got %.*s", conn_name(w, c), what, (int)(n < 300 ? n : 300),
                  line);
}

static void conn_is_live(struct worker *w, struct conn *c) {
    c->state = CONN_LIVE;
    w->live++;
    histogram_add(&w->opening, w->now_ns - c->started_ns);
    atomic_store(&w->last_live_ns, w->now_ns);
    atomic_store(&w->live_count, w->live);
}

static void read_reply(struct worker *w, struct conn *c, const char *line, size_t n) {
    if (c->state == CONN_CONNECTING) {
        expect(w, c, "\"connect\":{", line, n);
        c->state = CONN_SUBSCRIBING;
        if (c->is_publisher)
            conn_is_live(w, c);
    } else if (c->state == CONN_SUBSCRIBING) {
        expect(w, c, "\"subscribe\":{", line, n);
        conn_is_live(w, c);
    } else {
        expect(w, c, "\"publish\":{", line, n);
        atomic_fetch_add_explicit(&w->flow->replies, 1, memory_order_relaxed);
    }
}

void load_line(struct worker *w, struct conn *c, const char *line, size_t n) {
    if (n == 2 && memcmp(line, "{}", 2) == 0) { /* a ping; the pong is the same */
        conn_queue(w, c, "{}", 2);
        conn_flush(w, c);
    } else if (c->state == CONN_LIVE && !c->is_publisher) {
        read_push(w, c, line, n);
    } else {
        read_reply(w, c, line, n);
    }
}

/* ---- the loop ---- */

static void *zeroed(size_t count, size_t size) {
    void *p = calloc(count > 0 ? count : 1, size);
    if (!p)
        bench_die("out of memory");
    return p;
}

static int watched(struct worker *w, int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (fd < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        bench_die("cannot make an eventfd or timerfd: %s", strerror(errno));
    return fd;
}

void worker_init(struct worker *w, struct flow *f, uint32_t first_subscriber,
                 uint32_t subscribers) {
    uint32_t publishers = w == f->workers ? f->publisher_count : 0;
    w->flow = f;
    w->conn_count = subscribers + publishers;
    w->conns = zeroed(w->conn_count, sizeof(*w->conns));
    w->buffer = zeroed(1, WORKER_READ_BYTES);
    w->random = now_ns() ^ (uintptr_t)w;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = watched(w, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    w->timer = watched(w, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    uint64_t *next = zeroed((size_t)subscribers * f->publisher_count, sizeof(*next));
    for (uint32_t i = 0; i < subscribers; i++) {
        w->conns[i].number = first_subscriber + i;
        w->conns[i].next = next + (size_t)i * f->publisher_count;
    }
    for (uint32_t i = 0; i < publishers; i++) {
        struct publisher *p = &f->publishers[i];
        p->conn = &w->conns[subscribers + i];
        p->conn->number = i;
        p->conn->is_publisher = true;
        p->command_id = 1; /* connect was 1 */
        p->received = zeroed(f->window, sizeof(*p->received));
        atomic_store(&p->credits, f->window);
    }
}

static void open_more(struct worker *w) {
    while (w->opened < w->conn_count && w->opened - w->live < w->concurrency)
        conn_open(w, &w->conns[w->opened++]);
}

/* The descriptors that only wake us: what there is to do, the round finds out itself. */
static void drain(struct worker *w) {
    uint64_t count;
    if (read(w->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        bench_die("eventfd: %s", strerror(errno));
    if (read(w->timer, &count, sizeof(count)) < 0 && errno != EAGAIN)
        bench_die("timerfd: %s", strerror(errno));
}

void *worker_run(void *arg) {
    struct worker *w = arg;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        open_more(w);
        int n = epoll_wait(w->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                conn_event(w, events[i].data.ptr, events[i].events);
            else
                drain(w);
        }
        if (is_first(w))
            publish_due(w);
    }
    return NULL;
}
