/* See revoking.h.
 *
 * Thread: asking and answering on one worker; the walks on each.
 */
#include "server/session/revoking.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/pack.h"
#include "server/session/sessions.h"
#include "server/session/user_index.h"
#include "server/session/worker_calls.h"

#include <string.h>

static int64_t now_s(void) {
    return clock_wall_ms() / 1000;
}

/* --- on each worker --------------------------------------------------------------------------- */

/* After one revocation, or after many were read: then `user` and `id` are NULL. */
struct walk {
    struct worker_call call;
    struct cluster_request *asked; /* NULL: nobody waits */
    enum revocation_kind kind;     /* 0: many */
    size_t id_bytes;
    char id[];
};

static void judge(struct client *c, const void *arg) {
    struct sessions *s = c->sessions;
    (void)arg;
    const struct token_identity identity = {str_of(c->user), str_of(c->token_id),
                                            c->token_issued_at_s};
    if (!c->is_token_bearer || !revocations_refuse(s->revocations, &identity, now_s()))
        return;
    metrics_add(s->metrics, METRIC_REVOKED, 1);
    client_close(c, CLOSE_INVALID_TOKEN);
}

/* Closing only marks, so nobody leaves the list meanwhile. */
static void run(struct worker_call *call, struct sessions *s) {
    const struct walk *w = list_entry(call, struct walk, call);
    const struct str id = {w->id, w->id_bytes};
    if (w->kind == REVOKED_USER) {
        user_index_each(s, id, judge, NULL);
        return;
    }
    for (struct list *l = s->clients.next, *next; l != &s->clients; l = next) {
        struct client *c = list_entry(l, struct client, in_sessions);
        next = l->next;
        if (!w->kind || (c->token_id && str_equal(str_of(c->token_id), id)))
            judge(c, NULL);
    }
}

static void walked(struct worker_call *call, enum broker_result result) {
    struct walk *w = list_entry(call, struct walk, call);
    if (w->asked)
        cluster_answer(w->asked, result == BROKER_OK ? CLUSTER_DONE : CLUSTER_FAILED, STR_NONE);
    w->asked = NULL;
}

static void free_walk(struct worker_call *call) {
    mem_free(list_entry(call, struct walk, call));
}

/* v NULL: many. */
static void walk(struct sessions *s, const struct revocation *v, struct cluster_request *asked) {
    uint32_t count = users_worker_count(s->users);
    struct walk *w = mem_zalloc(sizeof(*w) + (v ? v->id.n : 0));
    if (v) {
        w->kind = v->kind;
        w->id_bytes = v->id.n;
        memcpy(w->id, v->id.p, v->id.n);
    }
    w->asked = asked;
    w->call.run = run;
    w->call.done = walked;
    w->call.free = free_walk;
    worker_call_start(s, &w->call, count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1);
}

/* --- on each node ----------------------------------------------------------------------------- */

/* until, then the bytes of the revocation */
void revoke_run(void *arg, struct cluster_request *q, void *reader) {
    struct sessions *s = reader;
    struct unpack u = {.rest = q->body};
    struct revocation v;
    (void)arg;
    uint64_t until_s = unpack_u64(&u);
    if (u.is_bad || until_s > INT64_MAX || !revocation_unpack(u.rest, &v)) {
        cluster_answer(q, CLUSTER_BAD_REQUEST, STR_NONE);
        return;
    }
    v.expires_at_s = (int64_t)until_s;
    if (revocations_add(s->revocations, &v, now_s()))
        walk(s, &v, q);
    else
        cluster_answer(q, CLUSTER_BAD_REQUEST, STR_NONE);
}

/* --- what the engine keeps -------------------------------------------------------------------- */

struct reading {
    struct kept_reply kept;
    struct sessions *sessions;
};

static void take_all(struct sessions *s, const struct kept_reply *kept) {
    size_t taken_count = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const struct kept_item *item = &kept->items[i];
        struct revocation v;
        if (!revocation_unpack((struct str){item->bytes, item->n}, &v))
            continue;
        v.expires_at_s = item->until_s;
        taken_count += revocations_add(s->revocations, &v, now_s());
    }
    if (taken_count)
        log_info("revocations read count=%zu", taken_count);
    if (taken_count)
        walk(s, NULL, NULL);
}

static void read_all(struct reply *r) {
    struct kept_reply *kept = list_entry(r, struct kept_reply, reply);
    struct reading *reading = list_entry(kept, struct reading, kept);
    if (r->result == BROKER_OK)
        take_all(reading->sessions, kept);
    else
        log_warn("revocations that the engine keeps could not be read; tried again when it is up");
    kept_reply_fini(kept);
    mem_free(reading);
}

void revoke_up(void *reader) {
    struct sessions *s = reader;
    if (s->worker != 0 || !s->revocations || !s->broker->ops->kept)
        return;
    struct reading *reading = mem_zalloc(sizeof(*reading));
    reading->sessions = s;
    reading->kept.reply = (struct reply){.to = s->mailbox, .done = read_all};
    s->broker->ops->kept(s->broker, &reading->kept);
}

/* --- asking ----------------------------------------------------------------------------------- */

struct revoking {
    struct reply reply;
    struct sessions *sessions;
    struct buf body;
    node_call_fn *done;
    void *arg;
};

static void tell_nodes(struct revoking *r) {
    node_call_start(r->sessions, NODE_REVOKE, buf_str(&r->body), r->done, r->arg);
    buf_fini(&r->body);
    mem_free(r);
}

static void kept(struct reply *reply) {
    struct revoking *r = list_entry(reply, struct revoking, reply);
    bool is_full = reply->result == BROKER_OK && reply->position.offset == 1;
    if (reply->result == BROKER_OK && !is_full) {
        tell_nodes(r);
        return;
    }
    struct cluster_call call = {.reply = {.result = reply->result}};
    if (is_full) {
        log_error("too many revocations are kept max=%d", KEPT_MAX);
        call.reply.result = BROKER_UNAVAILABLE;
    }
    r->done(r->arg, &call);
    buf_fini(&r->body);
    mem_free(r);
}

void revoke_everywhere(struct sessions *s, const struct revocation *v, node_call_fn *done,
                       void *arg) {
    struct revoking *r = mem_zalloc(sizeof(*r));
    *r = (struct revoking){.sessions = s, .done = done, .arg = arg};
    r->reply = (struct reply){.to = s->mailbox, .done = kept};
    pack_u64(&r->body, (uint64_t)v->expires_at_s);
    size_t head_bytes = r->body.n;
    revocation_pack(v, &r->body);
    if (s->broker->ops->keep)
        s->broker->ops->keep(s->broker, str_slice(buf_str(&r->body), head_bytes, r->body.n),
                             v->expires_at_s, &r->reply);
    else
        tell_nodes(r);
}
