/* See member_batch.h. A batch is a list of messages as they came. A subscription knows how many of
 * them were there when it came (members_seen); the frame for it is made of those behind, and is
 * shared by all who came at the same place.
 *
 * Thread: its worker.
 */
#include "server/session/member_batch.h"

#include "server/base/mem.h"
#include "server/session/sessions.h"

#include <string.h>

enum { PUSH_BYTES = 64 }; /* a push without its texts, about */

struct member_batch {
    struct map_node node; /* key = name of the channel */
    struct wheel_entry timer;
    struct msg **msgs;
    uint32_t count, capacity;
    size_t bytes; /* of the frame with all of them, about */
    /* The different places but the first at which subscribers have come, and the frames for them.
     */
    uint32_t place_count, last_place;
    size_t late_bytes;
    char name[];
};

void member_batches_init(struct member_batches *b, uint64_t now_ms) {
    map_init(&b->channels);
    wheel_init(&b->wheel, now_ms);
}

/* --- what is left of a batch ------------------------------------------------------------------ */

static bool has_same_infos(const struct msg_parts *a, const struct msg_parts *b) {
    return str_equal(a->user, b->user) && str_equal(a->conn_info, b->conn_info) &&
           str_equal(a->chan_info, b->chan_info);
}

/* Is it as if neither had happened? */
static bool is_undone(const struct msg *first, const struct msg *second) {
    if (first->parts.kind == second->parts.kind)
        return false;
    return first->parts.kind == MSG_JOIN || has_same_infos(&first->parts, &second->parts);
}

/* A message and whether it counts, by its client. */
struct step {
    struct map_node node;
    struct msg *msg;
    bool is_undone;
};

/* Gives those that count, at most `count`; borrowed. */
static struct msg **net_effect(struct msg *const *msgs, uint32_t count, uint32_t *left_count) {
    struct step *steps = mem_array(count, sizeof(*steps));
    struct msg **left = mem_array(count, sizeof(struct msg *));
    struct map last; /* step of each client that may be undone */
    map_init(&last);
    for (uint32_t i = 0; i < count; i++) {
        struct map_node *n = map_find(&last, msgs[i]->parts.client);
        struct step *before = n ? list_entry(n, struct step, node) : NULL;
        steps[i].msg = msgs[i];
        if (before)
            map_remove(&last, n);
        if (before && is_undone(before->msg, msgs[i]))
            before->is_undone = steps[i].is_undone = true;
        else
            map_insert(&last, &steps[i].node, msgs[i]->parts.client);
    }
    map_fini(&last);
    *left_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!steps[i].is_undone)
            left[(*left_count)++] = msgs[i];
    mem_free(steps);
    return left;
}

/* The rest of a batch, for the clients of one protocol. */
struct rest {
    bool is_made;
    uint32_t push_count;
    struct frame *frame; /* NULL: nothing is left */
};

static void make_rest(struct rest *r, const struct member_batch *b, uint32_t from,
                      const struct client *c) {
    struct msg **left = net_effect(b->msgs + from, b->count - from, &r->push_count);
    r->is_made = true;
    if (r->push_count) {
        r->frame = c->protocol->encode_members(left, r->push_count);
        sessions_note_pending(c->sessions, r->frame->total_bytes);
    }
    mem_free(left);
}

