/* What the server says in the client protocol (JSON): replies, pushes, pings.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_DOCTOR_REPLY_H
#define CARILLON_DOCTOR_REPLY_H

#include "server/base/json_scan.h"

struct reply {
    bool is_ping;
    uint64_t id; /* of the command; 0: none */
    uint64_t error_code, disconnect_code;
    struct str message; /* of either; not decoded */
    /* Of connect: */
    bool is_connected;
    struct str version, session, node; /* not decoded: plain in what Carillon says */
    uint64_t ping_s, ttl_s;
};

/* Takes the first one off *text. False when there is no whole one. */
bool reply_cut(struct str *text, struct reply *out);

#endif
