/* See broker.h: what all brokers share.
 *
 * Thread: any.
 */
#include "channels/broker.h"

#include "server/base/mem.h"

void broker_answer(struct reply *r, enum broker_result result) {
    if (!r)
        return;
    r->result = result;
    mailbox_post_reply(r->to, r);
}

void history_reply_fini(struct history_reply *r) {
    for (uint32_t i = 0; i < r->count; i++)
        msg_unref(r->items[i]);
    mem_free(r->items);
    r->items = NULL;
    r->count = 0;
}

void presence_reply_fini(struct presence_reply *r) {
    for (uint32_t i = 0; r->members && i < r->client_count; i++)
        msg_unref(r->members[i]);
    mem_free(r->members);
    r->members = NULL;
}

void control_reply_fini(struct control_reply *r) {
    for (size_t i = 0; i < r->count; i++) {
        mem_free(r->nodes[i].uid);
        mem_free(r->nodes[i].name);
    }
    mem_free(r->nodes);
    r->nodes = NULL;
    r->count = 0;
}

void kept_reply_fini(struct kept_reply *r) {
    for (size_t i = 0; i < r->count; i++)
        mem_free(r->items[i].bytes);
    mem_free(r->items);
    r->items = NULL;
    r->count = 0;
}
