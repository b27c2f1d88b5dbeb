/* See worker.h.
 *
 * Owns: its loop and everything on it. Thread: created and destroyed by main; between start and
 * join all of it belongs to the worker's thread, but for the mailbox and the atomic fields.
 */
#include "server/net/worker.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/net/head.h"
#include "server/net/http.h"
#include "server/net/ws.h"

#include <assert.h>
#include <libwebsockets.h>
#include <string.h>

enum {
    MAILS_PER_TURN = 256,
    RELIEVE_AFTER_US = 2000, /* a long row of input is interrupted to deliver */
    MAILBOX_MARK_BYTES = 16 << 20,
    DRAIN_SLICES = 30, /* of one tick each: about two seconds */
    DRAIN_SLICE_MIN = 64,
    DRAIN_MAIL_TURNS = 4096, /* about a million messages */
    RX_BYTES = 512,
    TX_BYTES = 65600, /* above FRAME_PART_MAX_BYTES and its header */
    HANDSHAKE_S = 10,
};

/* What lws_get_opaque_user_data() says of connections that we gave to libwebsockets: others are not
 * counted. */
enum { OURS = 1 };

struct worker {
    struct server *server;
    uint32_t index;
    int listen_fd;
    pthread_t thread;
    struct sessions sessions;
    struct metrics metrics;
    struct mailbox mailbox;
    struct door door;
    struct http http;
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t spin;
    uv_timer_t tick;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct lws_protocols protocols[3];
#if LWS_LIBRARY_VERSION_NUMBER >= 4003000
    lws_log_cx_t log; /* the library counts references to it without a lock: one per thread */
#endif
    uint64_t tick_due_us;
    uint64_t input_since_us; /* first input of this turn; 0: none */
    size_t drain_slice;
    _Atomic int request;                        /* of enum worker_request + 1; 0: none */
    _Atomic size_t clients_left, requests_left; /* while draining */
    _Atomic bool is_drained;
};

/* --- the turn --------------------------------------------------------------------------------- */

static bool take_mail(struct worker *w) {
    struct mail mail;
    int count = 0;
    while (count < MAILS_PER_TURN && mailbox_take(&w->mailbox, &mail)) {
        sessions_take(&w->sessions, mail);
        count++;
    }
    return count > 0;
}

/* What was accepted before now is delivered before anybody is told to leave. Other workers may
 * still publish, so this is bounded. */
static void take_all_mail(struct worker *w) {
    for (int turns = 0; turns < DRAIN_MAIL_TURNS && take_mail(w); turns++)
        continue;
}

/* Input has come. When one turn brings very much of it, nobody may wait for its end. */
static void note_input(struct worker *w) {
    uint64_t now_us = clock_now_us();
    if (!w->input_since_us)
        w->input_since_us = now_us;
    if (now_us - w->input_since_us < RELIEVE_AFTER_US)
        return;
    take_mail(w);
    if (sessions_has_pending(&w->sessions))
        sessions_flush(&w->sessions);
    w->input_since_us = clock_now_us();
}

static void on_spin(uv_idle_t *h) {
    (void)h; /* being active is all it is for */
}

static void on_check(uv_check_t *h) {
    struct worker *w = h->data;
    struct sessions *s = &w->sessions;
    bool had_input = w->input_since_us != 0;
    w->input_since_us = 0;
    had_input |= take_mail(w);
    if (sessions_has_pending(s) && sessions_flush_is_due(s, had_input))
        sessions_flush(s);
    sessions_turn_end(s);
    if (sessions_has_pending(s) || !mailbox_is_empty(&w->mailbox))
        uv_idle_start(&w->spin, on_spin);
    else
        uv_idle_stop(&w->spin);
}

static void on_prepare(uv_prepare_t *h) {
    struct worker *w = h->data;
    /* Timers run between check and here: what they queued must not wait for the next input. */
    if (sessions_has_pending(&w->sessions))
        uv_idle_start(&w->spin, on_spin);
    assert(!sessions_has_pending(&w->sessions) || uv_is_active((uv_handle_t *)&w->spin));
}

static void drain_some(struct worker *w) {
    struct sessions *s = &w->sessions;
    sessions_close_some(s, w->drain_slice, CLOSE_SHUTDOWN);
    w->clients_left = s->client_count;
    w->requests_left = w->http.conn_count;
    if (s->client_count == 0 && w->http.conn_count == 0)
        w->is_drained = true;
}

