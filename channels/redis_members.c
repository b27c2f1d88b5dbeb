/* See redis_members.h. Every member is in one list: clean, fresh, again, later, leaving, gone, or
 * that of the batch that is under way with it; when Redis answers, those that joined become clean
 * and those that left are forgotten.
 *
 * Calls take effect in order, so at most one of fresh and leaving has members: joins are written
 * before a leave is taken, and the other way round.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_members.h"

#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

/* In one call of a script: Redis does nothing else meanwhile. */
enum { NUMBER_BYTES = 10, BATCH_MAX = 100, BATCH_MAX_BYTES = 256 * 1024 };
enum { AGAIN_BATCHES_MAX = 4, REFUSED_PAUSE_BEATS = 10 };
#define SCAN_COUNT "200"

struct member {
    struct map_node node; /* key = "<client> <channel>", as in Redis */
    struct list link;
    struct msg *msg;
    unsigned flags;
    uint32_t max_members;
    bool was_written; /* Redis has confirmed it, so its join was announced */
    bool is_unclear;  /* its join was sent, and no answer came */
    bool is_lost;     /* Redis has lost it since, with all its data */
    bool has_left;    /* it is in leaving, gone or a batch of leaves */
    bool is_missed;   /* of one that left: others know it and must be told */
    char key[];
};

/* Members of one call. */
struct batch {
    struct redis_members *owner;
    struct list members;
    bool is_again;
};

void redis_members_init(struct redis_members *m, struct redis_shared *shared,
                        struct redis_link *link) {
    *m = (struct redis_members){.shared = shared, .link = link};
    map_init(&m->all);
    list_init(&m->clean);
    list_init(&m->fresh);
    list_init(&m->again);
    list_init(&m->later);
    list_init(&m->leaving);
    list_init(&m->gone);
}

static struct str key_of(struct buf *b, const struct msg_parts *p) {
    buf_clear(b);
    buf_add(b, p->client);
    buf_add_char(b, ' ');
    buf_add(b, p->channel);
    return buf_str(b);
}

static struct member *find(struct redis_members *m, struct str key) {
    struct map_node *n = map_find(&m->all, key);
    return n ? list_entry(n, struct member, node) : NULL;
}

static void forget(struct redis_members *m, struct member *member) {
    list_remove(&member->link);
    map_remove(&m->all, &member->node);
    msg_unref(member->msg);
    mem_free(member);
}

static void forget_all(struct redis_members *m, struct list *list) {
    while (!list_is_empty(list))
        forget(m, list_entry(list->next, struct member, link));
}

