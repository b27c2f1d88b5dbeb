/* What happens to the redis-server of a randomized test: it stops, dies, comes back without
 * something, loses its clients. While it is away nobody may ask it here.
 *
 * Include once. Thread: main. Owns: nothing but the state of the server of redis_testing.h.
 */
#ifndef CARILLON_TESTS_CHAOS_REDIS_H
#define CARILLON_TESTS_CHAOS_REDIS_H

#include "tests/unit/chaos_book.h"

static struct trouble {
    enum { RUNNING, FROZEN, DOWN } state;
    uint64_t until_ms;
    uint64_t saved_seq; /* 0: there is no snapshot */
    uint64_t lost_seq;  /* when Redis last lost something */
    uint64_t calm_seq;  /* the last time when all was well */
} trouble;

static inline bool can_ask(void) {
    return trouble.state == RUNNING;
}

static inline void unlink_snapshot(void) {
    char file[96];
    snprintf(file, sizeof(file), "%s/dump.rdb", server.folder);
    unlink(file);
}

static inline void thaw(void) {
    if (trouble.state == FROZEN)
        redis_server_signal(&server, SIGCONT);
    else if (trouble.state == DOWN)
        redis_server_start(&server);
    if (trouble.state != RUNNING)
        note("redis is there again");
    trouble.state = RUNNING;
}

static inline void freeze(uint32_t ms) {
    if (trouble.state != RUNNING)
        return;
    note("redis stops for %u ms", ms);
    redis_server_signal(&server, SIGSTOP);
    trouble.state = FROZEN;
    trouble.until_ms = clock_now_ms() + ms;
}

static inline void kill_redis(bool is_total, uint32_t ms) {
    if (trouble.state == DOWN)
        return;
    if (is_total) {
        unlink_snapshot();
        trouble.saved_seq = 0;
    }
    note("redis is killed for %u ms, %s", ms,
         is_total ? "all is lost" : "what was not saved is lost");
    redis_server_kill(&server);
    note_loss(trouble.saved_seq);
    trouble.lost_seq = next_seq();
    trouble.state = DOWN;
    trouble.until_ms = clock_now_ms() + ms;
}

static inline void save(void) {
    if (!can_ask())
        return;
    note("redis saves");
    redis_server_do(&server, "SAVE");
    trouble.saved_seq = next_seq();
}

/* Cuts links of a node: those whose name ends so. */
static inline void cut(uint32_t node, const char *which) {
    char wanted[48], *end = NULL;
    if (!can_ask())
        return;
    note("node %u loses %s", node, *which ? which : "both links");
    redisReply *list = redis_server_ask(&server, "CLIENT LIST");
    snprintf(wanted, sizeof(wanted), " name=carillon-node-%u-%s", node, which);
    for (char *line = strtok_r(list->str, "\n", &end); line; line = strtok_r(NULL, "\n", &end))
        if (strstr(line, wanted))
            redis_server_do(&server, "CLIENT KILL ID %d", atoi(line + strlen("id=")));
    freeReplyObject(list);
}

static inline void limit_buffers(const char *limit) {
    if (can_ask())
        redis_server_do(&server, "CONFIG SET client-output-buffer-limit %s", limit);
}

/* Where Redis stands with a channel. */
struct standing {
    bool is_there;
    struct position top, previous; /* the end of the epoch before */
};

static inline struct position position_in(const redisReply *epoch, const redisReply *offset) {
    struct position p = {0};
    if (epoch->type != REDIS_REPLY_STRING || offset->type != REDIS_REPLY_STRING ||
        epoch->len != EPOCH_BYTES) /* empty: no position of that epoch is good */
        return p;
    memcpy(p.epoch, epoch->str, EPOCH_BYTES);
    p.offset = strtoull(offset->str, NULL, 10);
    return p;
}

static inline struct standing standing_in_redis(const struct channel *c) {
    struct standing s = {0};
    redisReply *r = redis_server_ask(&server, "HMGET %s%s e s p q", TEST_BASE "meta:", c->name);
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 4) {
        s.top = position_in(r->element[0], r->element[1]);
        s.previous = position_in(r->element[2], r->element[3]);
        s.is_there = s.top.epoch[0];
    }
    freeReplyObject(r);
    return s;
}

/* Has one who is here missed nothing? A new epoch that has no publication yet may be unknown. */
static inline bool is_at_top(const struct standing *s, const struct position *at) {
    return s->is_there && (is_same_place(at, &s->top) ||
                           (is_same_place(at, &s->previous) && at->offset == s->top.offset));
}

#endif
