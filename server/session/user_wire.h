/* A struct user_call as bytes, for other nodes.
 *
 * The options of a channel do not travel: each node takes its own. Those that the call overrides
 * do.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_SESSION_USER_WIRE_H
#define CARILLON_SESSION_USER_WIRE_H

#include "server/base/buf.h"
#include "server/session/user_calls.h"

/* Appends it. */
void user_wire_add(struct buf *b, const struct user_call *q);

/* A call that was read; its texts are those of the bytes. */
struct user_wire {
    struct user_call call;
    struct channel_options options;
    struct str *whitelist;
};

/* False when the bytes say nothing that can be done under these rules; user_wire_fini() in any
 * case. */
bool user_wire_read(struct str bytes, const struct rules *rules, struct user_wire *out);
void user_wire_fini(struct user_wire *w);

#endif
