/* See cluster.h. A question lives in `calls` from cluster_ask() until its asker is answered; the
 * note that the engine owes about it may come later than that, so struct asked lives until both are
 * over. Answers may come before the engine has said who is there: they are kept, and those of nodes
 * that are not on its list dropped.
 *
 * Thread: see the header. Locks: cluster before mailbox.
 */
#include "channels/cluster.h"

#include "channels/cluster_envelope.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

enum { CALLS_MAX = 1024, RUNNING_MAX = 16384, NODES_MAX = 10000 };
enum { ANSWERS_MAX_BYTES = 64 << 20, RUNNING_MAX_BYTES = 64 << 20 };

struct handler {
    cluster_run_fn *run;
    void *arg;
};

struct cluster {
    char *uid, *name;
    struct mailbox **boxes;
    uint32_t worker_count;
    struct broker *broker;
    struct control_sink sink;
    struct handler handlers[CLUSTER_OPS];
    void (*up)(void *reader);
    uint32_t next_worker; /* of the engine's thread */
    struct cluster_counters counters;
    _Atomic uint32_t size;   /* nodes, as last known */
    _Atomic bool has_missed; /* what was told */
    pthread_mutex_t lock;
    /* guarded by lock: */
    struct map calls;
    struct list all;
    size_t answer_bytes; /* of all open questions */
    size_t running_count, running_bytes;
    bool is_stopped;
};

/* An open question. */
struct asked {
    struct map_node node; /* key = id */
    struct list link;
    struct cluster *owner;
    uint64_t id;
    uint64_t deadline_ms;
    struct cluster_call *call; /* NULL: answered */
    struct cluster_node *nodes;
    size_t count, capacity, bytes;
    bool has_list;   /* the engine has said who is there */
    bool is_sending; /* `sent` will come */
    struct control_reply sent;
};

static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static char *copy(const char *z) {
    return mem_strndup(z ? z : "", z ? strlen(z) : 0);
}

bool cluster_is_alone(const struct cluster *c) {
    return !c->broker->ops->control;
}

uint32_t cluster_size(struct cluster *c) {
    uint32_t size = atomic_load(&c->size);
    return size ? size : 1;
}

const struct cluster_counters *cluster_counters(const struct cluster *c) {
    return &c->counters;
}

/* --- nodes of a question: with the lock held -------------------------------------------------- */

static void free_node(struct cluster_node *n) {
    mem_free(n->uid);
    mem_free(n->name);
    buf_fini(&n->body);
}

static void free_nodes(struct cluster_node *nodes, size_t n) {
    for (size_t i = 0; i < n; i++)
        free_node(&nodes[i]);
    mem_free(nodes);
}

void cluster_call_fini(struct cluster_call *call) {
    free_nodes(call->nodes, call->count);
    call->nodes = NULL;
    call->count = 0;
}

static struct cluster_node *find_node(const struct asked *a, struct str uid) {
    for (size_t i = 0; i < a->count; i++)
        if (str_equal(str_of(a->nodes[i].uid), uid))
            return &a->nodes[i];
    return NULL;
}

static struct cluster_node *add_node(struct asked *a, struct str uid) {
    if (a->count == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 8;
        a->nodes = mem_realloc(a->nodes, a->capacity * sizeof(*a->nodes));
    }
    struct cluster_node *n = &a->nodes[a->count++];
    *n = (struct cluster_node){.uid = mem_strndup(uid.p, uid.n), .status = CLUSTER_SILENT};
    return n;
}

static size_t silent_count(const struct asked *a) {
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        n += a->nodes[i].status == CLUSTER_SILENT;
    return n;
}

/* Those on the list have a name from now on; the others are dropped. */
static void take_list(struct asked *a, const struct control_node *nodes, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n && i < NODES_MAX; i++) {
        struct cluster_node *one = find_node(a, str_of(nodes[i].uid));
        if (!one)
            one = add_node(a, str_of(nodes[i].uid));
        if (!one->name)
            one->name = copy(nodes[i].name);
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->nodes[i].name)
            a->nodes[kept++] = a->nodes[i];
        else
            free_node(&a->nodes[i]);
    }
    a->count = kept;
    a->has_list = true;
    atomic_store(&a->owner->size, (uint32_t)kept);
}

