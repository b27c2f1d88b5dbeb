/* The calls of a randomized test: publishers who repeat until they are certain, publications that
 * nobody hears of, those who only ask and look closely at the answer, those who remove.
 *
 * Include once. Thread: main. Owns: the calls.
 */
#ifndef CARILLON_TESTS_CHAOS_CALLS_H
#define CARILLON_TESTS_CHAOS_CALLS_H

#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "tests/unit/chaos_redis.h"
#include "tests/unit/chaos_seats.h"

/* --- publishers ------------------------------------------------------------------------------- */

struct pub_call {
    struct reply reply;
    struct channel *channel;
    uint32_t number;
};

static struct pub_call *refused[100000]; /* to be repeated */
static uint32_t refused_count;

static inline void publish(struct pub_call *call, uint32_t node);

static inline void acked(struct channel *c, uint32_t number, const struct position *at) {
    struct publication *p = publication_at(c, number);
    p->state = PUB_ACKED;
    p->acked_seq = next_seq();
    if (!at->offset)
        violation("%s: publication %u got no offset", c->name, number);
    enter_place(c, number, at);
}

static inline void pub_done(struct reply *r) {
    struct pub_call *call = list_entry(r, struct pub_call, reply);
    struct publication *p = publication_at(call->channel, call->number);
    if (r->result == BROKER_OK) {
        acked(call->channel, call->number, &r->position);
        mem_free(call);
        return;
    }
    p->state = PUB_REFUSED;
    p->may_be_done |= r->result == BROKER_UNKNOWN;
    if (!p->may_be_done && p->seen.offset)
        violation("%s: publication %u came, but its publisher is told that nothing was done",
                  call->channel->name, call->number);
    assert_true(refused_count < sizeof(refused) / sizeof(*refused));
    refused[refused_count++] = call;
}

static inline void publish(struct pub_call *call, uint32_t node) {
    struct channel *c = call->channel;
    struct publication *p = publication_at(c, call->number);
    struct broker *b = test_nodes[node].broker;
    char key[32];
    int n = snprintf(key, sizeof(key), "%s-%u", c->name, call->number);
    const struct publish_options o = {
        .keep = c->profile->keep, .makes_delta = c->index % 2, .idempotency_key = {key, (size_t)n}};
    p->state = PUB_OPEN;
    p->attempts++;
    call->reply = reply_to(node, call->number % WORKERS);
    call->reply.done = pub_done;
    call_begins(&call->reply, "publish");
    b->ops->publish(b,
                    msg_create(&(struct msg_parts){.channel = str_of(c->name),
                                                   .data = payload_of(c, call->number)}),
                    &o, &call->reply);
}

static inline void publish_new(struct channel *c, uint32_t node) {
    struct pub_call *call = mem_zalloc(sizeof(*call));
    call->channel = c;
    call->number = add_publication(c);
    publish(call, node);
}

/* Those that are not certain, once more, on whichever node works. */
static inline void publish_again(void) {
    uint32_t count = refused_count;
    struct pub_call **calls = mem_array(count + 1, sizeof(*calls));
    memcpy(calls, refused, count * sizeof(*calls));
    refused_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node =
            (calls[i]->number + publication_at(calls[i]->channel, calls[i]->number)->attempts) %
            node_count;
        if (trouble_of(node))
            refused[refused_count++] = calls[i];
        else
            publish(calls[i], node);
    }
    mem_free(calls);
}

/* Has a node met this run of Redis? Only then may its script be called. */
static inline bool is_met(void) {
    redisReply *info = redis_server_ask(&server, "INFO server");
    redisReply *era = redis_server_ask(&server, "GET %s", TEST_BASE "era");
    const char *id = strstr(info->str, "run_id:");
    bool is_same = id && era->type == REDIS_REPLY_STRING && era->len >= 40 &&
                   !memcmp(id + strlen("run_id:"), era->str, 40);
    freeReplyObject(info);
    freeReplyObject(era);
    return is_same;
}