void redis_members_fini(struct redis_members *m) {
    assert(m->open_batches == 0);
    struct list *const lists[] = {&m->clean, &m->fresh,   &m->again,
                                  &m->later, &m->leaving, &m->gone};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        forget_all(m, lists[i]);
    assert(m->all.count == 0);
    map_fini(&m->all);
    buf_fini(&m->scratch);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void rewrite_in(struct redis_members *m, uint64_t pause_ms) {
    if (!m->needs_rewrite)
        m->rewrite_at_ms = clock_now_ms() + pause_ms;
    m->needs_rewrite = true;
}

/* A foreign value under one of our keys concerns nobody else; otherwise Redis does not write, and
 * everything is written again when it does. */
static bool was_refused(struct redis_members *m, const redisReply *reply) {
    static struct log_limit limit;
    const char *words = redis_error_words(reply);
    if (!words)
        return false;
    log_limited(&limit, LOG_WARN, "presence is not kept reason=\"%s\"", words);
    if (redis_is_error(reply, "WRONGTYPE")) {
        redis_count(&m->shared->counters.garbage);
        return false;
    }
    rewrite_in(m, (uint64_t)m->shared->beat_ms * REFUSED_PAUSE_BEATS);
    return true;
}

/* --- joins ------------------------------------------------------------------------------------ */

static void ignore(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    (void)arg;
    (void)outcome;
    (void)reply;
}

/* All are written: forget that they were gone. */
static void end_rewrite(struct redis_members *m) {
    struct redis_args args = {.count = 0};
    if (!m->is_connected || !redis_link_is_open(m->link))
        return;
    if (!m->is_rewriting || m->is_scanning || m->open_again_batches > 0 ||
        !list_is_empty(&m->again))
        return;
    m->is_rewriting = false;
    if (!m->was_swept || m->needs_rewrite)
        return;
    m->was_swept = false;
    redis_args_add(&args, STR("DEL"));
    redis_args_add(&args, redis_name(m->shared, &m->scratch, REDIS_SWEPT, str_of(m->shared->uid)));
    redis_link_send_args(m->link, &args, (struct redis_waiter){ignore, m, 1});
}

static void batch_written(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct batch *b = arg;
    struct redis_members *m = b->owner;
    m->open_batches--;
    m->open_again_batches -= b->is_again;
    if (outcome != REDIS_ANSWERED) {
        if (outcome == REDIS_LOST)
            list_for_each(l, &b->members) list_entry(l, struct member, link)->is_unclear = true;
        list_splice(&m->fresh, &b->members);
    } else if (was_refused(m, reply)) {
        list_splice(&m->later, &b->members);
    } else {
        list_for_each(l, &b->members) list_entry(l, struct member, link)->was_written = true;
        list_splice(&m->clean, &b->members);
    }
    mem_free(b);
    end_rewrite(m);
}

static const char *announce_word(const struct redis_members *m, const struct member *member) {
    bool is_announced = (member->flags & MEMBER_ANNOUNCE) && (!member->was_written || m->was_swept);
    return is_announced ? "1" : "0";
}

static size_t value_bytes(const struct redis_members *m, const struct member *member) {
    return strlen(m->shared->uid) + 2 + redis_envelope_bytes(&member->msg->parts) + NUMBER_BYTES;
}

/* "<uid> <A or -><envelope>", see redis_shared.h. */
static struct str add_value(struct redis_members *m, const struct member *member) {
    size_t at = m->scratch.n;
    buf_add_z(&m->scratch, m->shared->uid);
    buf_add_z(&m->scratch, member->flags & MEMBER_ANNOUNCE ? " A" : " -");
    redis_envelope_add(&m->scratch, &member->msg->parts);
    return (struct str){m->scratch.p + at, m->scratch.n - at};
}

static struct str add_number(struct redis_members *m, uint32_t number) {
    size_t at = m->scratch.n;
    buf_add_u64(&m->scratch, number);
    return (struct str){m->scratch.p + at, m->scratch.n - at};
}

/* Moves members to a batch; gives the size of their values. */
static size_t fill(const struct redis_members *m, struct batch *b, struct list *from) {
    size_t bytes = 0;
    for (int i = 0; i < BATCH_MAX && bytes < BATCH_MAX_BYTES && !list_is_empty(from); i++) {
        struct member *member = list_entry(from->next, struct member, link);
        bytes += value_bytes(m, member);
        list_remove(&member->link);
        list_append(&b->members, &member->link);
        member->is_lost = false; /* a leave comes behind this batch */
    }
    return bytes;
}

static void write_batch(struct redis_members *m, struct list *from) {
    struct batch *b = mem_zalloc(sizeof(*b));
    struct redis_args args;
    b->owner = m;
    list_init(&b->members);
    b->is_again = from == &m->again;
    size_t bytes = fill(m, b, from);
    redis_script_begin(m->shared, SCRIPT_JOIN, &args);
    buf_clear(&m->scratch);
    buf_reserve(&m->scratch, bytes); /* so that it does not move under the arguments */
    list_for_each(l, &b->members) {
        const struct member *member = list_entry(l, struct member, link);
        redis_args_add(&args, member->msg->parts.channel);
        redis_args_add(&args, member->msg->parts.client);
        redis_args_add(&args, str_of(announce_word(m, member)));
        redis_args_add(&args, add_value(m, member));
        redis_args_add(&args, add_number(m, member->max_members));
    }
    m->open_batches++;
    m->open_again_batches += b->is_again;
    if (!redis_link_send_args(m->link, &args, (struct redis_waiter){batch_written, b, 1}))
        batch_written(b, REDIS_UNSENT, NULL);
}

static bool can_send(const struct redis_members *m) {
    return m->is_connected && redis_link_is_open(m->link);
}

static void flush_joins(struct redis_members *m) {
    while (can_send(m) && !list_is_empty(&m->fresh))
        write_batch(m, &m->fresh);
}

/* --- leaves ----------------------------------------------------------------------------------- */

/* Redis could not be told that it left, or had forgotten it before. */
static void keep_missed(struct redis_members *m, struct member *member) {
    if (member->is_missed) {
        list_remove(&member->link);
        list_append(&m->gone, &member->link);
    } else {
        forget(m, member);
    }
}

static void keep_all_missed(struct redis_members *m, struct list *list) {
    while (!list_is_empty(list))
        keep_missed(m, list_entry(list->next, struct member, link));
}

static void batch_left(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct batch *b = arg;
    struct redis_members *m = b->owner;
    m->open_batches--;
    if (outcome == REDIS_ANSWERED) {
        was_refused(m, reply); /* then it is found in Redis' record */
        forget_all(m, &b->members);
    } else {
        keep_all_missed(m, &b->members);
    }
    mem_free(b);
}

static void take_out_batch(struct redis_members *m) {
    struct batch *b = mem_zalloc(sizeof(*b));
    struct redis_args args;
    b->owner = m;
    list_init(&b->members);
    redis_script_begin(m->shared, SCRIPT_LEAVE, &args);
    for (int i = 0; i < BATCH_MAX && !list_is_empty(&m->leaving); i++) {
        struct member *member = list_entry(m->leaving.next, struct member, link);
        list_remove(&member->link);
        list_append(&b->members, &member->link);
        member->was_written = false; /* not certain from now on */
        redis_args_add(&args, member->msg->parts.channel);
        redis_args_add(&args, member->msg->parts.client);
        redis_args_add(&args, member->flags & MEMBER_ANNOUNCE ? STR("1") : STR("0"));
    }
    m->open_batches++;
    if (!redis_link_send_args(m->link, &args, (struct redis_waiter){batch_left, b, 1}))
        batch_left(b, REDIS_UNSENT, NULL);
}

static void flush_leaves(struct redis_members *m) {
    while (can_send(m) && !list_is_empty(&m->leaving))
        take_out_batch(m);
}

void redis_members_leave(struct redis_members *m, const struct msg *msg, unsigned flags) {
    flush_joins(m);
    struct member *member = find(m, key_of(&m->scratch, &msg->parts));
    if (!member || member->has_left)
        return;
    member->has_left = true;
    member->is_missed = (member->was_written || member->is_unclear) && (flags & MEMBER_ANNOUNCE);
    member->flags = flags;
    if (m->is_connected && !member->is_lost) {
        list_remove(&member->link);
        list_append(&m->leaving, &member->link);
        return;
    }
    keep_missed(m, member);
    if (m->is_connected)
        rewrite_in(m, 0);
}

/* --- calls ------------------------------------------------------------------------------------ */

void redis_members_join(struct redis_members *m, struct msg *msg, const struct member_options *o) {
    flush_leaves(m);
    struct str key = key_of(&m->scratch, &msg->parts);
    struct member *member = find(m, key);
    if (member) { /* the same client once more: its infos may be new */
        msg_unref(member->msg);
        list_remove(&member->link);
        member->has_left = false;
    } else {
        member = mem_zalloc(sizeof(*member) + key.n);
        memcpy(member->key, key.p, key.n);
        list_init(&member->link);
        map_insert(&m->all, &member->node, (struct str){member->key, key.n});
    }
    member->msg = msg;
    member->flags = o->flags;
    member->max_members = o->max_members;
    list_append(&m->fresh, &member->link);
}

void redis_members_flush(struct redis_members *m) {
    flush_joins(m);
    flush_leaves(m);
    while (can_send(m) && !list_is_empty(&m->again) && m->open_again_batches < AGAIN_BATCHES_MAX)
        write_batch(m, &m->again);
}

/* --- Redis' record ---------------------------------------------------------------------------- */

static void scan(struct redis_members *m, struct str cursor);

static void strays_left(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_members *m = arg;
    if (outcome == REDIS_ANSWERED)
        was_refused(m, reply); /* else the next connection finds them again */
}

static void remove_strays(struct redis_members *m, const redisReply *entries) {
    struct redis_args args;
    redis_script_begin(m->shared, SCRIPT_LEAVE, &args);
    size_t none = args.count;
    for (size_t i = 0; i < entries->elements; i++) {
        struct str entry = redis_text(entries->element[i]);
        size_t space = str_find(entry, ' ');
        if (space == entry.n || find(m, entry))
            continue;
        redis_args_add(&args, str_slice(entry, space + 1, entry.n));
        redis_args_add(&args, str_slice(entry, 0, space));
        redis_args_add(&args, STR("s"));
        if (args.count + 3 <= none + (size_t)3 * BATCH_MAX)
            continue;
        redis_link_send_args(m->link, &args, (struct redis_waiter){strays_left, m, 1});
        redis_script_begin(m->shared, SCRIPT_LEAVE, &args);
    }
    if (args.count > none)
        redis_link_send_args(m->link, &args, (struct redis_waiter){strays_left, m, 1});
}

static void scanned(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_members *m = arg;
    m->is_scanning = false;
    if (outcome != REDIS_ANSWERED)
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY) {
        was_refused(m, reply);
    } else {
        struct str cursor = redis_text(reply->element[0]);
        remove_strays(m, reply->element[1]);
        if (cursor.n > 0 && !str_equal(cursor, STR("0")))
            scan(m, cursor);
    }
    end_rewrite(m);
}

