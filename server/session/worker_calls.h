/* Something to be done on several workers, each on its own thread, with one answer when all have
 * done it.
 *
 * The caller embeds a struct worker_call in a struct of its own. `run` is called on each of the
 * workers, in any order or at the same time, in the order of their mails; `done` once on the
 * caller's worker, in a later turn, after BROKER_DEADLINE_MS at the latest; `free` after that, when
 * nobody uses the call any more.
 *
 * Thread: the caller's worker, but for `run`. Owns: the notes on their way.
 */
#ifndef CARILLON_SESSION_WORKER_CALLS_H
#define CARILLON_SESSION_WORKER_CALLS_H

#include "channels/broker.h"
#include "server/base/list.h"

struct sessions;
struct worker_note;

struct worker_call {
    /* By the caller; `run` may be called on many threads at once. */
    void (*run)(struct worker_call *call, struct sessions *s);
    /* BROKER_OK, or BROKER_UNKNOWN: not all workers have answered in time. */
    void (*done)(struct worker_call *call, enum broker_result result);
    void (*free)(struct worker_call *call);
    /* The rest is for worker_calls.c: */
    struct reply reply; /* comes when all have done it */
    struct list in_sessions;
    struct worker_note *notes;
    _Atomic uint32_t left_count;
    bool is_answered;
};

/* `workers`: a bit each; none is fine. */
void worker_call_start(struct sessions *s, struct worker_call *call, uint64_t workers);

/* Gives up on those that are late; called some times a second. */
void worker_calls_tick(struct sessions *s);

#endif
