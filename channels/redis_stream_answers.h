/* Answering those who ask for the history of a channel: from what the node has seen, or with one
 * reading for all that wait.
 *
 * Owns: the readings of a stream, and the questions while they wait. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_STREAM_ANSWERS_H
#define CARILLON_CHANNELS_REDIS_STREAM_ANSWERS_H

#include "channels/redis_history.h"
#include "channels/redis_stream.h"

struct redis_streams;

/* A reading for a stream; outlives it when that ends. */
struct stream_read {
    struct redis_reading reading;
    struct redis_streams *owner;
    struct redis_stream *stream; /* NULL: it has ended */
    struct position asked;       /* `last` when it was started */
    uint32_t held_count;         /* of the stream then */
    bool is_stale;               /* the history was removed since: it is not to be kept */
    char channel[];
};

/* Gives a reading that is not started. */
struct stream_read *stream_read_create(struct redis_stream *t,
                                       void (*done)(struct redis_reading *r,
                                                    enum redis_outcome outcome));

/* False, and it is freed, when the link is not open. */
bool stream_read_start(struct stream_read *read);
void stream_read_free(struct stream_read *read);

/* Since it began the stream went on to another epoch than the one that was read: it may have been
 * read before that, because the two links have no order, and says nothing. */
bool stream_read_is_outdated(const struct stream_read *read);

/* The question of a call. */
struct history_reply *redis_stream_question(const struct redis_call *c);

/* Takes a call; answers it with a reading of its own. */
void redis_stream_ask_redis(struct redis_streams *s, struct redis_call *c);

/* Answers those that wait, as far as possible, and starts a reading for the others. */
void redis_stream_answer(struct redis_stream *t);

/* Refuses those that wait. */
void redis_stream_refuse(struct redis_stream *t);

/* The stream ends: those that wait are answered all the same. */
void redis_stream_answers_end(struct redis_stream *t);

/* --- by redis_streams.c ----------------------------------------------------------------------- */

/* A reading for those who asked is over: holes are next. */
void redis_stream_reading_over(struct redis_stream *t);

void redis_streams_note_tail(struct redis_stream *t, size_t bytes_before);

#endif
