/* See utf8.h. The first continuation byte has a narrower range after some lead bytes (RFC 3629
 * section 4); that is all that tells overlong forms, surrogates and too large values from good
 * ones.
 *
 * Thread: one at a time.
 */
#include "server/base/utf8.h"

#include <string.h>

static bool begin(struct utf8 *u, uint8_t lead) {
    u->min = 0x80;
    u->max = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        u->missing = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        u->missing = 2;
        if (lead == 0xe0)
            u->min = 0xa0;
        if (lead == 0xed)
            u->max = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        u->missing = 3;
        if (lead == 0xf0)
            u->min = 0x90;
        if (lead == 0xf4)
            u->max = 0x8f;
    } else {
        return false;
    }
    return true;
}

bool utf8_feed(struct utf8 *u, struct str piece) {
    for (size_t at = 0; at < piece.n; at++) {
        if (u->missing == 0) {
            at += str_ascii_length(str_slice(piece, at, piece.n));
            if (at == piece.n)
                break;
        }
        uint8_t byte = (uint8_t)piece.p[at];
        if (u->missing == 0) {
            if (byte >= 0x80 && !begin(u, byte))
                return false;
            continue;
        }
        if (byte < u->min || byte > u->max)
            return false;
        u->missing--;
        u->min = 0x80;
        u->max = 0xbf;
    }
    return true;
}
