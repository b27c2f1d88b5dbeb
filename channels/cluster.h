/* Questions to all nodes, and their answers: what makes many nodes one server for whoever asks it.
 *
 * A question is an operation and a body. It reaches every node there is, the asking one included,
 * is run there by the handler of that operation on one of the workers, and answered. The asker gets
 * all answers at once: when the last node has answered, or when the time is over; nodes that did
 * not answer are named. Which nodes there are, the engine says when it takes the question; an
 * engine of a single process has no say, and the question stays here. A question that cannot be
 * sent reaches nobody, this node neither, and fails at once.
 *
 * Bounded: time, open questions, bytes of a body, of all answers, and of what is being run for
 * others. What is over a bound is not answered, and counted.
 *
 * A node that was frozen may still run, late, what it is asked: "did not answer" is not "was not
 * done".
 *
 * Owns: open questions and answers. Thread: any, but for create, handle, set_broker and destroy,
 * which belong to main before the workers start and after they ended.
 */
#ifndef CARILLON_CHANNELS_CLUSTER_H
#define CARILLON_CHANNELS_CLUSTER_H

#include "channels/broker.h"
#include "server/base/buf.h"

enum { CLUSTER_OPS = 16, CLUSTER_ASK_MS = 1000 };

/* How a node answers; on the wire. */
enum cluster_status {
    CLUSTER_DONE,
    CLUSTER_UNKNOWN_OP,  /* it is older than the asker */
    CLUSTER_BAD_REQUEST, /* it cannot read the body, or refuses what it says */
    CLUSTER_FAILED,      /* its workers were late */
    CLUSTER_SILENT = 255 /* no answer came; never on the wire */
};

/* X(field, name, help) */
#define CLUSTER_COUNTERS(X)                                                                        \
    X(asked, "cluster_asked_total", "Questions to all nodes.")                                     \
    X(silent, "cluster_silent_total", "Nodes that did not answer such a question in time.")        \
    X(refused, "cluster_refused_total",                                                            \
      "Questions refused, from here or of other nodes, because too many were open.")               \
    X(late, "cluster_late_total", "Answers that nobody waited for any more.")                      \
    X(garbage, "cluster_garbage_total", "Notes of other nodes that were none, and were ignored.")

#define CLUSTER_FIELD(field, name, help) _Atomic uint64_t field;
struct cluster_counters {
    CLUSTER_COUNTERS(CLUSTER_FIELD)
};
#undef CLUSTER_FIELD

struct cluster;

/* --- making it -------------------------------------------------------------------------------- */

/* Borrows the mailboxes, one per worker. uid and name are copied. */
struct cluster *cluster_create(const char *uid, const char *name, struct mailbox **boxes,
                               uint32_t worker_count);

/* What the engine is to call; lives as long as the cluster. */
const struct control_sink *cluster_sink(struct cluster *c);

/* Before any question; borrows. */
void cluster_set_broker(struct cluster *c, struct broker *broker);

/* After the broker has stopped: open questions are answered BROKER_UNKNOWN, later ones refused. */
void cluster_stop(struct cluster *c);
void cluster_destroy(struct cluster *c);

/* No other node can be there. */
bool cluster_is_alone(const struct cluster *c);

/* How many nodes there were when it was last asked; at least 1. */
uint32_t cluster_size(struct cluster *c);

const struct cluster_counters *cluster_counters(const struct cluster *c);

/* --- asking ----------------------------------------------------------------------------------- */

struct cluster_node {
    char *uid, *name; /* the name may be empty */
    enum cluster_status status;
    struct buf body; /* of its answer */
};

/* The caller sets reply.to and reply.done. */
struct cluster_call {
    struct reply reply;
    /* out, with BROKER_OK: all nodes, each with its answer, in no order. BROKER_UNAVAILABLE: it was
     * not sent. BROKER_UNKNOWN: whom it reached is not known. */
    struct cluster_node *nodes;
    size_t count;
};

/* Copies the body. Answered after ms at the latest (0: the usual time; no more than
 * BROKER_DEADLINE_MS). */
void cluster_ask(struct cluster *c, struct cluster_call *call, uint8_t op, struct str body,
                 uint32_t ms);
void cluster_call_fini(struct cluster_call *call);

/* To the node `to`, or (STR_NONE) all other nodes; they do not answer. False: it was not sent. */
bool cluster_tell(struct cluster *c, struct str to, uint8_t op, struct str body);

/* Gives up on those that are late; some times a second. */
void cluster_tick(struct cluster *c, uint64_t now_ms);

/* --- answering -------------------------------------------------------------------------------- */

/* A question of another node, or of this one, while it is run. */
struct cluster_request {
    struct control control;
    struct cluster *cluster;
    uint64_t id; /* 0: told, not asked */
    uint8_t op;
    char from[65];
    struct str body;
    char bytes[];
};

/* Runs on a worker, whose struct sessions `reader` is; ends it with cluster_answer(), now or later
 * on any thread. */
typedef void cluster_run_fn(void *arg, struct cluster_request *q, void *reader);

void cluster_handle(struct cluster *c, uint8_t op, cluster_run_fn *run, void *arg);

/* Called on each worker when the engine can serve (again), or when what others told was missed here
 * because too much was being run. */
void cluster_handle_up(struct cluster *c, void (*up)(void *reader));

/* Takes q, copies the body; what was told is only ended. */
void cluster_answer(struct cluster_request *q, enum cluster_status status, struct str body);

#endif
