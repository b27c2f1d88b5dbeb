/* What the Centrifugo protocol writes: replies, pushes, and its tables of codes.
 *
 * Members that are zero, false or empty are left out, but for those the schema always has.
 *
 * Thread: any; no state.
 */
#ifndef CARILLON_PROTOCOL_CENTRIFUGO_ENCODE_H
#define CARILLON_PROTOCOL_CENTRIFUGO_ENCODE_H

#include "server/base/buf.h"
#include "server/protocol/protocol.h"

/* Close codes: 3000-3499 make SDKs reconnect, 3500-3999 do not. 0: never sent. */
uint16_t centrifugo_close_code(enum close_reason r);

/* Appends the JSON object of a reply to the client's command. */
void centrifugo_add_reply(struct buf *b, const struct client *c, const struct event *e);

/* Appends the JSON object of a push. */
void centrifugo_add_push(struct buf *b, const struct msg *m, enum encoding how);

/* The same without the {"push":...} around it, as one-way clients get it. Events are pushes or
 * EVENT_CONNECTED; others append nothing. */
void centrifugo_add_bare_push(struct buf *b, const struct msg *m, enum encoding how);
void centrifugo_add_bare_event(struct buf *b, const struct client *c, const struct event *e);

/* Why the server takes a subscription away: 2000-2499 SDKs stay away, 2500-2999 they come back. */
uint16_t centrifugo_unsubscribe_code(enum unsubscribe_reason r);

#endif
