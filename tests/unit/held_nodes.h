/* A stub broker (stub_broker.h) with other nodes: notes to them are kept for the test, which says
 * who is there and what they answer.
 *
 * Include once, after session_testing.h or what includes it. Thread: one. Owns: what it keeps.
 */
#ifndef CARILLON_TESTS_HELD_NODES_H
#define CARILLON_TESTS_HELD_NODES_H

#include "channels/cluster_envelope.h"
#include "tests/unit/session_testing.h"

static struct held {
    struct broker_ops ops;
    struct broker broker;
    struct buf bytes; /* of the last note */
    struct cluster_envelope note;
    unsigned note_count;
    struct control_reply *owed;
    struct reply *numbers[64]; /* who asked for a number */
    unsigned number_count;
    bool is_away;
} held;

static bool held_control(struct broker *b, struct str to, struct str bytes,
                         struct control_reply *r) {
    (void)b;
    (void)to;
    if (held.is_away) {
        if (r)
            broker_answer(&r->reply, BROKER_UNAVAILABLE);
        return false;
    }
    buf_clear(&held.bytes);
    buf_add(&held.bytes, bytes);
    assert_true(cluster_envelope_read(buf_str(&held.bytes), &held.note));
    held.note_count++;
    if (r)
        held.owed = r;
    return true;
}

static void held_number(struct broker *b, struct reply *r) {
    (void)b;
    if (held.is_away)
        broker_answer(r, BROKER_UNAVAILABLE);
    else
        held.numbers[held.number_count++] = r;
}

static const char *held_trouble(struct broker *b) {
    (void)b;
    return held.is_away ? "the engine is away" : NULL;
}

/* After bench_start(stub_broker_create). */
static inline void held_start(void) {
    held = (struct held){.ops = *bench.broker->ops};
    held.ops.control = held_control;
    held.ops.next_number = held_number;
    held.ops.trouble = held_trouble;
    bench.broker->ops = &held.ops;
}

/* Before bench_stop(). */
static inline void held_stop(void) {
    if (held.owed)
        broker_answer(&held.owed->reply, BROKER_UNAVAILABLE);
    for (unsigned i = 0; i < held.number_count; i++)
        if (held.numbers[i])
            broker_answer(held.numbers[i], BROKER_UNAVAILABLE);
    held.owed = NULL;
    held.number_count = 0;
    take_mail();
    buf_fini(&held.bytes);
}

/* "uid name uid name": this node is one of them, if at all. What was asked comes here, too. */
static inline void held_say_who(const char *words) {
    struct control_reply *r = held.owed;
    struct str rest = str_of(words), uid, name;
    struct buf note = {0};
    buf_add(&note, buf_str(&held.bytes));
    held.owed = NULL;
    r->nodes = mem_array(16, sizeof(*r->nodes));
    while (str_cut(&rest, ' ', &uid) && str_cut(&rest, ' ', &name))
        r->nodes[r->count++] =
            (struct control_node){mem_strndup(uid.p, uid.n), mem_strndup(name.p, name.n)};
    broker_answer(&r->reply, BROKER_OK);
    cluster_sink(bench.cluster)->take(cluster_sink(bench.cluster)->arg, buf_str(&note));
    buf_fini(&note);
    turn();
}

static inline void held_arrives(const struct cluster_envelope *e) {
    struct buf b = {0};
    cluster_envelope_add(&b, e);
    cluster_sink(bench.cluster)->take(cluster_sink(bench.cluster)->arg, buf_str(&b));
    buf_fini(&b);
    turn();
}

static inline void held_answers(const char *uid, uint64_t id, uint8_t status, struct str body) {
    held_arrives(&(struct cluster_envelope){
        .kind = CLUSTER_ANSWERS, .status = status, .id = id, .from = str_of(uid), .body = body});
}

#endif
