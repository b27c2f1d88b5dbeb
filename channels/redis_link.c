/* See redis_link.h. hiredis formats commands and parses answers; the socket is ours, watched by
 * uv_poll, because hiredis' own layer for event loops hangs or asserts in the versions that Debian
 * ships.
 *
 * Output is written in the uv_prepare of the loop, that is after all input and calls of this turn.
 * A failing link keeps its socket until then too, so nothing is freed under a caller.
 *
 * Thread: the loop's.
 */
#include "channels/redis_link.h"

#include "channels/redis_wire.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

enum { TICK_MS = 100, STALLED_MS = 1000, READS_PER_TURN = 16 };
enum { INPUT_BYTES = 64 * 1024 };
/* What may be unanswered, unsent, or an answer that is not whole yet. */
enum { REQUESTS_MAX = 1 << 18, OUTPUT_MAX_BYTES = 64 << 20, ANSWER_MAX_BYTES = 256 << 20 };

struct redis_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t tick;
    uv_prepare_t turn_end;
    struct redis_loop_hooks hooks;
    struct list links;
    uint64_t ticked_ms;
    bool is_stopped, was_stalled;
    char input[INPUT_BYTES];
};

/* Outlives its link until libuv lets go of it. */
struct watch {
    uv_poll_t poll;
    struct redis_link *link;
};

enum link_state { LINK_CLOSED, LINK_LOOKING_UP, LINK_CONNECTING, LINK_SHAKING, LINK_OPEN };

struct redis_link {
    struct list in_loop;
    struct redis_loop *loop;
    struct redis_link_options options;
    struct redis_link_hooks hooks;
    enum link_state state;
    const char *fault; /* NULL: none */
    uint64_t connect_deadline_ms, address_deadline_ms;
    struct redis_lookup *lookup; /* may outlast an attempt: one thread per link at most */
    struct redis_addresses addresses;
    uint32_t address_index;
    struct watch *watch;
    int watched_events;
    redisReader *reader;
    struct redis_requests requests;
    struct redis_wire wire;
};

/* --- faults and closing ----------------------------------------------------------------------- */

void redis_link_fail(struct redis_link *l, const char *why) {
    if (l->state != LINK_CLOSED && !l->fault)
        l->fault = why;
}

static void free_watch(uv_handle_t *handle) {
    mem_free(handle->data);
}

static void close_socket(struct redis_link *l) {
    if (l->watch) {
        l->watch->link = NULL;
        uv_close((uv_handle_t *)&l->watch->poll, free_watch);
        l->watch = NULL;
    }
    redis_wire_close(&l->wire);
}

/* Nothing a command's owner does in here can send: the link is closed already. */
static void tell_requests(struct redis_link *l) {
    while (l->requests.count > 0) {
        struct redis_request r = redis_requests_pop(&l->requests);
        bool is_unsent = r.starts_at >= l->wire.written_bytes;
        r.answer(r.arg, is_unsent ? REDIS_UNSENT : REDIS_LOST, NULL);
    }
}

