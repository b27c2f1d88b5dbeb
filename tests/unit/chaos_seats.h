/* Simulated subscribers on the nodes of a test: client_sync.c as it is, and around it what
 * client_channels.c and an SDK do: attach, read, hold, join, live; who is told that something is
 * missing comes back and recovers. Each subscriber checks what it gets.
 *
 * Include once, after client_sync.c. Thread: main. Owns: the subscribers.
 */
#ifndef CARILLON_TESTS_CHAOS_SEATS_H
#define CARILLON_TESTS_CHAOS_SEATS_H

#include "server/session/sessions.h"
#include "tests/unit/chaos_book.h"

enum { SEATS_PER_CHANNEL = 5, SEATS = CHANNELS * SEATS_PER_CHANNEL };
enum { LIMIT_OF_SOME = 300, QUEUE_BYTES = 1 << 20 };

struct seat_sub;

struct seat {
    uint32_t index, node, worker;
    struct channel *channel;
    bool wants_in;
    bool is_fresh; /* it subscribes without recovery */
    struct seat_sub *in;
    struct position position; /* of the last one it got; as an SDK keeps it */
    uint64_t run_seq;         /* since then nothing may be missing */
    uint64_t back_seq;        /* when it was told something, or subscribed */
    uint8_t *has;             /* by number, how often it got a publication */
    uint32_t has_capacity;
};

struct seat_sub {
    struct subscription sub;
    struct seat *seat;
};

/* What a worker got of a channel. */
struct heard {
    struct position last;
    uint64_t seq;                /* when */
    char (*epochs)[EPOCH_BYTES]; /* all so far */
    uint32_t epoch_count;
};

struct booth {
    struct sessions sessions;
    struct config config;
    struct client client;
    struct broker proxy;
    struct heard heard[CHANNELS];
};

static struct hall {
    struct booth booths[NODES_MAX_IN_TEST][WORKERS];
    struct seat seats[SEATS];
    struct list open; /* struct open_call */
    uint32_t open_count;
    bool is_answer; /* what happens is in answer to a call: a position that is checked */
    /* Counts, for the report: */
    uint64_t received, recovered, told, told_lost, told_safe, calls, answers_max_ms;
} hall;

static const struct channel_options stream_options = {.force_recovery = true};

/* --- calls: each is answered once and in time ------------------------------------------------- */

struct open_call {
    struct list link;
    const struct reply *reply;
    const char *what;
    uint64_t start_ms;
};

static inline void call_begins(const struct reply *r, const char *what) {
    struct open_call *c = mem_zalloc(sizeof(*c));
    *c = (struct open_call){.reply = r, .what = what, .start_ms = clock_now_ms()};
    list_append(&hall.open, &c->link);
    hall.open_count++;
    hall.calls++;
}

static inline void call_ends(const struct reply *r) {
    list_for_each(l, &hall.open) {
        struct open_call *c = list_entry(l, struct open_call, link);
        if (c->reply != r)
            continue;
        uint64_t took_ms = clock_now_ms() - c->start_ms;
        if (took_ms > hall.answers_max_ms)
            hall.answers_max_ms = took_ms;
        if (took_ms > BROKER_DEADLINE_MS + slowly(1000))
            violation("%s was answered after %u ms", c->what, (unsigned)took_ms);
        list_remove(&c->link);
        mem_free(c);
        hall.open_count--;
        return;
    }
    violation("an answer to no call, or a second one");
}

static inline struct broker *broker_of(const struct broker *proxy) {
    return test_nodes[list_entry(proxy, struct booth, proxy)->sessions.worker / WORKERS].broker;
}

static inline void proxy_history(struct broker *b, struct str channel, struct history_reply *r) {
    call_begins(&r->reply, "history");
    broker_of(b)->ops->history(broker_of(b), channel, r);
}

static inline void proxy_attach(struct broker *b, struct str channel, struct reply *r) {
    call_begins(r, "attach");
    broker_of(b)->ops->attach(broker_of(b), channel, r);
}