static void deliver_rest(struct subscription *sub, const struct rest *r, bool is_urgent) {
    if (!r->frame)
        return;
    metrics_add(sub->client->sessions->metrics, METRIC_DELIVERED, r->push_count);
    subscription_deliver(sub, r->frame, is_urgent);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool takes_part(const struct subscription *sub) {
    return sub->wants_joins && sub->state == SUBSCRIPTION_LIVE;
}

static void deliver(const struct member_batch *b, struct hub_channel *hc) {
    bool is_urgent = hc->sub_count <= SESSIONS_BULK_SUBSCRIBERS;
    size_t rest_count = (size_t)PROTOCOL_COUNT * b->count;
    struct rest *rests = mem_array(rest_count, sizeof(*rests));
    for (uint32_t i = hc->sub_count; i-- > 0;) {
        struct subscription *sub = list_entry(hc->subs[i], struct subscription, hub);
        uint32_t from = sub->members_seen;
        if (!takes_part(sub))
            continue;
        sub->members_seen = 0; /* of the next batch */
        if (from >= b->count)
            continue;
        struct rest *r = &rests[(size_t)sub->client->protocol->id * b->count + from];
        if (!r->is_made)
            make_rest(r, b, from, sub->client);
        deliver_rest(sub, r, is_urgent);
    }
    for (size_t i = 0; i < rest_count; i++)
        frame_unref(rests[i].frame);
    mem_free(rests);
}

static void drop(struct map_node *n, void *arg) {
    struct member_batch *b = list_entry(n, struct member_batch, node);
    (void)arg;
    wheel_cancel(&b->timer);
    for (uint32_t i = 0; i < b->count; i++)
        msg_unref(b->msgs[i]);
    mem_free(b->msgs);
    mem_free(b);
}

/* All its subscribers may have left, or be new ones. */
static void finish(struct sessions *s, struct member_batch *b) {
    struct hub_channel *hc = hub_find(&s->hub, b->node.key, b->node.hash);
    if (hc) {
        hub_pin(hc); /* a slow client may be closed on the way */
        deliver(b, hc);
        if (hub_unpin(hc))
            client_channel_idle(s, hc);
    }
    map_remove(&s->member_batches.channels, &b->node);
    drop(&b->node, NULL);
}

static void fire(struct wheel_entry *e, void *arg) {
    finish(arg, list_entry(e, struct member_batch, timer));
}

void member_batches_tick(struct sessions *s) {
    wheel_turn(&s->member_batches.wheel, s->now_ms, fire, s);
}

/* --- collecting ------------------------------------------------------------------------------- */

static struct member_batch *find(const struct sessions *s, const struct hub_channel *hc) {
    struct map_node *n = map_find_hashed(&s->member_batches.channels, hc->node.key, hc->node.hash);
    return n ? list_entry(n, struct member_batch, node) : NULL;
}

static struct member_batch *begin(struct sessions *s, struct str channel, uint32_t interval_ms) {
    struct member_batch *b = mem_zalloc(sizeof(*b) + channel.n);
    memcpy(b->name, channel.p, channel.n);
    map_insert(&s->member_batches.channels, &b->node, (struct str){b->name, channel.n});
    wheel_entry_init(&b->timer);
    wheel_set(&s->member_batches.wheel, &b->timer, s->now_ms + interval_ms);
    return b;
}

static void append(struct member_batch *b, struct msg *m) {
    const struct msg_parts *p = &m->parts;
    size_t bytes =
        PUSH_BYTES + p->channel.n + p->user.n + p->client.n + p->conn_info.n + p->chan_info.n;
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? b->capacity * 2 : 8;
        b->msgs = mem_realloc(b->msgs, b->capacity * sizeof(struct msg *));
    }
    b->msgs[b->count++] = msg_ref(m);
    b->bytes += bytes;
    b->late_bytes += b->place_count * bytes;
}

static bool is_full(const struct sessions *s, const struct member_batch *b) {
    return b->count >= MEMBER_BATCH_MAX_COUNT || b->bytes >= publication_max_bytes(s->config) ||
           b->late_bytes >= MEMBER_BATCH_LATE_MAX_BYTES;
}

bool member_batch_take(struct sessions *s, struct hub_channel *hc, struct msg *m) {
    if (hc->sub_count == 0)
        return false;
    /* All its subscriptions have the same options. */
    uint32_t interval_ms =
        list_entry(hc->subs[0], struct subscription, hub)->options->join_leave_interval_ms;
    if (!interval_ms)
        return false;
    struct member_batch *b = find(s, hc);
    if (!b)
        b = begin(s, hc->node.key, interval_ms);
    append(b, m);
    if (is_full(s, b))
        finish(s, b);
    return true;
}

void member_batch_enter(struct subscription *sub) {
    struct member_batch *b = find(sub->client->sessions, sub->hub.channel);
    sub->members_seen = b ? b->count : 0;
    if (!b || !sub->wants_joins || b->last_place == b->count)
        return;
    b->last_place = b->count;
    b->place_count++;
}

void member_batch_catch_up(struct subscription *sub) {
    struct client *c = sub->client;
    const struct member_batch *b = find(c->sessions, sub->hub.channel);
    struct rest r = {0};
    if (!b || !takes_part(sub) || sub->members_seen >= b->count)
        return;
    make_rest(&r, b, sub->members_seen, c);
    member_batch_enter(sub);
    deliver_rest(sub, &r, true); /* it may be closed, and sub gone */
    frame_unref(r.frame);
}

/* --- end -------------------------------------------------------------------------------------- */

void member_batches_fini(struct member_batches *b) {
    map_clear(&b->channels, drop, NULL);
}
