/* See sync.h.
 *
 * The answer of the broker and the publications that were held overlap: those with an offset up to
 * the answer's are dropped, the next ones follow without a hole, or the history is read again. The
 * mailbox gives the answer after all publications that were numbered before it, so a hole means
 * that something was dropped on the way.
 *
 * Thread: the worker of the client.
 */
#include "server/session/sync.h"

#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <assert.h>
#include <string.h>

enum { ATTEMPTS_MAX = 3 };

static bool has_epoch(const struct position *p) {
    return p->epoch[0] != '\0';
}

struct sync *sync_of(struct subscription *sub) {
    if (!sub->sync)
        sub->sync = mem_zalloc(sizeof(*sub->sync));
    return sub->sync;
}

/* --- holding ---------------------------------------------------------------------------------- */

static void release_held(struct sync *y) {
    for (uint32_t i = 0; i < y->held_count; i++)
        msg_unref(y->held[i]);
    y->held_count = 0;
    y->held_bytes = 0;
}

static bool is_numbered(const struct msg *m) {
    return m->parts.kind == MSG_PUBLICATION && m->position.offset > 0;
}

bool sync_hold(struct subscription *sub, struct msg *m) {
    struct sync *y = sync_of(sub);
    if (y->held_count == SYNC_HELD_MAX_COUNT || y->held_bytes > SYNC_HELD_MAX_BYTES) {
        y->is_overfull = true;
        return sub->is_positioned && is_numbered(m);
    }
    if (y->held_count == y->held_capacity) {
        y->held_capacity = y->held_capacity ? y->held_capacity * 2 : 8;
        y->held = mem_realloc(y->held, y->held_capacity * sizeof(*y->held));
    }
    y->held[y->held_count++] = msg_ref(m);
    y->held_bytes += m->size_bytes;
    return true;
}

/* What has an offset is in the history, too: before it is read again, these go. */
static void release_numbered(struct sync *y) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < y->held_count; i++) {
        struct msg *m = y->held[i];
        if (!is_numbered(m)) {
            y->held[kept++] = m;
            continue;
        }
        y->held_bytes -= m->size_bytes;
        msg_unref(m);
    }
    y->held_count = kept;
    y->is_overfull = false;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void release_items(struct sync_result *r) {
    for (uint32_t i = 0; i < r->count; i++)
        msg_unref(r->items[i]);
    mem_free(r->items);
    r->items = NULL;
    r->count = r->capacity = 0;
}

static void add_item(struct sync_result *r, struct msg *m) {
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 8;
        r->items = mem_realloc(r->items, r->capacity * sizeof(struct msg *));
    }
    r->items[r->count++] = msg_ref(m);
}

/* Takes the answer's items. */
static void take_items(struct sync_result *r, struct history_reply *h) {
    release_items(r);
    r->items = h->items;
    r->count = r->capacity = h->count;
    h->items = NULL;
    h->count = 0;
}

/* How much may have been missed; the option's 0 is no limit. */
static uint32_t recovery_limit(const struct subscription *sub) {
    uint32_t limit = sub->client->sessions->config->client_recovery_max_publication_limit;
    return limit ? limit : UINT32_MAX - 1;
}

/* Is everything after `since` there? */
static bool is_complete(const struct sync *y, const struct history_reply *h, uint32_t limit) {
    if (h->is_other_epoch || y->since.offset > h->top.offset || h->count > limit)
        return false;
    if (h->count == 0)
        return !h->is_cut && y->since.offset == h->top.offset;
    return h->items[0]->position.offset == y->since.offset + 1 &&
           (h->is_cut || h->items[h->count - 1]->position.offset == h->top.offset);
}

/* Goes through what was held, behind `last`; joins it to the items when it is to be joined. False:
 * there is a hole. */
static bool join_held(struct sync *y, struct position *last, bool is_joined) {
    for (uint32_t i = 0; i < y->held_count; i++) {
        struct msg *m = y->held[i];
        if (!is_numbered(m))
            continue;
        if (!position_is_same_epoch(&m->position, last))
            return false;
        if (m->position.offset <= last->offset)
            continue;
        if (m->position.offset != last->offset + 1)
            return false;
        *last = m->position;
        if (is_joined)
            add_item(&y->result, m);
    }
    return true;
}

