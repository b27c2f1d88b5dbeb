/* See sessions.h.
 *
 * Thread: its worker.
 */
#include "server/session/sessions.h"

#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/session/worker_calls.h"

#include <assert.h>

#define NO_SLOT UINT32_MAX
enum { CLOCK_EVERY_CLIENTS = 16, PREFETCH_AHEAD = 4 };

void sessions_init(struct sessions *s) {
    s->now_ms = clock_now_ms();
    s->first_free_slot = NO_SLOT;
    client_tokens_init(s);
    hub_init(&s->hub);
    wheel_init(&s->wheel, s->now_ms);
    member_batches_init(&s->member_batches, s->now_ms);
    outq_pool_init(&s->pool);
    list_init(&s->clients);
    map_init(&s->user_clients);
    list_init(&s->worker_calls);
    list_init(&s->gone);
    list_init(&s->urgent);
    list_init(&s->bulk);
}

void sessions_fini(struct sessions *s) {
    assert(s->client_count == 0 && s->user_clients.count == 0);
    assert(list_is_empty(&s->worker_calls));
    sessions_turn_end(s);
    member_batches_fini(&s->member_batches);
    outq_pool_fini(&s->pool);
    hub_fini(&s->hub);
    map_fini(&s->user_clients);
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        frame_unref(s->pings[i]);
    buf_fini(&s->scratch);
    buf_fini(&s->scratch2);
    buf_fini(&s->reply);
    mem_free(s->slots);
}

/* --- clients and their handles ---------------------------------------------------------------- */

static void grow_slots(struct sessions *s) {
    uint32_t old_count = s->slot_count;
    s->slot_count = old_count ? old_count * 2 : 64;
    s->slots = mem_realloc(s->slots, s->slot_count * sizeof(*s->slots));
    for (uint32_t i = s->slot_count; i-- > old_count;) {
        s->slots[i] = (struct sessions_slot){.generation = 1, .next_free = s->first_free_slot};
        s->first_free_slot = i;
    }
}

void sessions_add(struct sessions *s, struct client *c) {
    if (s->first_free_slot == NO_SLOT)
        grow_slots(s);
    c->slot = s->first_free_slot;
    struct sessions_slot *slot = &s->slots[c->slot];
    s->first_free_slot = slot->next_free;
    slot->client = c;
    c->generation = slot->generation;
    list_append(&s->clients, &c->in_sessions);
    metrics_set(s->metrics, METRIC_CLIENTS, ++s->client_count);
    metrics_add_for(s->metrics, c->protocol->transport, WIRE_CLIENTS, 1);
    metrics_add_for(s->metrics, c->protocol->transport, WIRE_CLIENTS_ACCEPTED, 1);
}

void sessions_gone(struct sessions *s, struct client *c) {
    struct sessions_slot *slot = &s->slots[c->slot];
    slot->client = NULL;
    slot->generation++;
    slot->next_free = s->first_free_slot;
    s->first_free_slot = c->slot;
    list_remove(&c->in_sessions);
    list_append(&s->gone, &c->in_sessions);
    metrics_set(s->metrics, METRIC_CLIENTS, --s->client_count);
    metrics_add_for(s->metrics, c->protocol->transport, WIRE_CLIENTS, UINT64_MAX); /* one less */
}

struct client *sessions_find(const struct sessions *s, struct client_handle h) {
    if (h.slot >= s->slot_count || s->slots[h.slot].generation != h.generation)
        return NULL;
    return s->slots[h.slot].client;
}

/* --- delivery --------------------------------------------------------------------------------- */

/* Starts to load what the visits after this one will touch: a fan-out is bound by memory latency.
 */
static void prefetch(const struct hub_channel *hc, uint32_t i) {
    if (i >= 2 * PREFETCH_AHEAD)
        __builtin_prefetch(hc->subs[i - 2 * PREFETCH_AHEAD]);
    if (i < PREFETCH_AHEAD)
        return;
    const struct client *c =
        list_entry(hc->subs[i - PREFETCH_AHEAD], struct subscription, hub)->client;
    __builtin_prefetch(c);
    __builtin_prefetch((const char *)c + 64);
}