static const struct broker_ops proxy_ops = {.history = proxy_history, .attach = proxy_attach};

/* --- what client_sync.c wants of its surroundings --------------------------------------------- */

static inline struct booth *booth_of(const struct sessions *s) {
    return list_entry(s, struct booth, sessions);
}

static inline struct seat *seat_of(struct subscription *sub) {
    return list_entry(sub, struct seat_sub, sub)->seat;
}

struct client *sessions_find(const struct sessions *s, struct client_handle h) {
    (void)s;
    (void)h;
    return NULL;
}

void client_call_answered(struct client *c) {
    (void)c;
}

void client_channel_idle(struct sessions *s, struct hub_channel *hc) {
    struct broker *b = broker_of(s->broker);
    if (hc->state != HUB_NEW)
        fanout_remove(s->fanout, hc->node.key, s->worker % WORKERS);
    if (hc->state == HUB_ATTACHED)
        b->ops->detach(b, hc->node.key);
    hub_forget(&s->hub, hc);
}

static inline void leave_seat(struct seat *t) {
    struct subscription *sub = &t->in->sub;
    struct sessions *s = sub->client->sessions;
    struct hub_channel *hc = sub->hub.channel;
    sync_end(sub);
    if (hub_leave(&s->hub, &sub->hub))
        client_channel_idle(s, hc);
    mem_free(t->in);
    t->in = NULL;
}

void subscription_insufficient(struct subscription *sub) {
    struct seat *t = seat_of(sub);
    hall.told++;
    t->back_seq = next_seq();
    note("seat %u of %s on %u.%u is told%s at %.8s/%llu", t->index, t->channel->name, t->node,
         t->worker, hall.is_answer ? " when checked" : "", t->position.epoch,
         (unsigned long long)t->position.offset);
    if (t->channel->profile->is_safe)
        hall.told_safe++;
    if (book.is_gentle && t->channel->profile->is_safe && !hall.is_answer)
        violation("seat %u of %s was told for no reason", t->index, t->channel->name);
    leave_seat(t);
}

/* --- what a subscriber gets ------------------------------------------------------------------- */

static inline void mark_had(struct seat *t, uint32_t number) {
    if (number >= t->has_capacity) {
        uint32_t capacity = number * 2 + 64;
        t->has = mem_realloc(t->has, capacity);
        memset(t->has + t->has_capacity, 0, capacity - t->has_capacity);
        t->has_capacity = capacity;
    }
    if (t->has[number]++ && !publication_at(t->channel, number)->may_be_lost)
        violation("seat %u got publication %u of %s twice", t->index, number, t->channel->name);
}

static inline void seat_gets(struct seat *t, const struct msg *m) {
    if (!is_epoch_of(&m->position, t->position.epoch) ||
        m->position.offset != t->position.offset + 1)
        violation("seat %u of %s at %.8s/%llu got %.8s/%llu", t->index, t->channel->name,
                  t->position.epoch, (unsigned long long)t->position.offset, m->position.epoch,
                  (unsigned long long)m->position.offset);
    t->position = m->position;
    mark_had(t, enter_msg(t->channel, m));
    hall.received++;
}

/* It is told that not all could be recovered: was there a reason? */
static inline void is_told_lost(struct seat *t, const struct position *top) {
    const struct sessions *s = t->in->sub.client->sessions;
    const struct channel *c = t->channel;
    uint32_t limit = s->config->client_recovery_max_publication_limit;
    uint64_t missed = top->offset > t->position.offset ? top->offset - t->position.offset : 0;
    bool is_too_much = is_epoch_of(top, t->position.epoch) &&
                       (missed > c->profile->keep.size || (limit && missed > limit));
    hall.told_lost++;
    note("seat %u of %s on %u.%u has lost something from %.8s/%llu to %.8s/%llu", t->index, c->name,
         t->node, t->worker, t->position.epoch, (unsigned long long)t->position.offset, top->epoch,
         (unsigned long long)top->offset);
    if (book.is_gentle && c->profile->is_safe && !is_too_much)
        violation("seat %u of %s was told for no reason that it cannot recover", t->index, c->name);
}

