/* A WebSocket as a client has it.
 *
 * Thread: main. Owns: its connection.
 */
#ifndef CARILLON_DOCTOR_WEBSOCKET_H
#define CARILLON_DOCTOR_WEBSOCKET_H

#include "server/doctor/exchange.h"

enum ws_event {
    WS_EVENT_MESSAGE, /* in message */
    WS_EVENT_CLOSED,  /* with code and message, the reason */
    WS_EVENT_LATE,    /* nothing until the deadline */
    WS_EVENT_CUT,     /* the connection ended without a close frame */
    WS_EVENT_BROKEN,  /* what comes is no WebSocket, or is too long */
};

struct websocket {
    struct exchange x; /* the handshake, and the connection after it */
    struct buf message;
    uint16_t code;
};

/* The handshake; origin may be NULL. False: see x, whose body has been read. websocket_close() in
 * any case. */
bool websocket_open(struct websocket *w, const struct target *t, const char *path,
                    const char *origin);

bool websocket_send(struct websocket *w, struct str text);

/* The next message, until the deadline of x.link. Pings of the frame layer are answered. */
enum ws_event websocket_next(struct websocket *w);

void websocket_close(struct websocket *w);

#endif