/* The frames of one message: each is made when the first client needs it. */
struct frames {
    struct frame *made[PROTOCOL_COUNT][ENCODING_COUNT];
    struct frame *place; /* of those who have only this channel: all of them stand at the message */
};

static struct frame *frame_for(struct frames *f, struct subscription *sub, const struct msg *m) {
    const struct protocol *p = sub->client->protocol;
    enum encoding how = subscription_encoding(sub, m);
    struct frame **made = &f->made[p->id][how];
    if (!*made) {
        *made = p->encode(m, how);
        sessions_note_pending(sub->client->sessions, (*made)->total_bytes);
    }
    return *made;
}

/* Where the client stands now. False: it was closed, and sub is gone. */
static bool deliver_place(struct subscription *sub, struct frames *f, bool is_urgent) {
    struct client *c = sub->client;
    bool is_shared = c->subscription_count == 1;
    struct frame *place = is_shared && f->place ? f->place : c->protocol->place(c);
    if (place != f->place)
        sessions_note_pending(c->sessions, place->total_bytes);
    if (is_shared)
        f->place = place;
    subscription_deliver(sub, place, is_urgent);
    if (!is_shared)
        frame_unref(place);
    return c->state == CLIENT_CONNECTED;
}

static void deliver_to(struct subscription *sub, struct msg *m, struct frames *frames,
                       bool is_urgent) {
    if (m->parts.kind != MSG_PUBLICATION && !sub->wants_joins)
        return;
    if (sub->state == SUBSCRIPTION_SYNCING) {
        if (!sync_hold(sub, m))
            client_close(sub->client, CLOSE_SLOW);
        return;
    }
    if (sub->is_positioned) {
        enum sync_verdict verdict = sync_advance(sub, m);
        if (verdict == SYNC_INSUFFICIENT)
            subscription_insufficient(sub);
        if (verdict != SYNC_DELIVER)
            return;
    }
    struct frame *f = frame_for(frames, sub, m);
    if (m->parts.kind == MSG_PUBLICATION && conflate(sub, f))
        return;
    if (m->position.offset && sub->is_positioned && sub->client->protocol->place &&
        !deliver_place(sub, frames, is_urgent))
        return;
    subscription_deliver(sub, f, is_urgent);
}

static void jump(struct sessions *s, struct hub_channel *hc, const struct position *top) {
    hub_pin(hc);
    sync_jump(hc, top);
    if (hub_unpin(hc))
        client_channel_idle(s, hc);
}

static void deliver(struct sessions *s, struct msg *m) {
    struct hub_channel *hc = hub_find(&s->hub, m->parts.channel, m->channel_hash);
    struct frames frames = {0};
    if (!hc)
        return;
    bool is_urgent = hc->sub_count <= SESSIONS_BULK_SUBSCRIBERS;
    hc->heard_ms = s->now_ms;
    if (m->parts.kind == MSG_TOP) {
        jump(s, hc, &m->position);
        return;
    }
    if (m->parts.kind != MSG_PUBLICATION && member_batch_take(s, hc, m))
        return;
    metrics_add(s->metrics, METRIC_DELIVERED, hc->sub_count);
    hub_pin(hc); /* a slow client may be closed on the way */
    for (uint32_t i = hc->sub_count; i-- > 0;) {
        prefetch(hc, i);
        deliver_to(list_entry(hc->subs[i], struct subscription, hub), m, &frames, is_urgent);
    }
    if (hub_unpin(hc))
        client_channel_idle(s, hc);
    for (size_t i = 0; i < PROTOCOL_COUNT; i++)
        for (size_t k = 0; k < ENCODING_COUNT; k++)
            frame_unref(frames.made[i][k]);
    frame_unref(frames.place);
}

