/* A broker whose answers a test gives when it likes: open calls wait in a list until stub_answer()
 * or stub_fail().
 *
 * It checks what a broker may expect: a channel is attached once and detached once, and only then
 * again. Messages go to the fanout when their publish is answered with BROKER_OK; where history is
 * to be kept they are numbered, all channels together, and forgotten. Joins and leaves take effect
 * at once, and each leave must have had its join.
 *
 * Include after <cmocka.h> or tests/fuzz/fuzz_asserts.h. Thread: one. Owns: the messages of open
 * calls.
 */
#ifndef CARILLON_TESTS_STUB_BROKER_H
#define CARILLON_TESTS_STUB_BROKER_H

#include "channels/broker.h"
#include "channels/fanout.h"
#include "channels/presence.h"
#include "server/base/list.h"
#include "server/base/mem.h"

#include <string.h>

enum stub_kind { STUB_PUBLISH, STUB_ATTACH, STUB_PRESENCE, STUB_HISTORY, STUB_HISTORY_REMOVE };

struct stub_call {
    struct list link;
    enum stub_kind kind;
    struct reply *reply;
    struct msg *msg;                 /* of a publish */
    struct publish_options options;  /* of it; the texts are cut to what fits below */
    char key[64], version_epoch[64]; /* the texts */
    struct presence_reply *presence; /* of a presence */
    struct history_reply *history;   /* of a history */
    char channel[512];               /* of all but a publish */
};

struct stub_attached {
    struct list link;
    char channel[512];
    bool is_confirmed;
};

struct stub_broker {
    struct broker broker;
    struct fanout *fanout;
    struct list calls, attached;
    size_t call_count, attached_count;
    uint64_t attaches_total, detaches_total, publishes_total;
    struct presence members;
    struct position top; /* the newest publication that was numbered */
    const char *trouble;
    void (*on_attach)(struct str channel); /* NULL: nobody wants to know */
};

static inline struct stub_broker *stub_of(struct broker *b) {
    return list_entry(b, struct stub_broker, broker);
}

static inline struct stub_attached *stub_find(struct stub_broker *s, struct str channel) {
    list_for_each(l, &s->attached) {
        struct stub_attached *a = list_entry(l, struct stub_attached, link);
        if (str_equal(str_of(a->channel), channel))
            return a;
    }
    return NULL;
}

static inline void stub_forget(struct stub_broker *s, struct stub_attached *a) {
    list_remove(&a->link);
    s->attached_count--;
    mem_free(a);
}

static inline struct stub_call *stub_open(struct stub_broker *s, enum stub_kind kind,
                                          struct str channel, struct reply *r) {
    struct stub_call *call = mem_zalloc(sizeof(*call));
    call->kind = kind;
    call->reply = r;
    assert_true(channel.n < sizeof(call->channel));
    if (channel.n)
        memcpy(call->channel, channel.p, channel.n);
    list_append(&s->calls, &call->link);
    s->call_count++;
    return call;
}

static inline struct str stub_keep(char *to, size_t cap, struct str text) {
    size_t n = text.n < cap ? text.n : cap;
    if (n)
        memcpy(to, text.p, n);
    return (struct str){to, n};
}

static inline void stub_publish(struct broker *b, struct msg *m, const struct publish_options *o,
                                struct reply *r) {
    struct stub_call *call = stub_open(stub_of(b), STUB_PUBLISH, STR_NONE, r);
    stub_of(b)->publishes_total++;
    call->msg = m;
    if (!o)
        return;
    call->options = *o;
    call->options.idempotency_key = stub_keep(call->key, sizeof(call->key), o->idempotency_key);
    call->options.version_epoch =
        stub_keep(call->version_epoch, sizeof(call->version_epoch), o->version_epoch);
}

static inline void stub_attach(struct broker *b, struct str channel, struct reply *r) {
    struct stub_broker *s = stub_of(b);
    struct stub_attached *a = mem_zalloc(sizeof(*a));
    assert_null(stub_find(s, channel));
    stub_open(s, STUB_ATTACH, channel, r);
    memcpy(a->channel, channel.p, channel.n);
    list_append(&s->attached, &a->link);
    s->attached_count++;
    s->attaches_total++;
    if (s->on_attach)
        s->on_attach(channel);
}

static inline void stub_detach(struct broker *b, struct str channel) {
    struct stub_broker *s = stub_of(b);
    struct stub_attached *a = stub_find(s, channel);
    assert_non_null(a);
    assert_true(a->is_confirmed);
    s->detaches_total++;
    stub_forget(s, a);
}

static inline void stub_join(struct broker *b, struct msg *m, const struct member_options *o) {
    unsigned flags = o->flags;
    assert_true(flags != 0 && m->parts.kind == MSG_JOIN);
    assert_non_null(stub_find(stub_of(b), m->parts.channel));
    if (flags & MEMBER_KEEP)
        assert_true(presence_join(&stub_of(b)->members, m));
    if (flags & MEMBER_ANNOUNCE)
        fanout_post(stub_of(b)->fanout, m);
    msg_unref(m);
}

