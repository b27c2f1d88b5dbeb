/* See node_calls.h.
 *
 * Thread: the worker that asks.
 */
#include "server/session/node_calls.h"

#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/session/channel_pages.h"
#include "server/session/emulated.h"
#include "server/session/revoking.h"
#include "server/session/sessions.h"
#include "server/session/single_connection.h"
#include "server/session/user_calls.h"

struct asking {
    struct cluster_call call;
    node_call_fn *done;
    void *arg;
};

static void answered(struct reply *r) {
    struct cluster_call *call = list_entry(r, struct cluster_call, reply);
    struct asking *a = list_entry(call, struct asking, call);
    a->done(a->arg, call);
    cluster_call_fini(call);
    mem_free(a);
}

void node_call_start(struct sessions *s, enum node_op op, struct str body, node_call_fn *done,
                     void *arg) {
    struct asking *a = mem_zalloc(sizeof(*a));
    /* A process alone has only itself to wait for. */
    uint32_t ms = cluster_is_alone(s->cluster) ? BROKER_DEADLINE_MS : 0;
    a->call.reply = (struct reply){.to = s->mailbox, .done = answered};
    a->done = done;
    a->arg = arg;
    cluster_ask(s->cluster, &a->call, (uint8_t)op, body, ms);
}

static void up(void *reader) {
    single_connection_up(reader);
    revoke_up(reader);
}

void node_calls_register(struct cluster *c) {
    cluster_handle(c, NODE_USER, user_call_run, NULL);
    cluster_handle(c, NODE_CHANNELS, channel_pages_run, NULL);
    cluster_handle(c, NODE_SINGLE, single_connection_run, NULL);
    cluster_handle(c, NODE_REVOKE, revoke_run, NULL);
    cluster_handle(c, NODE_EMULATED, emulated_run, NULL);
    cluster_handle_up(c, up);
}