void sessions_take(struct sessions *s, struct mail mail) {
    switch (mail.kind) {
    case MAIL_MSG:
        deliver(s, mail.msg);
        msg_unref(mail.msg);
        break;
    case MAIL_REPLY:
        mail.reply->done(mail.reply);
        break;
    case MAIL_CONTROL:
        mail.control->run(mail.control, s);
        break;
    }
}

/* --- flush ------------------------------------------------------------------------------------ */

void sessions_note_pending(struct sessions *s, size_t bytes) {
    if (!s->pending_since_us)
        s->pending_since_us = clock_now_us();
    s->pending_bytes += bytes;
}

void sessions_touch(struct sessions *s, struct client *c, bool is_urgent) {
    if (c->is_blocked)
        return;
    if (!list_is_empty(&c->in_flush)) {
        if (c->is_urgent || !is_urgent)
            return;
        list_remove(&c->in_flush);
    }
    s->touched_count++;
    c->is_urgent = is_urgent;
    list_append(is_urgent ? &s->urgent : &s->bulk, &c->in_flush);
}

bool sessions_has_pending(const struct sessions *s) {
    return !list_is_empty(&s->urgent) || !list_is_empty(&s->bulk);
}

static uint64_t drain_us(const struct sessions *s) {
    uint64_t us = SESSIONS_DRAIN_MAX_US + s->touched_count * SESSIONS_DRAIN_PER_CLIENT_US;
    return us < SESSIONS_DRAIN_LIMIT_US ? us : SESSIONS_DRAIN_LIMIT_US;
}

bool sessions_flush_is_due(const struct sessions *s, bool had_input) {
    return !had_input || s->pending_bytes >= SESSIONS_DRAIN_MAX_BYTES ||
           clock_now_us() - s->pending_since_us >= drain_us(s);
}

static void flush_list(struct list *list, uint64_t until_us) {
    for (uint32_t count = 1; !list_is_empty(list); count++) {
        struct client *c = list_entry(list->next, struct client, in_flush);
        list_remove(&c->in_flush);
        __builtin_prefetch(list_entry(list->next, struct client, in_flush));
        client_flush(c);
        if (count % CLOCK_EVERY_CLIENTS == 0 && clock_now_us() >= until_us)
            return;
    }
}

void sessions_flush(struct sessions *s) {
    uint64_t start_us = clock_now_us();
    flush_list(&s->urgent, start_us + SESSIONS_FLUSH_MAX_US / 2);
    flush_list(&s->bulk, start_us + SESSIONS_FLUSH_MAX_US);
    if (sessions_has_pending(s))
        return;
    s->pending_since_us = 0;
    s->pending_bytes = 0;
    s->touched_count = 0;
    outq_pool_rest(&s->pool);
}

/* --- turns ------------------------------------------------------------------------------------ */

void sessions_turn_end(struct sessions *s) {
    while (!list_is_empty(&s->gone)) {
        struct client *c = list_entry(s->gone.next, struct client, in_sessions);
        list_remove(&c->in_sessions);
        client_destroy(c);
    }
    s->now_ms = clock_now_ms();
    metrics_add(s->metrics, METRIC_LOOP_TURNS, 1);
}

static void fire(struct wheel_entry *e, void *arg) {
    struct sessions *s = arg;
    client_timer(list_entry(e, struct client, timer), s->now_ms);
}

void sessions_tick(struct sessions *s) {
    s->now_ms = clock_now_ms();
    if (s->worker == 0 && s->broker->ops->tick) /* one worker is enough */
        s->broker->ops->tick(s->broker);
    worker_calls_tick(s);
    cluster_tick(s->cluster, s->now_ms);
    single_connection_tick(s);
    wheel_turn(&s->wheel, s->now_ms, fire, s);
    member_batches_tick(s);
}

bool sessions_close_some(struct sessions *s, size_t max_count, enum close_reason reason) {
    list_for_each(l, &s->clients) {
        struct client *c = list_entry(l, struct client, in_sessions);
        if (c->state >= CLIENT_CLOSING)
            continue;
        if (max_count-- == 0)
            return true;
        client_close(c, reason);
    }
    return false;
}