/* --- open questions: with the lock held ------------------------------------------------------- */

static struct str id_text(const uint64_t *id) {
    return (struct str){(const char *)id, sizeof(*id)};
}

static struct asked *find_asked(struct cluster *c, uint64_t id) {
    struct map_node *n = map_find(&c->calls, id_text(&id));
    return n ? list_entry(n, struct asked, node) : NULL;
}

static void make_id(struct cluster *c, uint64_t *id) {
    do
        randombytes_buf(id, sizeof(*id));
    while (*id == 0 || find_asked(c, *id));
}

static struct asked *make_asked(struct cluster *c, struct cluster_call *call, uint32_t ms) {
    struct asked *a = mem_zalloc(sizeof(*a));
    a->owner = c;
    a->call = call;
    a->deadline_ms = clock_now_ms() + (ms == 0                   ? CLUSTER_ASK_MS
                                       : ms < BROKER_DEADLINE_MS ? ms
                                                                 : BROKER_DEADLINE_MS);
    make_id(c, &a->id);
    map_insert(&c->calls, &a->node, id_text(&a->id));
    list_append(&c->all, &a->link);
    return a;
}

static void free_asked(struct asked *a) {
    free_nodes(a->nodes, a->count);
    control_reply_fini(&a->sent);
    mem_free(a);
}

/* Answers the asker; a is gone then unless the engine still owes its note. */
static void finish(struct asked *a, enum broker_result result) {
    struct cluster *c = a->owner;
    struct cluster_call *call = a->call;
    map_remove(&c->calls, &a->node);
    list_remove(&a->link);
    c->answer_bytes -= a->bytes;
    a->call = NULL;
    if (result == BROKER_OK) {
        count(&c->counters.silent, silent_count(a));
        call->nodes = a->nodes;
        call->count = a->count;
        a->nodes = NULL;
        a->count = 0;
    }
    if (!a->is_sending)
        free_asked(a);
    broker_answer(&call->reply, result);
}

