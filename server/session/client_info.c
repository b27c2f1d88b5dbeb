/* See client_info.h.
 *
 * Thread: any.
 */
#include "server/session/client_info.h"

#include "server/base/json_scan.h"

void client_info_add(struct buf *b, const struct msg_parts *p) {
    buf_add(b, STR("{\"user\":"));
    json_add_string(b, p->user);
    buf_add(b, STR(",\"client\":"));
    json_add_string(b, p->client);
    if (p->conn_info.n) {
        buf_add(b, STR(",\"conn_info\":"));
        buf_add(b, p->conn_info);
    }
    if (p->chan_info.n) {
        buf_add(b, STR(",\"chan_info\":"));
        buf_add(b, p->chan_info);
    }
    buf_add_char(b, '}');
}
