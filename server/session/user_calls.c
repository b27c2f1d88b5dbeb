/* See user_calls.h.
 *
 * Thread: start and answer on the caller's worker; the actions on each worker that has the user. A
 * call is constant once it is posted.
 */
#include "server/session/user_calls.h"

#include "server/base/mem.h"
#include "server/session/sessions.h"
#include "server/session/user_index.h"
#include "server/session/user_wire.h"
#include "server/session/worker_calls.h"

#include <string.h>

struct posted {
    struct worker_call call;
    struct user_call q; /* its texts lie in `texts`, but for the whitelist's array */
    struct channel_options options;
    user_call_done_fn *done;
    void *arg;
    struct buf texts;
};

/* --- on each worker --------------------------------------------------------------------------- */

static bool is_listed(const struct user_call *q, struct str id) {
    for (size_t i = 0; i < q->whitelist_count; i++)
        if (str_equal(q->whitelist[i], id))
            return true;
    return false;
}

static void subscribe(struct client *c, const struct user_call *q) {
    client_give(c, &(struct client_gift){
                       .channel = q->channel,
                       .options = q->options,
                       .is_own_options = q->is_own_options,
                       .info = q->info,
                       .data = q->data,
                       .expires_ms = q->expires_at_s ? client_expiry_ms(c, q->expires_at_s) : 0,
                       .recovers = q->recovers,
                       .since = q->since,
                   });
}

static void disconnect(struct client *c, const struct user_call *q) {
    const struct str id = {c->id, CLIENT_ID_BYTES};
    if (is_listed(q, id))
        return;
    if (q->code)
        client_close_with(c, q->code, q->text);
    else
        client_close(c, CLOSE_FORCED);
}

static void refresh(struct client *c, const struct user_call *q) {
    if (q->is_expired) {
        client_close(c, CLOSE_EXPIRED);
        return;
    }
    if (q->info.n) {
        mem_free(c->conn_info);
        c->conn_info = mem_strndup(q->info.p, q->info.n);
    }
    client_set_expiry(c, client_expiry_ms(c, q->expires_at_s));
    if (c->state == CLIENT_CONNECTED) /* else the reply to connect says it */
        c->protocol->event(c, &(struct event){.kind = EVENT_RENEWED});
}

static void act(struct client *c, const void *arg) {
    const struct user_call *q = arg;
    const struct str id = {c->id, CLIENT_ID_BYTES};
    if ((q->client.n && !str_equal(q->client, id)) ||
        (q->session.n && !str_equal(q->session, str_of(c->session))))
        return;
    switch (q->action) {
    case USER_SUBSCRIBE:
        subscribe(c, q);
        break;
    case USER_UNSUBSCRIBE:
        client_take_away(c, q->channel);
        break;
    case USER_DISCONNECT:
        disconnect(c, q);
        break;
    case USER_REFRESH:
        refresh(c, q);
        break;
    }
}

static void run(struct worker_call *call, struct sessions *s) {
    const struct posted *p = list_entry(call, struct posted, call);
    user_index_each(s, p->q.user, act, &p->q);
}

/* --- on the caller's -------------------------------------------------------------------------- */

static void tell_caller(struct worker_call *call, enum broker_result result) {
    struct posted *p = list_entry(call, struct posted, call);
    if (p->done)
        p->done(p->arg, result);
}

static void free_posted(struct worker_call *call) {
    struct posted *p = list_entry(call, struct posted, call);
    mem_free((void *)p->q.whitelist);
    buf_fini(&p->texts);
    mem_free(p);
}

/* The buffer has room for it: nothing in it moves. */
static struct str keep(struct buf *texts, struct str s) {
    size_t at = texts->n;
    buf_add(texts, s);
    return (struct str){texts->p + at, s.n};
}

static void copy_whitelist(struct posted *p, const struct user_call *q) {
    p->q.whitelist = NULL;
    if (!q->whitelist_count)
        return;
    struct str *list = mem_array(q->whitelist_count, sizeof(*list));
    for (size_t i = 0; i < q->whitelist_count; i++)
        list[i] = keep(&p->texts, q->whitelist[i]);
    p->q.whitelist = list;
}

static void copy(struct posted *p, const struct user_call *q) {
    struct str *const texts[] = {&p->q.user, &p->q.client, &p->q.session, &p->q.channel,
                                 &p->q.data, &p->q.info,   &p->q.text};
    size_t size = 1; /* so that there is a buffer even for no text at all */
    p->q = *q;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        size += texts[i]->n;
    for (size_t i = 0; i < q->whitelist_count; i++)
        size += q->whitelist[i].n;
    buf_reserve(&p->texts, size);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = keep(&p->texts, *texts[i]);
    copy_whitelist(p, q);
    if (q->is_own_options) {
        p->options = *q->options;
        p->q.options = &p->options;
    }
}

void user_call_start(struct sessions *s, const struct user_call *q, user_call_done_fn *done,
                     void *arg) {
    struct posted *p = mem_zalloc(sizeof(*p));
    copy(p, q);
    p->done = done;
    p->arg = arg;
    p->call.run = run;
    p->call.done = tell_caller;
    p->call.free = free_posted;
    worker_call_start(s, &p->call, users_workers(s->users, q->user));
}

/* --- on all nodes ----------------------------------------------------------------------------- */

void user_call_everywhere(struct sessions *s, const struct user_call *q, node_call_fn *done,
                          void *arg) {
    struct buf bytes = {0};
    user_wire_add(&bytes, q);
    node_call_start(s, NODE_USER, buf_str(&bytes), done, arg);
    buf_fini(&bytes);
}

static void answer_asker(void *arg, enum broker_result result) {
    cluster_answer(arg, result == BROKER_OK ? CLUSTER_DONE : CLUSTER_FAILED, STR_NONE);
}

void user_call_run(void *arg, struct cluster_request *q, void *reader) {
    struct sessions *s = reader;
    struct user_wire wire;
    (void)arg;
    if (user_wire_read(q->body, &s->config->rules, &wire))
        user_call_start(s, &wire.call, answer_asker, q);
    else
        cluster_answer(q, CLUSTER_BAD_REQUEST, STR_NONE);
    user_wire_fini(&wire);
}