void sync_done(struct subscription *sub, enum client_error error) {
    struct seat *t = seat_of(sub);
    struct sync_result *r = &sub->sync->result;
    bool is_cut = r->is_cut;
    if (error) {
        leave_seat(t);
        return;
    }
    if (r->was_recovering && !r->is_recovered)
        is_told_lost(t, &r->position);
    t->back_seq = next_seq();
    if (!r->is_recovered) {
        t->run_seq = t->back_seq;
        t->position = r->position;
    } else if (t->position.offset != r->position.offset) {
        violation("seat %u goes on elsewhere", t->index);
    }
    if (t->is_fresh && t->has) /* it begins anew, perhaps on a node that lags behind */
        memset(t->has, 0, t->has_capacity);
    t->is_fresh = false;
    memcpy(t->position.epoch, r->position.epoch, EPOCH_BYTES);
    for (uint32_t i = 0; i < r->count; i++)
        seat_gets(t, r->items[i]);
    hall.recovered += r->count;
    if (!is_same_place(&t->position, &sub->position))
        violation("seat %u is not where the server thinks", t->index);
    note("seat %u of %s on %u.%u lives at %.8s/%llu", t->index, t->channel->name, t->node,
         t->worker, t->position.epoch, (unsigned long long)t->position.offset);
    sub->state = SUBSCRIPTION_LIVE;
    sync_end(sub);
    if (is_cut) /* it comes back for the rest */
        leave_seat(t);
}

/* --- coming and going ------------------------------------------------------------------------- */

struct attaching {
    struct reply reply;
    struct sessions *sessions;
    struct hub_channel *channel;
};

static inline void seat_attached(struct reply *r) {
    struct attaching *a = list_entry(r, struct attaching, reply);
    struct hub_channel *hc = a->channel;
    struct sessions *s = a->sessions;
    bool is_ok = r->result == BROKER_OK;
    mem_free(a);
    hc->state = is_ok ? HUB_ATTACHED : HUB_NEW;
    if (!is_ok)
        fanout_remove(s->fanout, hc->node.key, s->worker % WORKERS);
    for (uint32_t i = hc->sub_count; i-- > 0;) {
        struct subscription *sub = list_entry(hc->subs[i], struct subscription, hub);
        if (sub->state != SUBSCRIPTION_SYNCING || sub->is_attached)
            continue;
        sub->is_attached = is_ok;
        if (is_ok)
            sync_start(sub);
        else
            leave_seat(seat_of(sub));
    }
    if (hub_unpin(hc))
        client_channel_idle(s, hc);
}

static inline void seat_attach(struct sessions *s, struct hub_channel *hc) {
    struct attaching *a = mem_zalloc(sizeof(*a));
    *a = (struct attaching){{.to = s->mailbox, .done = seat_attached}, s, hc};
    hc->state = HUB_ATTACHING;
    hub_pin(hc);
    fanout_add(s->fanout, hc->node.key, s->worker % WORKERS);
    s->broker->ops->attach(s->broker, hc->node.key, &a->reply);
}

static inline void take_seat(struct seat *t) {
    struct booth *b = &hall.booths[t->node][t->worker];
    struct sessions *s = &b->sessions;
    t->in = mem_zalloc(sizeof(*t->in));
    t->in->seat = t;
    struct subscription *sub = &t->in->sub;
    sub->client = &b->client;
    sub->options = &stream_options;
    sub->is_positioned = sub->is_recoverable = true;
    struct hub_channel *hc = hub_join(&s->hub, str_of(t->channel->name), &sub->hub);
    if (!t->is_fresh) {
        sync_of(sub)->wants_recovery = true;
        sub->sync->since = t->position;
    }
    sub->is_attached = hc->state == HUB_ATTACHED;
    if (sub->is_attached)
        sync_start(sub);
    else if (hc->state == HUB_NEW)
        seat_attach(s, hc);
}