/* False: something is missing, read again. */
static bool settle_stream(struct subscription *sub, struct history_reply *h) {
    struct sync *y = sub->sync;
    struct sync_result *r = &y->result;
    struct position last = h->top;
    bool is_last_attempt = y->attempts >= ATTEMPTS_MAX;
    r->is_recovered = y->wants_recovery && is_complete(y, h, recovery_limit(sub));
    r->is_cut = r->is_recovered && h->is_cut;
    if (r->is_recovered)
        take_items(r, h);
    if (r->is_cut) {
        last = r->count ? r->items[r->count - 1]->position : y->since;
    } else if (y->is_overfull || !join_held(y, &last, r->is_recovered)) {
        release_items(r);
        if (!is_last_attempt)
            return false;
        r->is_recovered = false; /* and the client is told so */
    }
    memcpy(last.epoch, h->top.epoch, EPOCH_BYTES);
    sub->position = last;
    r->position = last;
    if (r->is_recovered)
        r->position.offset = y->since.offset;
    return true;
}

/* Only the newest counts: from the history, or what was held since. */
static bool settle_cache(struct subscription *sub, struct history_reply *h) {
    struct sync *y = sub->sync;
    struct sync_result *r = &y->result;
    struct position last = h->top;
    bool has_it = y->wants_recovery && y->since.offset == h->top.offset &&
                  position_is_same_epoch(&y->since, &h->top);
    r->is_recovered = h->count == 1 && h->items[0]->position.offset == h->top.offset;
    if (r->is_recovered && !has_it)
        take_items(r, h);
    for (uint32_t i = 0; i < y->held_count; i++) {
        struct msg *m = y->held[i];
        if (!is_numbered(m) ||
            (position_is_same_epoch(&m->position, &last) && m->position.offset <= last.offset))
            continue;
        last = m->position;
        release_items(r);
        add_item(r, m);
        r->is_recovered = true;
    }
    sub->position = last;
    r->position = last;
    if (r->count)
        r->position.offset = last.offset - 1;
    return true;
}

static bool is_cache(const struct subscription *sub) {
    return rules_is_cache_mode(sub->options);
}

static bool settle(struct subscription *sub, struct history_reply *h) {
    bool wants_cache =
        is_cache(sub) && (sub->sync->wants_recovery || sub->options->auto_cache_recover);
    sub->sync->result.was_recovering = sub->sync->wants_recovery;
    if (!(wants_cache ? settle_cache(sub, h) : settle_stream(sub, h)))
        return false;
    release_numbered(sub->sync);
    sub->has_base = sub->has_delta && sub->sync->result.count > 0;
    return true;
}

/* --- asking ----------------------------------------------------------------------------------- */

struct history_call {
    struct history_reply history;
    struct sessions *sessions;
    struct client_handle client;
    struct subscription *sub; /* NULL: it ended meanwhile */
};

static void ask(struct subscription *sub);

static void answered(struct history_call *call) {
    struct subscription *sub = call->sub;
    sub->sync->call = NULL;
    if (call->history.reply.result != BROKER_OK)
        sync_done(sub, ERROR_INTERNAL);
    else if (!settle(sub, &call->history))
        ask(sub);
    else if (sub->sync->result.was_recovering && !sub->sync->result.is_recovered &&
             sub->sync->fails_unrecoverable)
        sync_done(sub, ERROR_UNRECOVERABLE);
    else
        sync_done(sub, ERROR_NONE);
}

static void history_done(struct reply *r) {
    struct history_reply *h = list_entry(r, struct history_reply, reply);
    struct history_call *call = list_entry(h, struct history_call, history);
    struct client *c = sessions_find(call->sessions, call->client);
    if (call->sub)
        answered(call);
    if (c)
        client_call_answered(c);
    history_reply_fini(h);
    mem_free(call);
}

