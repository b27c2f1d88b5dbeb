/* See worker_calls.h. One control mail per worker; the worker that is last to run it posts the
 * reply to the caller's mailbox.
 *
 * Thread: see the header.
 */
#include "server/session/worker_calls.h"

#include "server/base/mem.h"
#include "server/session/sessions.h"

struct worker_note {
    struct control control;
    struct worker_call *call;
};

static void answer(struct worker_call *call, enum broker_result result) {
    if (call->is_answered)
        return;
    call->is_answered = true;
    list_remove(&call->in_sessions);
    call->done(call, result);
}

static void all_done(struct reply *r) {
    struct worker_call *call = list_entry(r, struct worker_call, reply);
    answer(call, r->result);
    mem_free(call->notes);
    call->free(call);
}

static void run_note(struct control *control, void *reader) {
    struct worker_note *note = list_entry(control, struct worker_note, control);
    struct worker_call *call = note->call;
    call->run(call, reader);
    if (atomic_fetch_sub(&call->left_count, 1) == 1)
        broker_answer(&call->reply, BROKER_OK);
}

void worker_call_start(struct sessions *s, struct worker_call *call, uint64_t workers) {
    uint32_t count = (uint32_t)__builtin_popcountll(workers), i = 0;
    call->reply = (struct reply){
        .to = s->mailbox, .done = all_done, .deadline_ms = s->now_ms + BROKER_DEADLINE_MS};
    call->is_answered = false;
    call->notes = count ? mem_array(count, sizeof(*call->notes)) : NULL;
    call->left_count = count;
    list_append(&s->worker_calls, &call->in_sessions);
    if (!count)
        broker_answer(&call->reply, BROKER_OK);
    /* Before the last note is posted, nobody can have freed them. */
    for (uint64_t left = workers; left; left &= left - 1, i++) {
        struct worker_note *note = &call->notes[i];
        *note = (struct worker_note){.control = {run_note}, .call = call};
        mailbox_post_control(users_mailbox(s->users, (uint32_t)__builtin_ctzll(left)),
                             &note->control);
    }
}

void worker_calls_tick(struct sessions *s) {
    list_for_each_safe(l, &s->worker_calls) {
        struct worker_call *call = list_entry(l, struct worker_call, in_sessions);
        if (s->now_ms >= call->reply.deadline_ms)
            answer(call, BROKER_UNKNOWN);
    }
}