/* Numbered and kept, but nobody hears of it. */
static inline void publish_unheard(struct channel *c) {
    static const char mute[] = "local real = redis\n"
                               "local redis = {call = function(name, ...)\n"
                               "  if name ~= 'PUBLISH' then return real.call(name, ...) end\n"
                               "end}\n";
    const struct keep *k = &c->profile->keep;
    struct buf envelope = {0}, script = {0};
    char epoch[EPOCH_BYTES + 1] = "", tail[REDIS_PLACE_TAIL_BYTES];
    struct position at = {0};
    if (!can_ask() || !is_met())
        return;
    uint32_t number = add_publication(c);
    for (int i = 0; i < EPOCH_BYTES; i++)
        epoch[i] = (char)('a' + draw(26));
    buf_add_z(&script, mute);
    buf_add(&script, redis_script_text(SCRIPT_PUBLISH));
    buf_add_char(&script, 0);
    redis_envelope_add(&envelope, &(struct msg_parts){.data = payload_of(c, number)});
    redis_place_tail(0, k->ttl_ms, k->size, tail);
    redisReply *r =
        redis_server_ask(&server, "EVAL %s 0 %s uid %s %s %u %u %u %b %b %s 0 %s", script.p,
                         TEST_BASE, c->name, epoch, k->size, (unsigned)k->ttl_ms,
                         (unsigned)(k->meta_ttl_ms > k->ttl_ms ? k->meta_ttl_ms : k->ttl_ms), tail,
                         sizeof(tail), envelope.p, envelope.n, "", "");
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2)
        violation("the script says %s", r->str ? r->str : "nonsense");
    memcpy(at.epoch, r->element[1]->str, EPOCH_BYTES);
    at.offset = strtoull(r->element[1]->str + EPOCH_BYTES + 1, NULL, 10);
    note("nobody hears of %s %.8s/%llu", c->name, at.epoch, (unsigned long long)at.offset);
    acked(c, number, &at);
    freeReplyObject(r);
    buf_fini(&envelope);
    buf_fini(&script);
}

/* --- those who only ask ----------------------------------------------------------------------- */

struct probe {
    struct history_reply history;
    struct channel *channel;
    uint32_t node, worker;
    struct heard heard; /* by the worker, when it was asked */
    uint64_t seq;
    uint64_t removed_seq; /* what was acknowledged before was removed before it was asked */
};

/* Is the answer to one who has all up to `since` as it should be? */
static inline void check_completeness(const struct probe *p) {
    const struct history_reply *h = &p->history;
    const struct channel *c = p->channel;
    bool is_known = h->since.offset <= h->top.offset && !h->is_other_epoch;
    uint64_t missed = h->top.offset - h->since.offset;
    if (!book.is_gentle || !c->profile->is_safe || !h->has_since || h->is_reverse || !h->limit)
        return;
    if (!is_known)
        violation("%s: %.8s/%llu is called unknown", c->name, h->since.epoch,
                  (unsigned long long)h->since.offset);
    if (missed > c->profile->keep.size)
        return;
    if (h->count && h->items[0]->position.offset != h->since.offset + 1)
        violation("%s: from %llu on comes %llu", c->name, (unsigned long long)h->since.offset,
                  (unsigned long long)h->items[0]->position.offset);
    if (!h->is_cut && h->count != (missed < h->limit ? missed : h->limit))
        violation("%s: %u of %u are there", c->name, h->count, (unsigned)missed);
}