static void ask(struct subscription *sub) {
    struct client *c = sub->client;
    struct sessions *s = c->sessions;
    struct sync *y = sub->sync;
    struct history_call *call = mem_zalloc(sizeof(*call));
    struct history_reply *h = &call->history;
    h->reply = (struct reply){.to = s->mailbox, .done = history_done};
    h->may_lag = true; /* what is missing comes live */
    if (is_cache(sub)) {
        h->is_reverse = true;
        h->limit = 1;
    } else if (y->wants_recovery) {
        h->has_since = true;
        h->since = y->since;
        h->limit = recovery_limit(sub) + 1;
        h->max_bytes = s->config->client_queue_max_size_bytes / 2;
    }
    call->sessions = s;
    call->client = (struct client_handle){c->slot, c->generation};
    call->sub = sub;
    y->call = call;
    y->attempts++;
    release_numbered(y);
    c->open_calls++;
    s->broker->ops->history(s->broker, sub->hub.channel->node.key, h);
}

void sync_start(struct subscription *sub) {
    if (sub->is_positioned || (is_cache(sub) && sub->options->auto_cache_recover)) {
        sync_of(sub);
        ask(sub);
    } else {
        sync_done(sub, ERROR_NONE);
    }
}

void sync_end(struct subscription *sub) {
    struct sync *y = sub->sync;
    if (!y)
        return;
    if (y->call)
        y->call->sub = NULL;
    release_held(y);
    release_items(&y->result);
    mem_free(y->held);
    mem_free(y);
    sub->sync = NULL;
}

/* --- live ------------------------------------------------------------------------------------- */

enum sync_verdict sync_advance(struct subscription *sub, const struct msg *m) {
    struct position *p = &sub->position;
    if (!is_numbered(m))
        return SYNC_DELIVER;
    if (has_epoch(p) && !position_is_same_epoch(p, &m->position))
        return SYNC_INSUFFICIENT;
    if (m->position.offset <= p->offset)
        return SYNC_DROP;
    if (m->position.offset != p->offset + 1)
        return SYNC_INSUFFICIENT;
    *p = m->position;
    return SYNC_DELIVER;
}

/* Backwards: who is told leaves the list. */
void sync_jump(struct hub_channel *hc, const struct position *top) {
    for (uint32_t i = hc->sub_count; i-- > 0;) {
        struct subscription *sub = list_entry(hc->subs[i], struct subscription, hub);
        if (sub->state == SUBSCRIPTION_LIVE && sub->is_positioned &&
            (sub->position.offset != top->offset || !position_is_same_epoch(&sub->position, top)))
            subscription_insufficient(sub);
    }
}

struct check_call {
    struct history_reply history;
    struct sessions *sessions;
    struct hub_channel *channel; /* pinned */
};

/* All publications up to the top have come before this answer, or never will. */
static void check_done(struct reply *r) {
    struct history_reply *h = list_entry(r, struct history_reply, reply);
    struct check_call *call = list_entry(h, struct check_call, history);
    struct hub_channel *hc = call->channel;
    if (r->result == BROKER_OK)
        sync_jump(hc, &h->top);
    if (hub_unpin(hc))
        client_channel_idle(call->sessions, hc);
    history_reply_fini(h);
    mem_free(call);
}

void sync_check(struct subscription *sub, uint64_t now_ms) {
    struct sessions *s = sub->client->sessions;
    struct hub_channel *hc = sub->hub.channel;
    uint64_t delay_ms = s->config->client_channel_position_check_delay_ms;
    if (!sub->is_positioned || sub->state != SUBSCRIPTION_LIVE || now_ms - hc->heard_ms < delay_ms)
        return;
    struct check_call *call = mem_zalloc(sizeof(*call));
    call->history.reply = (struct reply){.to = s->mailbox, .done = check_done};
    call->history.may_lag = true;
    call->sessions = s;
    call->channel = hc;
    hub_pin(hc);
    hc->heard_ms = now_ms; /* once for all its subscribers here */
    s->broker->ops->history(s->broker, hc->node.key, &call->history);
}