static void finish_if_complete(struct asked *a) {
    if (a->has_list && silent_count(a) == 0)
        finish(a, BROKER_OK);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* False: nobody waits for it. */
static bool keep_answer(struct cluster *c, const struct cluster_envelope *e) {
    struct asked *a = find_asked(c, e->id);
    struct cluster_node *n = a ? find_node(a, e->from) : NULL;
    if (!a || (n ? n->status != CLUSTER_SILENT : a->has_list || a->count >= NODES_MAX))
        return false;
    if (!n)
        n = add_node(a, e->from);
    n->status = e->status <= CLUSTER_FAILED ? (enum cluster_status)e->status : CLUSTER_FAILED;
    if (c->answer_bytes + e->body.n > ANSWERS_MAX_BYTES) {
        n->status = CLUSTER_FAILED;
        count(&c->counters.refused, 1);
    } else {
        buf_add(&n->body, e->body);
        a->bytes += e->body.n;
        c->answer_bytes += e->body.n;
    }
    finish_if_complete(a);
    return true;
}

static void take_answer(struct cluster *c, const struct cluster_envelope *e) {
    pthread_mutex_lock(&c->lock);
    bool is_kept = keep_answer(c, e);
    pthread_mutex_unlock(&c->lock);
    if (!is_kept)
        count(&c->counters.late, 1);
}

/* --- running for others, and for oneself ------------------------------------------------------ */

static void end_request(struct cluster_request *q) {
    struct cluster *c = q->cluster;
    pthread_mutex_lock(&c->lock);
    c->running_count--;
    c->running_bytes -= q->body.n;
    pthread_mutex_unlock(&c->lock);
    mem_free(q);
}

void cluster_answer(struct cluster_request *q, enum cluster_status status, struct str body) {
    struct cluster *c = q->cluster;
    const struct cluster_envelope e = {.kind = CLUSTER_ANSWERS,
                                       .op = q->op,
                                       .status = (uint8_t)status,
                                       .id = q->id,
                                       .from = str_of(c->uid),
                                       .body = body};
    struct buf bytes = {0};
    if (q->id && strcmp(q->from, c->uid) == 0)
        take_answer(c, &e);
    else if (q->id && cluster_envelope_add(&bytes, &e))
        c->broker->ops->control(c->broker, str_of(q->from), buf_str(&bytes), NULL);
    buf_fini(&bytes);
    end_request(q);
}

static void run_request(struct control *control, void *reader) {
    struct cluster_request *q = list_entry(control, struct cluster_request, control);
    static const struct handler unknown;
    const struct handler *h = q->op < CLUSTER_OPS ? &q->cluster->handlers[q->op] : &unknown;
    if (h->run)
        h->run(h->arg, q, reader);
    else
        cluster_answer(q, CLUSTER_UNKNOWN_OP, STR_NONE);
}

/* NULL: too much is being run already. */
static struct cluster_request *make_request(struct cluster *c, const struct cluster_envelope *e) {
    pthread_mutex_lock(&c->lock);
    bool fits = c->running_count < RUNNING_MAX && c->running_bytes + e->body.n <= RUNNING_MAX_BYTES;
    if (fits) {
        c->running_count++;
        c->running_bytes += e->body.n;
    }
    pthread_mutex_unlock(&c->lock);
    if (!fits) {
        count(&c->counters.refused, 1);
        return NULL;
    }
    struct cluster_request *q = mem_zalloc(sizeof(*q) + e->body.n);
    q->control.run = run_request;
    q->cluster = c;
    q->id = e->id;
    q->op = e->op;
    memcpy(q->from, e->from.p, e->from.n);
    if (e->body.n)
        memcpy(q->bytes, e->body.p, e->body.n);
    q->body = (struct str){q->bytes, e->body.n};
    return q;
}

static void run_somewhere(struct cluster *c, const struct cluster_envelope *e) {
    struct cluster_request *q = make_request(c, e);
    if (q)
        mailbox_post_control(c->boxes[c->next_worker++ % c->worker_count], &q->control);
    else if (e->kind == CLUSTER_TELLS)
        atomic_store(&c->has_missed, true);
}

/* --- the engine's thread ---------------------------------------------------------------------- */

static void take(void *arg, struct str bytes) {
    struct cluster *c = arg;
    struct cluster_envelope e;
    if (!cluster_envelope_read(bytes, &e))
        count(&c->counters.garbage, 1);
    else if (e.kind == CLUSTER_ANSWERS)
        take_answer(c, &e);
    else if (e.kind == CLUSTER_ASKS || !str_equal(e.from, str_of(c->uid)))
        run_somewhere(c, &e);
}

struct up_note {
    struct control control;
    struct cluster *cluster;
};

static void run_up(struct control *control, void *reader) {
    struct up_note *note = list_entry(control, struct up_note, control);
    if (note->cluster->up)
        note->cluster->up(reader);
    mem_free(note);
}

static void up(void *arg) {
    struct cluster *c = arg;
    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct up_note *note = mem_zalloc(sizeof(*note));
        *note = (struct up_note){{run_up}, c};
        mailbox_post_control(c->boxes[i], &note->control);
    }
}

/* What was refused because too much was being run is like what was lost while the engine was away.
 */