static void scan(struct redis_members *m, struct str cursor) {
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("SSCAN"));
    redis_args_add(&args,
                   redis_name(m->shared, &m->scratch, REDIS_MEMBERS, str_of(m->shared->uid)));
    redis_args_add(&args, cursor);
    redis_args_add(&args, STR("COUNT"));
    redis_args_add(&args, STR(SCAN_COUNT));
    m->is_scanning = redis_link_send_args(m->link, &args, (struct redis_waiter){scanned, m, 1});
}

/* Who joined while Redis was away is announced later. */
static void sort_fresh(struct redis_members *m) {
    list_for_each_safe(l, &m->fresh) {
        bool was_written = list_entry(l, struct member, link)->was_written;
        list_remove(l);
        list_append(was_written ? &m->again : &m->later, l);
    }
    rewrite_in(m, (uint64_t)m->shared->beat_ms * 3 / 2);
}

/* Redis has lost its data, so it can tell nobody that one of them leaves. */
static void mark_lost(struct redis_members *m) {
    struct list *const lists[] = {&m->clean, &m->again, &m->later, &m->gone};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        list_for_each(l, lists[i]) list_entry(l, struct member, link)->is_lost = true;
}

/* Those that left and are in Redis' record will be found there, or others took them out. */
static void forget_known(struct redis_members *m) {
    list_for_each_safe(l, &m->gone) {
        struct member *member = list_entry(l, struct member, link);
        if (!member->is_lost)
            forget(m, member);
    }
}

