/* See reasons.h: the texts of both tables.
 *
 * Thread: any (constant).
 */
#include "server/session/reasons.h"

#include <assert.h>

#define REASON_TEXT(name, text) [name] = text,
static const char *const close_texts[] = {CLOSE_REASONS(REASON_TEXT)};
static const char *const error_texts[] = {CLIENT_ERRORS(REASON_TEXT)};
static const char *const unsubscribe_texts[] = {UNSUBSCRIBE_REASONS(REASON_TEXT)};
static const char *const transport_texts[] = {TRANSPORTS(REASON_TEXT)};

const char *transport_text(enum transport t) {
    assert(t < TRANSPORT_COUNT);
    return transport_texts[t];
}

const char *close_reason_text(enum close_reason r) {
    assert(r < CLOSE_REASON_COUNT);
    return close_texts[r];
}

const char *client_error_text(enum client_error e) {
    assert(e < CLIENT_ERROR_COUNT);
    return error_texts[e];
}

const char *unsubscribe_reason_text(enum unsubscribe_reason r) {
    assert(r < UNSUBSCRIBE_REASON_COUNT);
    return unsubscribe_texts[r];
}