void redis_link_close(struct redis_link *l) {
    close_socket(l);
    if (l->reader)
        redisReaderFree(l->reader);
    l->reader = NULL;
    l->state = LINK_CLOSED;
    l->fault = NULL;
    tell_requests(l);
    redis_wire_clear(&l->wire);
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct str text_of(const redisReply *r) {
    return r->type == REDIS_REPLY_STRING ? (struct str){r->str, r->len} : STR_NONE;
}

static bool take_message(struct redis_link *l, const redisReply *reply) {
    if (!l->hooks.message || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        !str_equal(text_of(reply->element[0]), STR("message")))
        return false;
    l->hooks.message(l->hooks.arg, text_of(reply->element[1]), text_of(reply->element[2]));
    return true;
}

static void take_answer(struct redis_link *l, const redisReply *reply) {
    struct redis_request *first = redis_requests_first(&l->requests);
    if (!first) {
        redis_link_fail(l, "redis answered what was not asked");
        return;
    }
    redis_answer_fn *answer = first->answer;
    void *arg = first->arg;
    /* An error answers the whole command. */
    if (--first->answers_left == 0 || reply->type == REDIS_REPLY_ERROR)
        redis_requests_pop(&l->requests);
    answer(arg, REDIS_ANSWERED, reply);
}

static void take_replies(struct redis_link *l) {
    void *reply = NULL;
    while (!l->fault) {
        if (redisReaderGetReply(l->reader, &reply) != REDIS_OK) {
            redis_link_fail(l, "redis does not speak its protocol");
            return;
        }
        if (!reply)
            break;
        if (!take_message(l, reply))
            take_answer(l, reply);
        freeReplyObject(reply);
    }
    if (l->reader->len - l->reader->pos > ANSWER_MAX_BYTES)
        redis_link_fail(l, "an answer of redis is too large");
}

static void feed(struct redis_link *l, size_t size_bytes) {
    if (redisReaderFeed(l->reader, l->loop->input, size_bytes) != REDIS_OK)
        redis_link_fail(l, "redis does not speak its protocol");
    take_replies(l);
}

/* All of what came: the socket says only once that there is something. */
static void feed_unsealed(struct redis_link *l) {
    ssize_t n = 0;
    while (!l->fault && (n = redis_tls_read(l->wire.tls, l->loop->input, INPUT_BYTES)) > 0)
        feed(l, (size_t)n);
    if (n < 0)
        redis_link_fail(l, redis_tls_fault(l->wire.tls));
}

static void shake(struct redis_link *l);

static void take_input(struct redis_link *l, size_t size_bytes) {
    if (!l->wire.tls) {
        feed(l, size_bytes);
        return;
    }
    redis_tls_feed(l->wire.tls, l->loop->input, size_bytes);
    if (l->state == LINK_SHAKING)
        shake(l);
    if (l->state == LINK_OPEN)
        feed_unsealed(l);
}

static void read_some(struct redis_link *l) {
    for (int i = 0; i < READS_PER_TURN && !l->fault; i++) {
        ssize_t n = recv(l->wire.fd, l->loop->input, INPUT_BYTES, 0);
        if (n == 0)
            redis_link_fail(l, "redis closed the connection");
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            redis_link_fail(l, "the connection to redis broke");
        if (n <= 0)
            return;
        take_input(l, (size_t)n);
        if (n < INPUT_BYTES)
            return;
    }
}

/* --- watching and writing --------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct redis_link *l, int events) {
    if (events == l->watched_events)
        return;
    l->watched_events = events;
    uv_poll_start(&l->watch->poll, events, on_poll);
}

/* When writing fails, what was said before tells more. */
static void flush(struct redis_link *l) {
    if ((l->state != LINK_OPEN && l->state != LINK_SHAKING) || l->fault)
        return;
    if (!redis_wire_flush(&l->wire)) {
        read_some(l);
        redis_link_fail(l, "the connection to redis broke");
        return;
    }
    watch(l, UV_READABLE | (redis_wire_wants_write(&l->wire) ? UV_WRITABLE : 0));
}

/* --- connecting ------------------------------------------------------------------------------- */

static bool start_watch(struct redis_link *l) {
    struct watch *w = mem_zalloc(sizeof(*w));
    if (uv_poll_init(&l->loop->uv, &w->poll, l->wire.fd) != 0) {
        mem_free(w);
        return false;
    }
    w->poll.data = w;
    w->link = l;
    l->watch = w;
    l->watched_events = 0;
    watch(l, UV_WRITABLE);
    return true;
}

/* Tries the addresses from address_index on; each has its share of the time: one may be silent. */
static void try_addresses(struct redis_link *l, int error) {
    uint64_t now_ms = clock_now_ms();
    uint32_t share_ms = l->options.connect_timeout_ms / l->addresses.count;
    for (; l->address_index < l->addresses.count; l->address_index++) {
        l->wire.fd = redis_socket_connect(&l->addresses, l->address_index);
        if (l->wire.fd >= 0 && start_watch(l)) {
            l->state = LINK_CONNECTING;
            l->address_deadline_ms = now_ms + share_ms;
            return;
        }
        error = l->wire.fd >= 0 ? EMFILE : errno;
        close_socket(l);
    }
    redis_link_fail(l, redis_socket_words(error));
}

static void next_address(struct redis_link *l, int error) {
    close_socket(l);
    l->address_index++;
    try_addresses(l, error);
}

static void opened(struct redis_link *l) {
    l->state = LINK_OPEN;
    l->reader = redisReaderCreate();
    assert(l->reader);
    l->hooks.connected(l->hooks.arg);
}

static void shake(struct redis_link *l) {
    enum redis_tls_state state = redis_tls_shake(l->wire.tls);
    if (state == REDIS_TLS_BROKEN)
        redis_link_fail(l, redis_tls_fault(l->wire.tls));
    else if (state == REDIS_TLS_OPEN)
        opened(l);
}

static void begin_tls(struct redis_link *l) {
    l->state = LINK_SHAKING;
    l->wire.tls = redis_tls_open(l->options.tls, l->options.target.host, &l->wire.sealed);
    if (l->wire.tls)
        shake(l);
    else
        redis_link_fail(l, "no certificate can be for the address of redis");
}

static void connect_ended(struct redis_link *l) {
    int error = redis_socket_error(l->wire.fd);
    if (error) {
        next_address(l, error);
        return;
    }
    watch(l, UV_READABLE);
    if (l->options.tls)
        begin_tls(l);
    else
        opened(l);
}

static void look_up(struct redis_link *l) {
    if (!redis_lookup_poll(l->lookup, &l->addresses))
        return;
    redis_lookup_free(l->lookup);
    l->lookup = NULL;
    l->address_index = 0;
    if (l->addresses.count == 0)
        redis_link_fail(l, "the address of redis is not known");
    else
        try_addresses(l, 0);
}

/* An error of the socket shows as readable, or as the end of connecting. */
static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *w = poll->data;
    struct redis_link *l = w->link;
    if (!l || l->fault)
        return;
    if (l->state == LINK_CONNECTING) {
        connect_ended(l);
        return;
    }
    if (status < 0 || (events & UV_READABLE))
        read_some(l);
    if (events & UV_WRITABLE)
        flush(l);
}