static inline void stub_leave(struct broker *b, struct msg *m, const struct member_options *o) {
    unsigned flags = o->flags;
    assert_true(flags != 0 && m->parts.kind == MSG_LEAVE);
    if (flags & MEMBER_KEEP)
        assert_true(presence_leave(&stub_of(b)->members, m->parts.channel, m->parts.client));
    if (flags & MEMBER_ANNOUNCE)
        fanout_post(stub_of(b)->fanout, m);
    msg_unref(m);
}

static inline void stub_presence(struct broker *b, struct str channel, struct presence_reply *r) {
    stub_open(stub_of(b), STUB_PRESENCE, channel, &r->reply)->presence = r;
}

static inline void stub_history(struct broker *b, struct str channel, struct history_reply *r) {
    stub_open(stub_of(b), STUB_HISTORY, channel, &r->reply)->history = r;
}

static inline void stub_history_remove(struct broker *b, struct str channel, struct reply *r) {
    stub_open(stub_of(b), STUB_HISTORY_REMOVE, channel, r);
}

static inline const char *stub_trouble(struct broker *b) {
    return stub_of(b)->trouble;
}

static inline void stub_carry(struct stub_broker *s, struct stub_call *call) {
    const struct publish_options *o = &call->options;
    if (o->keep.size && !o->skips_history) {
        s->top.offset++;
        call->msg->position = s->top;
    }
    if (call->reply)
        call->reply->position = call->msg->position;
    fanout_post(s->fanout, call->msg);
}

/* It kept nothing. */
static inline void stub_read_history(struct stub_broker *s, struct history_reply *h) {
    h->top = s->top;
    h->is_other_epoch =
        h->has_since && h->since.epoch[0] && memcmp(h->since.epoch, s->top.epoch, EPOCH_BYTES) != 0;
}

/* What the call asks for, done. */
static inline void stub_do(struct stub_broker *s, struct stub_call *call) {
    struct str channel = str_of(call->channel);
    switch (call->kind) {
    case STUB_PUBLISH:
        stub_carry(s, call);
        break;
    case STUB_ATTACH:
        break;
    case STUB_PRESENCE:
        presence_read(&s->members, channel, call->presence);
        break;
    case STUB_HISTORY:
        stub_read_history(s, call->history);
        break;
    case STUB_HISTORY_REMOVE:
        break;
    }
}

/* Answers one call. */
static inline void stub_finish(struct stub_broker *s, struct stub_call *call,
                               enum broker_result result) {
    struct stub_attached *a =
        call->kind == STUB_ATTACH ? stub_find(s, str_of(call->channel)) : NULL;
    list_remove(&call->link);
    s->call_count--;
    if (a && result == BROKER_OK)
        a->is_confirmed = true;
    else if (a)
        stub_forget(s, a);
    if (result == BROKER_OK)
        stub_do(s, call);
    if (call->msg)
        msg_unref(call->msg);
    broker_answer(call->reply, result);
    mem_free(call);
}

/* Answers the call number `which` of those that are open, oldest first. */
static inline void stub_answer_at(struct stub_broker *s, size_t which, enum broker_result result) {
    assert_true(which < s->call_count);
    struct list *l = s->calls.next;
    while (which-- > 0)
        l = l->next;
    stub_finish(s, list_entry(l, struct stub_call, link), result);
}

static inline void stub_answer(struct stub_broker *s) {
    stub_answer_at(s, 0, BROKER_OK);
}

static inline void stub_fail(struct stub_broker *s) {
    stub_answer_at(s, 0, BROKER_UNAVAILABLE);
}

static inline void stub_stop(struct broker *b) {
    while (!list_is_empty(&stub_of(b)->calls))
        stub_fail(stub_of(b));
}

static inline void stub_destroy(struct broker *b) {
    struct stub_broker *s = stub_of(b);
    assert_int_equal(s->call_count, 0);
    assert_int_equal(s->attached_count, 0);
    assert_int_equal(s->members.member_count, 0);
    presence_fini(&s->members);
    mem_free(s);
}

static inline struct broker *stub_broker_create(struct fanout *fanout) {
    static const struct broker_ops ops = {
        .name = "stub",
        .publish = stub_publish,
        .attach = stub_attach,
        .detach = stub_detach,
        .join = stub_join,
        .leave = stub_leave,
        .presence = stub_presence,
        .history = stub_history,
        .history_remove = stub_history_remove,
        .trouble = stub_trouble,
        .stop = stub_stop,
        .destroy = stub_destroy,
    };
    struct stub_broker *s = mem_zalloc(sizeof(*s));
    s->broker.ops = &ops;
    s->fanout = fanout;
    list_init(&s->calls);
    list_init(&s->attached);
    presence_init(&s->members);
    memcpy(s->top.epoch, "STUBSTUB", EPOCH_BYTES);
    return &s->broker;
}

#endif