static void note_lag(struct worker *w) {
    uint64_t now_us = clock_now_us();
    uint64_t lag_us = now_us > w->tick_due_us ? now_us - w->tick_due_us : 0;
    w->tick_due_us = now_us + WHEEL_TICK_MS * 1000;
    atomic_store_explicit(&w->metrics.lag_last_us, lag_us, memory_order_relaxed);
    if (lag_us > atomic_load_explicit(&w->metrics.lag_max_us, memory_order_relaxed))
        atomic_store_explicit(&w->metrics.lag_max_us, lag_us, memory_order_relaxed);
}

static void on_tick(uv_timer_t *h) {
    struct worker *w = h->data;
    note_lag(w);
    sessions_tick(&w->sessions);
    http_tick(&w->http, w->sessions.now_ms);
    if (w->sessions.is_draining)
        drain_some(w);
}

/* --- libwebsockets ---------------------------------------------------------------------------- */

static struct worker *worker_of(struct lws *wsi) {
    return lws_context_user(lws_get_context(wsi));
}

/* The handshake was checked before the connection came here. The library would take plain HTTP or
 * another upgrade just as well; there is none, and if there were it would end here. */
static int on_confirm_upgrade(struct lws *wsi) {
    return lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) == 0 ? -1 : 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n) {
    struct conn *conn = user;
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_confirm_upgrade(wsi);
    case LWS_CALLBACK_HTTP:
        return -1;
    case LWS_CALLBACK_ESTABLISHED:
        note_input(worker_of(wsi));
        ws_established(&worker_of(wsi)->sessions, conn, wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        note_input(worker_of(wsi));
        ws_receive(conn, wsi, (struct str){in, n});
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        ws_writable(conn);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return ws_peer_closes(conn, (struct str){in, n}) ? 0 : -1;
    case LWS_CALLBACK_CLOSED:
        if (conn)
            ws_closed(conn);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        if (lws_get_opaque_user_data(wsi))
            door_left(&worker_of(wsi)->server->limits);
        return 0;
    default:
        return 0;
    }
}

static bool upgrade(void *arg, int fd) {
    struct worker *w = arg;
    struct lws *wsi = lws_adopt_socket_vhost(w->vhost, fd);
    if (!wsi)
        return false;
    lws_set_opaque_user_data(wsi, (void *)(uintptr_t)OURS);
    return true;
}

static void welcome(void *arg, int fd) {
    struct worker *w = arg;
    note_input(w);
    http_welcome(&w->http, fd);
}

static void on_http_input(void *arg) {
    note_input(arg);
}

static void emit(int level, const char *line) {
    static struct log_limit limit;
    (void)level;
    log_limited(&limit, LOG_DEBUG, "libwebsockets says text=\"%.*s\"", (int)strcspn(line, "\n"),
                line);
}

void worker_log_while_created(bool is_on) {
    lws_set_log_level(is_on ? LLL_ERR | LLL_WARN : 0, is_on ? emit : NULL);
}

static bool create_context(struct worker *w) {
    static const lws_retry_bo_t no_validity_checks; /* its timers cost O(n) per connection */
    void *loops[] = {&w->loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = w->protocols,
        .foreign_loops = loops, /* else the plugin takes our signals */
        .user = w,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .retry_and_idle_policy = &no_validity_checks,
        .max_http_header_data = HEAD_MAX_BYTES,
        .timeout_secs = HANDSHAKE_S,
        .vhost_name = "carillon",
    };
    const struct lws_protocols protocol = {
        .name = "carillon",
        .callback = on_event,
        .per_session_data_size = sizeof(struct conn),
        .rx_buffer_size = RX_BYTES,
        .tx_packet_size = TX_BYTES,
    };
    w->protocols[0] = w->protocols[1] = protocol;
    w->protocols[1].name = "centrifuge-json";
#if LWS_LIBRARY_VERSION_NUMBER >= 4003000
    info.log_cx = &w->log;
#endif
    w->context = lws_create_context(&info);
    if (w->context)
        w->vhost = lws_create_vhost(w->context, &info);
    return w->vhost != NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *h) {
    struct worker *w = h->data;
    int request = atomic_load(&w->request);
    if (request == WORKER_STOP + 1) {
        uv_stop(&w->loop);
        return;
    }
    if (request == WORKER_DRAIN + 1 && !w->sessions.is_draining) {
        size_t slice = w->sessions.client_count / DRAIN_SLICES + 1;
        w->drain_slice = slice < DRAIN_SLICE_MIN ? DRAIN_SLICE_MIN : slice;
        w->sessions.is_draining = true;
        door_close(&w->door);
        http_drain(&w->http);
        take_all_mail(w);
        drain_some(w);
    }
}

static void wake(void *arg) {
    struct worker *w = arg;
    uv_async_send(&w->wake);
}