void redis_link_aim(struct redis_link *l, const struct redis_target *target) {
    assert(l->state == LINK_CLOSED);
    l->options.target = *target;
    redis_lookup_free(l->lookup); /* it looks for the old one */
    l->lookup = NULL;
}

void redis_link_open(struct redis_link *l) {
    assert(l->state == LINK_CLOSED);
    l->state = LINK_LOOKING_UP;
    l->connect_deadline_ms = clock_now_ms() + l->options.connect_timeout_ms;
    if (!l->lookup)
        l->lookup = redis_lookup_start(&l->options.target);
    look_up(l);
}

/* --- the link and its commands ---------------------------------------------------------------- */

static void check_deadlines(struct redis_link *l, uint64_t now_ms) {
    struct redis_request *first = redis_requests_first(&l->requests);
    bool is_late = now_ms >= l->connect_deadline_ms;
    if (l->state == LINK_LOOKING_UP && !l->fault)
        look_up(l);
    if (is_late && (l->state == LINK_LOOKING_UP || l->state == LINK_CONNECTING))
        redis_link_fail(l, "connecting to redis takes too long");
    else if (is_late && l->state == LINK_SHAKING)
        redis_link_fail(l, "redis does not answer the TLS handshake");
    else if (l->state == LINK_CONNECTING && now_ms >= l->address_deadline_ms && !l->fault &&
             l->address_index + 1 < l->addresses.count)
        next_address(l, ETIMEDOUT);
    if (l->state == LINK_OPEN && first && now_ms >= first->deadline_ms)
        redis_link_fail(l, "redis does not answer");
}

struct redis_link *redis_link_create(struct redis_loop *loop,
                                     const struct redis_link_options *options,
                                     const struct redis_link_hooks *hooks) {
    struct redis_link *l = mem_zalloc(sizeof(*l));
    l->loop = loop;
    l->options = *options;
    l->hooks = *hooks;
    redis_wire_init(&l->wire);
    list_append(&loop->links, &l->in_loop);
    return l;
}

void redis_link_destroy(struct redis_link *l) {
    if (!l)
        return;
    redis_link_close(l);
    redis_lookup_free(l->lookup);
    redis_requests_fini(&l->requests);
    list_remove(&l->in_loop);
    mem_free(l);
}

bool redis_link_is_open(const struct redis_link *l) {
    return l->state == LINK_OPEN && !l->fault;
}

