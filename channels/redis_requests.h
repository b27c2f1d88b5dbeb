/* The commands of one link to Redis that have no answer yet, in the order in which they were sent:
 * Redis answers in that order.
 *
 * A ring that grows; its owner bounds what it holds. One command may have several answers
 * (SUBSCRIBE: one per channel).
 *
 * Owns: its ring. Thread: the link's.
 */
#ifndef CARILLON_CHANNELS_REDIS_REQUESTS_H
#define CARILLON_CHANNELS_REDIS_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redisReply; /* hiredis */

enum redis_outcome {
    REDIS_ANSWERED,
    REDIS_UNSENT, /* the link broke before a byte of it went out */
    REDIS_LOST,   /* it went out and no answer came: done or not */
};

/* Called once per answer, or once, with reply NULL, when the link breaks. Borrows the reply. */
typedef void redis_answer_fn(void *arg, enum redis_outcome outcome, const struct redisReply *reply);

struct redis_request {
    redis_answer_fn *answer;
    void *arg;
    uint32_t answers_left;
    uint64_t starts_at; /* its first byte in all that the link ever wrote */
    uint64_t deadline_ms;
};

struct redis_requests {
    struct redis_request *items;
    size_t capacity; /* a power of two, or 0 */
    size_t first, count;
};

void redis_requests_fini(struct redis_requests *r);

void redis_requests_push(struct redis_requests *r, struct redis_request request);

/* The oldest one; NULL when there is none. */
struct redis_request *redis_requests_first(struct redis_requests *r);

/* Removes the oldest one. */
struct redis_request redis_requests_pop(struct redis_requests *r);

#endif
