/* What answers mean, and what to do about them: tables.
 *
 * Thread: any (constant).
 */
#ifndef CARILLON_DOCTOR_KNOWN_H
#define CARILLON_DOCTOR_KNOWN_H

#include "server/base/str.h"

/* What Carillon itself says in the body of a refusal: to nobody else would it occur. NULL: it is
 * not Carillon's. Otherwise what to do. */
const char *known_refusal(int status, struct str body);

/* What to do when an origin is refused though none was sent. */
extern const char known_added_origin[];

/* What a status means that somebody else gave to a WebSocket handshake. */
const char *known_status(int status);

/* The server's ping was not answered in time (Centrifugo's disconnect codes). */
enum { CODE_NO_PONG = 3012 };

/* Errors of replies, and codes of close frames. */
const char *known_code(uint64_t code, bool has_token);

#endif
