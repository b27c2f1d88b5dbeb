/* See single_connection.h. What nodes tell each other is a row of numbers (u64) and users (texts of
 * pack.h).
 *
 * Thread: the worker of the client; `compare` on each worker that has the user.
 */
#include "server/session/single_connection.h"

#include "server/base/mem.h"
#include "server/base/pack.h"
#include "server/session/node_calls.h"
#include "server/session/sessions.h"
#include "server/session/user_index.h"
#include "server/session/worker_calls.h"

#include <string.h>

enum { RETRY_MS = 1000, CLAIMS_PER_TICK = 1024, TOLD_BYTES = 64 * 1024, USER_MAX_BYTES = 4 << 20 };

static bool is_wanted(const struct sessions *s) {
    return s->config->rules.has_personal_channels &&
           s->config->client_personal_channel_single_connection;
}

static bool is_concerned(const struct client *c) {
    return c->user && c->state == CLIENT_CONNECTED && is_wanted(c->sessions);
}

static void retry_soon(struct sessions *s) {
    s->single.is_incomplete = true;
    s->single.retry_ms = s->now_ms + RETRY_MS;
}

/* --- telling the other nodes ------------------------------------------------------------------ */

static void add(struct buf *b, struct str user, uint64_t number) {
    pack_u64(b, number);
    pack_str(b, user);
}

/* What is not sent is told again when the engine is back. */
static void tell(struct sessions *s, struct buf *b) {
    if (b->n)
        cluster_tell(s->cluster, STR_NONE, NODE_SINGLE, buf_str(b));
    buf_clear(b);
}

static void tell_one(struct sessions *s, struct str user, uint64_t number) {
    struct buf b = {0};
    add(&b, user, number);
    tell(s, &b);
    buf_fini(&b);
}

/* --- comparing with those that are here ------------------------------------------------------- */

struct comparison {
    struct worker_call call;
    struct sessions *asker;
    uint64_t number;
    _Atomic uint64_t highest; /* of those that are here */
    bool is_foreign;          /* another node told it */
    size_t user_bytes;
    char user[];
};

struct visit {
    struct comparison *comparison;
};

static void compare_one(struct client *c, const void *arg) {
    struct comparison *x = ((const struct visit *)arg)->comparison;
    uint64_t highest = atomic_load(&x->highest);
    if (c->number == 0)
        return;
    if (c->number < x->number)
        client_close(c, CLOSE_CONNECTION_LIMIT);
    else
        while (c->number > highest &&
               !atomic_compare_exchange_weak(&x->highest, &highest, c->number))
            continue;
}

static struct str user_of(const struct comparison *x) {
    return (struct str){x->user, x->user_bytes};
}

static void compare(struct worker_call *call, struct sessions *s) {
    struct comparison *x = list_entry(call, struct comparison, call);
    user_index_each(s, user_of(x), compare_one, &(struct visit){x});
}

static void start_comparison(struct sessions *s, struct str user, uint64_t number, bool is_foreign);

/* There is a higher one here: who told the lower one must hear of it. */
static void compared(struct worker_call *call, enum broker_result result) {
    struct comparison *x = list_entry(call, struct comparison, call);
    uint64_t highest = atomic_load(&x->highest);
    (void)result; /* late workers close theirs later */
    if (highest <= x->number)
        return;
    if (x->is_foreign)
        tell_one(x->asker, user_of(x), highest);
    else
        start_comparison(x->asker, user_of(x), highest, false);
}

static void free_comparison(struct worker_call *call) {
    mem_free(list_entry(call, struct comparison, call));
}

static void start_comparison(struct sessions *s, struct str user, uint64_t number,
                             bool is_foreign) {
    uint64_t workers = users_workers(s->users, user);
    if (!workers)
        return;
    struct comparison *x = mem_zalloc(sizeof(*x) + user.n);
    x->asker = s;
    x->number = number;
    x->is_foreign = is_foreign;
    x->user_bytes = user.n;
    memcpy(x->user, user.p, user.n);
    x->call.run = compare;
    x->call.done = compared;
    x->call.free = free_comparison;
    worker_call_start(s, &x->call, workers);
}

/* --- numbers ---------------------------------------------------------------------------------- */

struct claim {
    struct reply reply;
    struct sessions *sessions;
    struct client_handle client;
};

static void settle(struct client *c, uint64_t number) {
    struct sessions *s = c->sessions;
    struct str user = str_of(c->user);
    c->number = number;
    if (users_connections(s->users, user) > 1)
        start_comparison(s, user, number, false);
    tell_one(s, user, number);
}

static void numbered(struct reply *r) {
    struct claim *claim = list_entry(r, struct claim, reply);
    struct client *c = sessions_find(claim->sessions, claim->client);
    if (c) {
        c->is_claiming = false;
        if (r->result != BROKER_OK)
            retry_soon(claim->sessions);
        else if (is_concerned(c))
            settle(c, r->position.offset);
    }
    mem_free(claim);
}

void single_connection_claim(struct client *c) {
    struct sessions *s = c->sessions;
    if (!is_concerned(c) || c->number || c->is_claiming)
        return;
    struct claim *claim = mem_zalloc(sizeof(*claim));
    claim->reply = (struct reply){.to = s->mailbox, .done = numbered};
    claim->sessions = s;
    claim->client = (struct client_handle){c->slot, c->generation};
    c->is_claiming = true;
    if (!cluster_is_alone(s->cluster)) {
        s->broker->ops->next_number(s->broker, &claim->reply);
        return;
    }
    /* Not at once: it may still be refused in this turn, and must not end others then. */
    claim->reply.position.offset = users_next_number(s->users);
    broker_answer(&claim->reply, BROKER_OK);
}

/* --- when the engine was away ----------------------------------------------------------------- */

static void claim_some(struct sessions *s) {
    uint32_t count = 0;
    s->single.is_incomplete = false;
    list_for_each(l, &s->clients) {
        struct client *c = list_entry(l, struct client, in_sessions);
        if (!is_concerned(c) || c->number || c->is_claiming)
            continue;
        if (count++ == CLAIMS_PER_TICK) {
            s->single.is_incomplete = true;
            return;
        }
        single_connection_claim(c);
    }
}

void single_connection_tick(struct sessions *s) {
    if (!s->single.is_incomplete || s->now_ms < s->single.retry_ms)
        return;
    if (s->broker->ops->trouble(s->broker))
        retry_soon(s);
    else
        claim_some(s);
}

void single_connection_up(void *reader) {
    struct sessions *s = reader;
    struct buf b = {0};
    if (!is_wanted(s))
        return;
    s->single.is_incomplete = true;
    s->single.retry_ms = 0;
    list_for_each(l, &s->clients) {
        const struct client *c = list_entry(l, struct client, in_sessions);
        if (!is_concerned(c) || !c->number)
            continue;
        add(&b, str_of(c->user), c->number);
        if (b.n >= TOLD_BYTES)
            tell(s, &b);
    }
    tell(s, &b);
    buf_fini(&b);
}

/* --- what other nodes tell -------------------------------------------------------------------- */

void single_connection_run(void *arg, struct cluster_request *q, void *reader) {
    struct sessions *s = reader;
    struct unpack u = {.rest = q->body};
    (void)arg;
    while (is_wanted(s) && !u.is_bad && u.rest.n) {
        uint64_t number = unpack_u64(&u);
        struct str user = unpack_str(&u, USER_MAX_BYTES);
        if (!u.is_bad && number && user.n)
            start_comparison(s, user, number, true);
    }
    cluster_answer(q, u.is_bad ? CLUSTER_BAD_REQUEST : CLUSTER_DONE, STR_NONE);
}
