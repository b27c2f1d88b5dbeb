/* Who somebody is, as clients and back ends read it: {"user":...,"client":...} and the infos.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_SESSION_CLIENT_INFO_H
#define CARILLON_SESSION_CLIENT_INFO_H

#include "channels/msg.h"
#include "server/base/buf.h"

/* Appends the JSON object. */
void client_info_add(struct buf *b, const struct msg_parts *p);

#endif