static inline void check_answer(const struct probe *p) {
    const struct history_reply *h = &p->history;
    struct channel *c = p->channel;
    int step = h->is_reverse ? -1 : 1;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct position *at = &h->items[i]->position;
        const struct publication *got = publication_at(c, enter_msg(c, h->items[i]));
        if (got->state == PUB_ACKED && got->acked_seq < p->removed_seq)
            violation("%s: %llu was removed before", c->name, (unsigned long long)at->offset);
        if (!is_epoch_of(at, h->top.epoch) || at->offset > h->top.offset)
            violation("%s: %.8s/%llu is above %.8s/%llu", c->name, at->epoch,
                      (unsigned long long)at->offset, h->top.epoch,
                      (unsigned long long)h->top.offset);
        if (i && at->offset != h->items[i - 1]->position.offset + (uint64_t)step)
            violation("%s: a hole in an answer at %llu", c->name, (unsigned long long)at->offset);
        if (h->has_since && !h->is_reverse && at->offset <= h->since.offset)
            violation("%s: an answer begins too early", c->name);
    }
    if (h->count > h->limit || (h->is_other_epoch && h->count))
        violation("%s: an answer has too much", c->name);
    if (h->count && !h->is_reverse && !h->is_cut && h->count < h->limit &&
        h->items[h->count - 1]->position.offset != h->top.offset)
        violation("%s: an answer ends before the top", c->name);
    if (is_epoch_of(&p->heard.last, h->top.epoch) && h->top.offset < p->heard.last.offset &&
        p->heard.seq > trouble.lost_seq)
        violation("%s: node %u answers %llu, but has posted %llu before", c->name, p->node,
                  (unsigned long long)h->top.offset, (unsigned long long)p->heard.last.offset);
    check_completeness(p);
}

static inline void probe_done(struct reply *r) {
    struct history_reply *h = list_entry(r, struct history_reply, reply);
    struct probe *p = list_entry(h, struct probe, history);
    if (r->result == BROKER_OK && p->seq > trouble.lost_seq)
        check_answer(p);
    history_reply_fini(h);
    mem_free(p);
}

static inline void ask_history(struct channel *c, uint32_t node, uint32_t how) {
    struct probe *p = mem_zalloc(sizeof(*p));
    struct history_reply *h = &p->history;
    struct epoch *e = c->epoch_count ? &c->epochs[c->epoch_count - 1] : NULL;
    *p = (struct probe){.channel = c, .node = node, .worker = how % WORKERS, .seq = next_seq()};
    p->removed_seq = c->removed_seq[node] > trouble.lost_seq ? c->removed_seq[node] : 0;
    p->heard = hall.booths[node][p->worker].heard[c->index];
    h->reply = reply_to(node, p->worker);
    h->reply.done = probe_done;
    h->may_lag = how % 3 != 1;
    h->has_since = e && how % 8 != 1;
    h->is_reverse = how % 16 == 1 || how % 32 == 2;
    h->limit = how % 8 == 3 ? 0 : how % 8 == 4 ? 1 + how % 300 : how % 16 == 1 ? 1 : UINT32_MAX - 1;
    h->max_bytes = how % 8 == 5 ? 1000 + how % 100000 : 0;
    if (h->has_since) {
        memcpy(h->since.epoch, e->name, EPOCH_BYTES);
        h->since.offset = e->top - (how >> 8) % (e->top < 300 ? e->top + 1 : 300);
    }
    proxy_history(&hall.booths[node][p->worker].proxy, str_of(c->name), h);
}

struct removal {
    struct reply reply;
    struct channel *channel;
    uint32_t node;
    uint64_t seq;
};

static inline void removal_done(struct reply *r) {
    struct removal *removal = list_entry(r, struct removal, reply);
    if (r->result == BROKER_OK && removal->seq > trouble.lost_seq)
        removal->channel->removed_seq[removal->node] = removal->seq;
    mem_free(removal);
}

static inline void remove_history(struct channel *c, uint32_t node) {
    struct broker *b = test_nodes[node].broker;
    struct removal *r = mem_zalloc(sizeof(*r));
    note("node %u removes the history of %s", node, c->name);
    *r = (struct removal){reply_to(node, 0), c, node, next_seq()};
    r->reply.done = removal_done;
    call_begins(&r->reply, "history_remove");
    b->ops->history_remove(b, str_of(c->name), &r->reply);
}

static inline void delete_key(struct channel *c, const char *kind) {
    if (!can_ask())
        return;
    note("%s of %s is deleted", kind, c->name);
    redis_server_do(&server, "DEL %s%s:%s", TEST_BASE, kind, c->name);
}

#endif