/* Those who want to be in, and whose node may let them, come in. */
static inline void take_seats(void) {
    for (uint32_t i = 0; i < SEATS; i++)
        if (hall.seats[i].wants_in && !hall.seats[i].in && !trouble_of(hall.seats[i].node))
            take_seat(&hall.seats[i]);
}

static inline bool is_live(const struct seat *t) {
    return t->in && t->in->sub.state == SUBSCRIPTION_LIVE;
}

/* --- mail ------------------------------------------------------------------------------------- */

/* One worker hears of a channel's publications in order and of each only once. */
static inline void check_heard(struct booth *b, struct channel *c, const struct msg *m) {
    struct heard *h = &b->heard[c->index];
    const struct position *p = &m->position;
    enter_msg(c, m);
    if (!is_epoch_of(p, h->last.epoch)) {
        for (uint32_t i = 0; i < h->epoch_count; i++)
            if (is_epoch_of(p, h->epochs[i]))
                violation(
                    "worker %u hears of %s at %.8s/%llu, after %.8s/%llu: that epoch was over",
                    b->sessions.worker, c->name, p->epoch, (unsigned long long)p->offset,
                    h->last.epoch, (unsigned long long)h->last.offset);
        h->epochs = mem_realloc(h->epochs, (h->epoch_count + 1) * sizeof(*h->epochs));
        memcpy(h->epochs[h->epoch_count++], p->epoch, EPOCH_BYTES);
        note("worker %u hears of %s from %.8s/%llu to %.8s/%llu", b->sessions.worker, c->name,
             h->last.epoch, (unsigned long long)h->last.offset, p->epoch,
             (unsigned long long)p->offset);
    } else if (p->offset <= h->last.offset) {
        violation("worker %u hears of %s %llu after %llu", b->sessions.worker, c->name,
                  (unsigned long long)p->offset, (unsigned long long)h->last.offset);
    }
    h->last = *p;
    h->seq = next_seq();
}

/* A patch makes the publication of the one before. */
static inline void check_delta(struct channel *c, const struct msg *m) {
    struct position before = m->position;
    struct buf base = {0}, made = {0};
    before.offset--;
    uint32_t number = *cell_of(c, &before);
    if (!number || !m->delta.n)
        return;
    buf_add(&base, payload_of(c, number));
    if (!delta_apply(&made, buf_str(&base), m->delta) || !str_equal(buf_str(&made), m->parts.data))
        violation("%s %llu: a patch does not fit", c->name, (unsigned long long)m->position.offset);
    buf_fini(&base);
    buf_fini(&made);
}

static inline struct channel *channel_named(struct str name) {
    uint64_t index = 0;
    if (!str_to_u64(str_slice(name, 1, name.n), &index) || index >= CHANNELS)
        violation("a message of no channel");
    return &book.channels[index];
}

static inline void seat_takes(struct subscription *sub, struct msg *m) {
    if (sub->state == SUBSCRIPTION_SYNCING) {
        sync_hold(sub, m);
        return;
    }
    enum sync_verdict verdict = sync_advance(sub, m);
    if (verdict == SYNC_INSUFFICIENT)
        subscription_insufficient(sub);
    else if (verdict == SYNC_DELIVER)
        seat_gets(seat_of(sub), m);
}

static inline void booth_takes(struct booth *b, struct msg *m) {
    struct sessions *s = &b->sessions;
    struct channel *c = channel_named(m->parts.channel);
    struct hub_channel *hc = hub_find(&s->hub, m->parts.channel, m->channel_hash);
    if (m->parts.kind == MSG_PUBLICATION) {
        check_heard(b, c, m);
        check_delta(c, m);
    }
    if (m->parts.kind == MSG_TOP)
        note("%u.%u hears that %s is at %.8s/%llu", s->worker / WORKERS, s->worker % WORKERS,
             c->name, m->position.epoch, (unsigned long long)m->position.offset);
    if (!hc)
        return;
    hc->heard_ms = clock_now_ms();
    hub_pin(hc);
    if (m->parts.kind == MSG_TOP)
        sync_jump(hc, &m->position);
    else
        for (uint32_t i = hc->sub_count; i-- > 0;)
            seat_takes(list_entry(hc->subs[i], struct subscription, hub), m);
    if (hub_unpin(hc))
        client_channel_idle(s, hc);
}