static void announce_gone(struct redis_members *m) {
    list_for_each(l, &m->gone) {
        const struct member *member = list_entry(l, struct member, link);
        struct msg_parts parts = member->msg->parts;
        struct buf name = {0};
        struct redis_args args = {.count = 0};
        parts.kind = MSG_LEAVE;
        buf_clear(&m->scratch);
        redis_envelope_add(&m->scratch, &parts);
        redis_args_add(&args, STR("PUBLISH"));
        redis_args_add(&args, redis_name(m->shared, &name, REDIS_CHANNEL, parts.channel));
        redis_args_add(&args, buf_str(&m->scratch));
        redis_link_send_args(m->link, &args, (struct redis_waiter){ignore, m, 1});
        buf_fini(&name);
    }
    forget_all(m, &m->gone);
}

static void rewrite_all(struct redis_members *m) {
    m->is_rewriting = true;
    m->needs_rewrite = false;
    announce_gone(m);
    list_splice(&m->again, &m->later);
    if (!m->is_scanning)
        scan(m, STR("0"));
}

void redis_members_beat(struct redis_members *m, bool is_first, bool is_known, bool is_swept) {
    bool is_news = is_swept && !m->was_swept;
    if (is_news && m->all.count > 0)
        log_warn("members were taken out by another node, entering them again members=%zu",
                 m->all.count);
    m->was_swept |= is_swept;
    m->is_connected = true;
    if (is_first)
        sort_fresh(m);
    if (!is_known && !is_swept)
        mark_lost(m);
    else if (is_first)
        forget_known(m);
    if (is_first || !is_known || is_news) {
        bool is_announced = m->was_swept && is_first;
        m->is_rewriting = true;
        list_splice(is_announced ? &m->later : &m->again, &m->clean);
    }
    if (is_news && !is_first)
        rewrite_in(m, 0); /* with a look at Redis' record, and an end */
    if (m->needs_rewrite && clock_now_ms() >= m->rewrite_at_ms)
        rewrite_all(m);
    end_rewrite(m); /* there may be nothing to write */
}

void redis_members_lost(struct redis_members *m) {
    assert(m->open_batches == 0 && !m->is_scanning); /* the link has told them */
    m->is_connected = m->is_rewriting = m->needs_rewrite = false;
    list_splice(&m->fresh, &m->again);
    keep_all_missed(m, &m->leaving);
}
