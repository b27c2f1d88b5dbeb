/* See broker_memory.h. A message is posted to all its workers under the lock of its channel's
 * fanout shard, so all subscribers see one order. Always reachable; every reply is answered in the
 * call, by mailbox.
 *
 * Thread: any. It has no state of its own.
 */
#include "channels/broker_memory.h"

#include "server/base/list.h"
#include "server/base/mem.h"

struct broker_memory {
    struct broker broker;
    struct fanout *fanout;
};

static struct broker_memory *of(struct broker *b) {
    return list_entry(b, struct broker_memory, broker);
}

static void publish(struct broker *b, struct msg *m, struct reply *r) {
    fanout_post(of(b)->fanout, m);
    msg_unref(m);
    broker_answer(r, BROKER_OK);
}

static void attach(struct broker *b, struct str channel, struct reply *r) {
    (void)b;
    (void)channel;
    /* The worker is in the fanout already: that is all there is to it. */
    broker_answer(r, BROKER_OK);
}

static void detach(struct broker *b, struct str channel) {
    (void)b;
    (void)channel;
}

static const char *trouble(struct broker *b) {
    (void)b;
    return NULL;
}

static void stop(struct broker *b) {
    (void)b; /* no thread, no open call */
}

static void destroy(struct broker *b) {
    mem_free(of(b));
}

struct broker *broker_memory_create(struct fanout *fanout) {
    static const struct broker_ops ops = {
        .name = "memory",
        .publish = publish,
        .attach = attach,
        .detach = detach,
        .trouble = trouble,
        .stop = stop,
        .destroy = destroy,
    };
    struct broker_memory *m = mem_zalloc(sizeof(*m));
    m->broker.ops = &ops;
    m->fanout = fanout;
    return &m->broker;
}
