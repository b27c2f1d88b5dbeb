/* Fuzzes answers to a GET: what is there in pieces is what is there as a whole.
 *
 * Thread: one. Owns: nothing.
 */
#include "auth/http_answer.c"

#include <assert.h>
#include <stdlib.h>

#define MAX_BYTES 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum http_answer_state try_it(struct str text, bool is_end, struct buf *body) {
    const char *fault = NULL;
    enum http_answer_state s = http_answer_read(text, is_end, MAX_BYTES, body, &fault);
    assert((s == HTTP_ANSWER_BAD) == (fault != NULL));
    assert(body->n <= MAX_BYTES && (s == HTTP_ANSWER_DONE || body->n == 0));
    assert(!is_end || s != HTTP_ANSWER_MORE);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole = {0}, piece = {0};
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = malloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    struct str text = {copy, size};
    enum http_answer_state all = try_it(text, true, &whole);
    for (size_t n = 0; n < size; n += 1 + size / 50) {
        piece.n = 0;
        enum http_answer_state s = try_it(str_slice(text, 0, n), false, &piece);
        if (s == HTTP_ANSWER_DONE)
            assert(all == HTTP_ANSWER_DONE && str_equal(buf_str(&piece), buf_str(&whole)));
        if (s == HTTP_ANSWER_BAD)
            assert(all == HTTP_ANSWER_BAD);
    }
    buf_fini(&whole);
    buf_fini(&piece);
    free(copy);
    return 0;
}
