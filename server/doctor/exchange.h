/* A request and its answer, on a connection of its own. The answer may be a stream: its body comes
 * piece by piece.
 *
 * Thread: main. Owns: the connection and the answer.
 */
#ifndef CARILLON_DOCTOR_EXCHANGE_H
#define CARILLON_DOCTOR_EXCHANGE_H

#include "server/doctor/answer.h"
#include "server/doctor/link.h"

struct request {
    const char *method;
    const char *path;
    struct str headers; /* whole lines, each ending in CRLF; without Host */
    struct str body;
};

struct exchange {
    struct link link;
    struct buf head_text; /* what head borrows */
    struct answer_head head;
    struct answer_body cut;
    struct buf body;
    const char *fault; /* static: why there is no answer */
};

/* Connects, asks and reads the head. False: see fault. exchange_fini() in any case. */
bool exchange_begin(struct exchange *x, const struct target *t, const struct request *q);

/* Some more of the body, until the deadline of the link. False when there is none: the body is
 * whole, or see link.state and fault. */
bool exchange_more(struct exchange *x);

/* Both, with a body of at most max_bytes; a longer one is cut off. */
bool exchange_whole(struct exchange *x, const struct target *t, const struct request *q,
                    size_t max_bytes);

void exchange_fini(struct exchange *x);

/* "nginx/1.22", or what stands for it when the answer does not say. */
struct str exchange_server(const struct exchange *x);

#endif