size_t redis_link_open_count(const struct redis_link *l) {
    return l->requests.count;
}

bool redis_link_send(struct redis_link *l, struct str command, struct redis_waiter waiter) {
    if (!redis_link_is_open(l))
        return false;
    redis_requests_push(&l->requests, (struct redis_request){
                                          .answer = waiter.answer,
                                          .arg = waiter.arg,
                                          .answers_left = waiter.answer_count,
                                          .starts_at = redis_wire_position(&l->wire),
                                          .deadline_ms = clock_now_ms() + l->options.io_timeout_ms,
                                      });
    redis_wire_add(&l->wire, command);
    if (l->requests.count > REQUESTS_MAX || redis_wire_unsent(&l->wire) > OUTPUT_MAX_BYTES)
        redis_link_fail(l, "redis does not keep up");
    return true;
}

bool redis_link_send_args(struct redis_link *l, struct redis_args *args,
                          struct redis_waiter waiter) {
    struct str command = redis_command_make(args);
    bool is_sent = redis_link_send(l, command, waiter);
    redis_command_free(command);
    return is_sent;
}

/* --- the loop --------------------------------------------------------------------------------- */

static struct redis_link *failing_link(struct redis_loop *loop) {
    list_for_each(l, &loop->links) {
        struct redis_link *link = list_entry(l, struct redis_link, in_loop);
        if (link->fault)
            return link;
    }
    return NULL;
}

static void on_turn_end(uv_prepare_t *prepare) {
    struct redis_loop *loop = prepare->data;
    struct redis_link *failing;
    loop->hooks.turn_end(loop->hooks.arg);
    list_for_each(l, &loop->links) flush(list_entry(l, struct redis_link, in_loop));
    while ((failing = failing_link(loop))) {
        const char *why = failing->fault;
        redis_link_close(failing);
        failing->hooks.down(failing->hooks.arg, why);
    }
    if (loop->is_stopped)
        uv_stop(&loop->uv);
}

static void on_tick(uv_timer_t *timer) {
    struct redis_loop *loop = timer->data;
    uint64_t now_ms = clock_now_ms();
    loop->was_stalled = now_ms - loop->ticked_ms > STALLED_MS;
    loop->ticked_ms = now_ms;
    if (!loop->was_stalled) {
        list_for_each(l, &loop->links)
            check_deadlines(list_entry(l, struct redis_link, in_loop), now_ms);
    }
    loop->hooks.tick(loop->hooks.arg, now_ms);
}

static void on_wake(uv_async_t *async) {
    struct redis_loop *loop = async->data;
    loop->hooks.woken(loop->hooks.arg);
}

struct redis_loop *redis_loop_create(const struct redis_loop_hooks *hooks) {
    struct redis_loop *loop = mem_zalloc(sizeof(*loop));
    bool has_loop = uv_loop_init(&loop->uv) == 0;
    if (!has_loop || uv_async_init(&loop->uv, &loop->wake, on_wake) != 0) {
        if (has_loop)
            uv_loop_close(&loop->uv);
        mem_free(loop);
        return NULL;
    }
    uv_timer_init(&loop->uv, &loop->tick);
    uv_prepare_init(&loop->uv, &loop->turn_end);
    loop->wake.data = loop->tick.data = loop->turn_end.data = loop;
    loop->hooks = *hooks;
    list_init(&loop->links);
    return loop;
}

void redis_loop_run(struct redis_loop *loop) {
    loop->ticked_ms = clock_now_ms();
    uv_timer_start(&loop->tick, on_tick, 0, TICK_MS);
    uv_prepare_start(&loop->turn_end, on_turn_end);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void redis_loop_stop(struct redis_loop *loop) {
    loop->is_stopped = true;
}

void redis_loop_wake(struct redis_loop *loop) {
    uv_async_send(&loop->wake);
}

bool redis_loop_was_stalled(const struct redis_loop *loop) {
    return loop->was_stalled;
}

void redis_loop_destroy(struct redis_loop *loop) {
    if (!loop)
        return;
    assert(list_is_empty(&loop->links));
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->turn_end, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int is_busy = uv_loop_close(&loop->uv);
    assert(!is_busy);
    mem_free(loop);
}