void cluster_tick(struct cluster *c, uint64_t now_ms) {
    pthread_mutex_lock(&c->lock);
    list_for_each_safe(l, &c->all) {
        struct asked *a = list_entry(l, struct asked, link);
        if (now_ms >= a->deadline_ms)
            finish(a, a->has_list ? BROKER_OK : BROKER_UNKNOWN);
    }
    bool is_idle = c->running_count == 0;
    pthread_mutex_unlock(&c->lock);
    if (is_idle && atomic_exchange(&c->has_missed, false))
        up(c);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The engine has taken the question, or not. */
static void sent(struct reply *r) {
    struct asked *a = list_entry(r, struct asked, sent.reply);
    struct cluster *c = a->owner;
    pthread_mutex_lock(&c->lock);
    a->is_sending = false;
    if (!a->call) {
        free_asked(a);
    } else if (r->result == BROKER_OK) {
        take_list(a, a->sent.nodes, a->sent.count);
        finish_if_complete(a);
    } else {
        finish(a, r->result);
    }
    pthread_mutex_unlock(&c->lock);
}

static void ask_others(struct cluster *c, struct asked *a, const struct cluster_envelope *e) {
    struct buf bytes = {0};
    if (cluster_envelope_add(&bytes, e)) {
        c->broker->ops->control(c->broker, STR_NONE, buf_str(&bytes), &a->sent);
    } else { /* too large */
        a->sent.reply.result = BROKER_UNAVAILABLE;
        sent(&a->sent.reply);
    }
    buf_fini(&bytes);
}

/* On the asker's own worker. */
static void ask_oneself(struct cluster *c, struct mailbox *to, const struct cluster_envelope *e) {
    struct cluster_request *q = make_request(c, e);
    if (q)
        mailbox_post_control(to, &q->control);
}

/* Gives the question and its id. It is there as long as the engine owes a note about it, else until
 * another thread gives up on it. NULL: too many are open. */
static struct asked *open_call(struct cluster *c, struct cluster_call *call, uint32_t ms,
                               uint64_t *id) {
    struct asked *a = NULL;
    const struct control_node self = {c->uid, c->name};
    pthread_mutex_lock(&c->lock);
    if (!c->is_stopped && c->calls.count < CALLS_MAX) {
        a = make_asked(c, call, ms);
        *id = a->id;
        a->sent.reply = (struct reply){.to = call->reply.to, .done = sent};
        a->is_sending = !cluster_is_alone(c);
        if (!a->is_sending)
            take_list(a, &self, 1);
    }
    pthread_mutex_unlock(&c->lock);
    return a;
}

void cluster_ask(struct cluster *c, struct cluster_call *call, uint8_t op, struct str body,
                 uint32_t ms) {
    struct cluster_envelope e = {
        .kind = CLUSTER_ASKS, .op = op, .from = str_of(c->uid), .body = body};
    struct mailbox *to = call->reply.to;
    call->nodes = NULL;
    call->count = 0;
    struct asked *a = open_call(c, call, ms, &e.id);
    if (!a) {
        count(&c->counters.refused, 1);
        broker_answer(&call->reply, BROKER_UNAVAILABLE);
        return;
    }
    count(&c->counters.asked, 1);
    if (cluster_is_alone(c))
        ask_oneself(c, to, &e);
    else
        ask_others(c, a, &e);
}

bool cluster_tell(struct cluster *c, struct str to, uint8_t op, struct str body) {
    const struct cluster_envelope e = {
        .kind = CLUSTER_TELLS, .op = op, .from = str_of(c->uid), .body = body};
    struct buf bytes = {0};
    if (cluster_is_alone(c))
        return true;
    bool is_sent = cluster_envelope_add(&bytes, &e) &&
                   c->broker->ops->control(c->broker, to, buf_str(&bytes), NULL);
    buf_fini(&bytes);
    return is_sent;
}

/* --- start and end ---------------------------------------------------------------------------- */

struct cluster *cluster_create(const char *uid, const char *name, struct mailbox **boxes,
                               uint32_t worker_count) {
    struct cluster *c = mem_zalloc(sizeof(*c));
    assert(strlen(uid) <= CLUSTER_UID_MAX && worker_count > 0);
    c->uid = copy(uid);
    c->name = copy(name);
    c->boxes = boxes;
    c->worker_count = worker_count;
    c->sink = (struct control_sink){.take = take, .up = up, .arg = c};
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->calls);
    list_init(&c->all);
    return c;
}

const struct control_sink *cluster_sink(struct cluster *c) {
    return &c->sink;
}

void cluster_set_broker(struct cluster *c, struct broker *broker) {
    c->broker = broker;
}

void cluster_handle(struct cluster *c, uint8_t op, cluster_run_fn *run, void *arg) {
    assert(op < CLUSTER_OPS);
    c->handlers[op] = (struct handler){run, arg};
}

void cluster_handle_up(struct cluster *c, void (*fn)(void *reader)) {
    c->up = fn;
}

void cluster_stop(struct cluster *c) {
    pthread_mutex_lock(&c->lock);
    c->is_stopped = true;
    list_for_each_safe(l, &c->all) finish(list_entry(l, struct asked, link), BROKER_UNKNOWN);
    pthread_mutex_unlock(&c->lock);
}

void cluster_destroy(struct cluster *c) {
    if (!c)
        return;
    assert(c->calls.count == 0 && c->running_count == 0);
    map_fini(&c->calls);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->uid);
    mem_free(c->name);
    mem_free(c);
}
