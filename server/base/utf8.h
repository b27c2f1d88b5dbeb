/* UTF-8 that comes in pieces: checked as soon as it is certain (RFC 3629: no overlong forms, no
 * surrogates, at most U+10FFFF).
 *
 * A zeroed struct utf8 is the start of a text. Whole texts: str_is_utf8().
 *
 * Thread: one at a time.
 */
#ifndef CARILLON_UTF8_H
#define CARILLON_UTF8_H

#include "server/base/str.h"

struct utf8 {
    uint8_t missing;  /* continuation bytes of the current code point */
    uint8_t min, max; /* what the next one may be, while missing > 0 */
};

/* False once the text cannot become valid any more. */
bool utf8_feed(struct utf8 *u, struct str piece);

/* Is the text so far whole? */
static inline bool utf8_is_whole(const struct utf8 *u) {
    return u->missing == 0;
}

#endif
