/* See redis_acks.h. Publications of a channel are noted in the order of their offsets, so the last
 * one is the highest.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_acks.h"

#include "channels/redis_history.h"
#include "channels/redis_scripts.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

enum { REMEMBERED_MS = 60000, MAX_COUNT = 100000, MAX_BYTES = 16 << 20 };
enum { BATCH = 120, OPEN_BATCHES_MAX = 4 };
_Static_assert(4 * BATCH + 5 <= REDIS_ARGS_MAX, "a batch is one command");

struct ack {
    struct map_node node; /* key = channel */
    struct list in_all, in_unproven;
    struct position place;
    uint64_t at_ms;
    char channel[];
};

void redis_acks_init(struct redis_acks *a, struct redis_shared *shared, struct redis_link *link) {
    *a = (struct redis_acks){.shared = shared, .link = link};
    map_init(&a->channels);
    list_init(&a->all);
    list_init(&a->unproven);
}

static struct ack *oldest(const struct redis_acks *a) {
    return list_is_empty(&a->all) ? NULL : list_entry(a->all.next, struct ack, in_all);
}

static void forget(struct redis_acks *a, struct ack *ack) {
    map_remove(&a->channels, &ack->node);
    list_remove(&ack->in_all);
    list_remove(&ack->in_unproven);
    a->bytes -= sizeof(*ack) + ack->node.key.n;
    mem_free(ack);
}

void redis_acks_fini(struct redis_acks *a) {
    struct ack *ack;
    while ((ack = oldest(a)))
        forget(a, ack);
    map_fini(&a->channels);
}

static struct ack *make(struct redis_acks *a, struct str channel) {
    struct ack *ack = mem_zalloc(sizeof(*ack) + channel.n);
    memcpy(ack->channel, channel.p, channel.n);
    map_insert(&a->channels, &ack->node, (struct str){ack->channel, channel.n});
    list_init(&ack->in_all);
    list_init(&ack->in_unproven);
    a->bytes += sizeof(*ack) + channel.n;
    return ack;
}

void redis_acks_note(struct redis_acks *a, struct str channel, const struct position *place) {
    struct map_node *n = map_find(&a->channels, channel);
    struct ack *ack = n ? list_entry(n, struct ack, node) : make(a, channel);
    ack->place = *place;
    ack->at_ms = clock_now_ms();
    list_remove(&ack->in_all);
    list_append(&a->all, &ack->in_all);
    while (a->channels.count > MAX_COUNT || a->bytes > MAX_BYTES)
        forget(a, oldest(a));
}

void redis_acks_tick(struct redis_acks *a, uint64_t now_ms) {
    struct ack *ack;
    while ((ack = oldest(a)) && now_ms - ack->at_ms > REMEMBERED_MS)
        forget(a, ack);
}

/* --- looking for them ------------------------------------------------------------------------- */

static void start_batches(struct redis_acks *a);

static void end_search(struct redis_acks *a) {
    if (a->open_batches > 0 || !list_is_empty(&a->unproven) || a->lost_count == 0)
        return;
    log_warn("redis has lost what it had acknowledged, subscribers are told channels=%llu",
             (unsigned long long)a->lost_count);
    a->lost_count = 0;
}

static void verified(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_acks *a = arg;
    static struct log_limit limit;
    a->open_batches--;
    if (outcome != REDIS_ANSWERED)
        return;
    if (reply->type == REDIS_REPLY_INTEGER) {
        a->lost_count += (uint64_t)reply->integer;
        a->shared->counters.acks_lost += (uint64_t)reply->integer;
    } else {
        const char *words = redis_error_words(reply);
        log_limited(&limit, LOG_WARN, "cannot look for what was acknowledged reason=\"%s\"",
                    words ? words : "redis answers nonsense");
    }
    start_batches(a);
    end_search(a);
}

/* The arguments are borrowed until the command is made. */
static bool send_batch(struct redis_acks *a) {
    struct redis_args args;
    char offsets[BATCH][24], epochs[BATCH][EPOCH_BYTES];
    redis_script_begin(a->shared, SCRIPT_VERIFY, &args);
    for (uint32_t n = 0; n < BATCH && !list_is_empty(&a->unproven); n++) {
        struct ack *ack = list_entry(a->unproven.next, struct ack, in_unproven);
        list_remove(&ack->in_unproven);
        snprintf(offsets[n], sizeof(offsets[n]), "%llu", (unsigned long long)ack->place.offset);
        redis_args_add(&args, ack->node.key);
        redis_args_add(&args, (struct str){ack->place.epoch, EPOCH_BYTES});
        redis_args_add(&args, str_of(offsets[n]));
        redis_args_add(&args, redis_new_epoch(epochs[n]));
    }
    return redis_link_send_args(a->link, &args, (struct redis_waiter){verified, a, 1});
}

static void start_batches(struct redis_acks *a) {
    while (a->open_batches < OPEN_BATCHES_MAX && !list_is_empty(&a->unproven)) {
        if (!send_batch(a))
            return; /* the next connection begins again */
        a->open_batches++;
    }
}

void redis_acks_connected(struct redis_acks *a) {
    list_for_each(l, &a->all) {
        struct ack *ack = list_entry(l, struct ack, in_all);
        list_remove(&ack->in_unproven);
        list_append(&a->unproven, &ack->in_unproven);
    }
    a->lost_count = 0;
    start_batches(a);
}

void redis_acks_lost(struct redis_acks *a) {
    assert(a->open_batches == 0);
}
