/* See broker.h: what all brokers share.
 *
 * Thread: any.
 */
#include "channels/broker.h"

void broker_answer(struct reply *r, enum broker_result result) {
    if (!r)
        return;
    r->result = result;
    mailbox_post_reply(r->to, r);
}