static void init_handles(struct worker *w) {
    uv_loop_init(&w->loop);
    uv_async_init(&w->loop, &w->wake, on_wake);
    uv_prepare_init(&w->loop, &w->prepare);
    uv_check_init(&w->loop, &w->check);
    uv_idle_init(&w->loop, &w->spin);
    uv_timer_init(&w->loop, &w->tick);
    w->wake.data = w->prepare.data = w->check.data = w->spin.data = w->tick.data = w;
}

struct worker *worker_create(struct server *server, uint32_t index, int listen_fd) {
    struct worker *w = mem_zalloc(sizeof(*w));
    w->server = server;
    w->index = index;
    w->listen_fd = listen_fd;
    init_handles(w);
    mailbox_init(&w->mailbox, MAILBOX_MARK_BYTES, wake, w);
    w->sessions = (struct sessions){
        .config = server->config,
        .worker = index,
        .mailbox = &w->mailbox,
        .metrics = &w->metrics,
    };
    sessions_init(&w->sessions);
    w->door = (struct door){.sessions = &w->sessions,
                            .limits = &server->limits,
                            .loop = &w->loop,
                            .welcome = welcome,
                            .welcome_arg = w};
    w->http = (struct http){.sessions = &w->sessions,
                            .node = &server->node,
                            .limits = &server->limits,
                            .loop = &w->loop,
                            .upgrade = upgrade,
                            .upgrade_arg = w,
                            .note_input = on_http_input,
                            .note_arg = w};
    http_init(&w->http);
    if (create_context(w))
        return w;
    log_error("cannot start error=\"libwebsockets gave no context: is its libuv plugin installed? "
              "(package libwebsockets-evlib-uv)\"");
    return NULL;
}

struct mailbox *worker_mailbox(struct worker *w) {
    return &w->mailbox;
}

struct sessions *worker_sessions(struct worker *w) {
    return &w->sessions;
}

static void count_others(uv_handle_t *h, void *arg) {
    struct worker *w = h->loop->data;
    if (h != (uv_handle_t *)&w->wake)
        ++*(size_t *)arg;
}

static size_t other_handles(struct worker *w) {
    size_t count = 0;
    uv_walk(&w->loop, count_others, &count);
    return count;
}

/* Everything but the mailbox and its wake-up goes. libwebsockets closes its handles through the
 * loop, and wants to be destroyed once before and once after that. */
static void wind_down(struct worker *w) {
    door_close(&w->door);
    http_close(&w->http);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->check, NULL);
    uv_close((uv_handle_t *)&w->spin, NULL);
    uv_close((uv_handle_t *)&w->tick, NULL);
    lws_context_destroy(w->context);
    while (other_handles(w))
        uv_run(&w->loop, UV_RUN_NOWAIT);
    lws_context_destroy(w->context);
    sessions_turn_end(&w->sessions);
}

static void *run(void *arg) {
    struct worker *w = arg;
    w->loop.data = w;
    w->tick_due_us = clock_now_us() + WHEEL_TICK_MS * 1000;
    uv_timer_start(&w->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    door_open(&w->door, w->listen_fd);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    wind_down(w);
    w->is_drained = true;
    return NULL;
}

void worker_start(struct worker *w) {
    w->sessions.fanout = w->server->fanout;
    w->sessions.users = w->server->users;
    w->sessions.revocations = w->server->revocations;
    w->sessions.broker = w->server->broker;
    w->sessions.cluster = w->server->cluster;
    w->sessions.node_uid = w->server->node.uid;
    int error = pthread_create(&w->thread, NULL, run, w);
    assert(error == 0);
}

void worker_ask(struct worker *w, enum worker_request request) {
    atomic_store(&w->request, (int)request + 1);
    uv_async_send(&w->wake);
}

bool worker_is_drained(struct worker *w) {
    return w->is_drained;
}

void worker_add_remaining(struct worker *w, size_t *clients, size_t *requests) {
    *clients += w->clients_left;
    *requests += w->requests_left;
}

void worker_join(struct worker *w) {
    pthread_join(w->thread, NULL);
}

bool worker_settle(struct worker *w) {
    struct mail mail;
    bool was_any = false;
    while (mailbox_take(&w->mailbox, &mail)) {
        sessions_take(&w->sessions, mail);
        was_any = true;
    }
    return was_any;
}

void worker_destroy(struct worker *w) {
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    int error = uv_loop_close(&w->loop);
    assert(error == 0);
    sessions_fini(&w->sessions);
    mailbox_fini(&w->mailbox);
    mem_free(w);
}