/* Gives how many. */
static inline uint32_t take_mail(void) {
    uint32_t count = 0;
    struct mail mail;
    for (uint32_t i = 0; i < node_count * WORKERS; i++) {
        struct booth *b = &hall.booths[i / WORKERS][i % WORKERS];
        for (; mailbox_take(b->sessions.mailbox, &mail); count++) {
            if (mail.kind == MAIL_MSG) {
                booth_takes(b, mail.msg);
                msg_unref(mail.msg);
                continue;
            }
            call_ends(mail.reply);
            hall.is_answer = true;
            mail.reply->done(mail.reply);
            hall.is_answer = false;
        }
    }
    return count;
}

/* --- begin and end ---------------------------------------------------------------------------- */

static inline void open_booth(uint32_t node, uint32_t worker) {
    struct booth *b = &hall.booths[node][worker];
    struct sessions *s = &b->sessions;
    b->proxy.ops = &proxy_ops;
    b->config.client_recovery_max_publication_limit = worker ? LIMIT_OF_SOME : 0;
    b->config.client_queue_max_size_bytes = QUEUE_BYTES;
    b->client.sessions = s;
    s->config = &b->config;
    s->worker = node * WORKERS + worker;
    s->mailbox = test_nodes[node].boxes[worker];
    s->fanout = test_nodes[node].fanout;
    s->broker = &b->proxy;
    hub_init(&s->hub);
}

static inline void open_hall(void) {
    list_init(&hall.open);
    for (uint32_t i = 0; i < node_count * WORKERS; i++)
        open_booth(i / WORKERS, i % WORKERS);
    for (uint32_t i = 0; i < SEATS; i++)
        hall.seats[i] = (struct seat){.index = i,
                                      .node = draw(node_count),
                                      .worker = draw(WORKERS),
                                      .channel = &book.channels[i % CHANNELS],
                                      .is_fresh = true,
                                      .wants_in = draw(4) > 0};
}

/* The nodes still live. */
static inline void close_hall(void) {
    for (uint32_t i = 0; i < SEATS; i++) {
        struct seat *t = &hall.seats[i];
        t->wants_in = false;
        if (t->in)
            leave_seat(t);
        mem_free(t->has);
    }
    WAIT_UNTIL((take_mail(), hall.open_count == 0));
    for (uint32_t i = 0; i < node_count * WORKERS; i++) {
        struct booth *b = &hall.booths[i / WORKERS][i % WORKERS];
        hub_fini(&b->sessions.hub);
        for (uint32_t k = 0; k < CHANNELS; k++)
            mem_free(b->heard[k].epochs);
    }
    memset(&hall, 0, sizeof(hall));
}

/* After a test that failed: nobody comes back, and nothing is checked. The brokers stop. */
static inline void abandon_hall(void) {
    struct mail mail;
    for (uint32_t i = 0; i < node_count * WORKERS; i++) {
        struct sessions *s = &hall.booths[i / WORKERS][i % WORKERS].sessions;
        struct broker *b = test_nodes[i / WORKERS].broker;
        if (!s->mailbox)
            continue;
        b->ops->stop(b);
        while (mailbox_take(s->mailbox, &mail))
            if (mail.kind == MAIL_MSG)
                msg_unref(mail.msg);
        for (struct map_node *n = NULL; (n = map_next(&s->hub.channels, n));)
            fanout_remove(s->fanout, n->key, i % WORKERS);
    }
    memset(&hall, 0, sizeof(hall));
}

#endif
