/* Fuzzes what the doctor reads from whoever answers: an HTTP head, a body, WebSocket frames. The
 * first byte says which; what comes in pieces must be what comes as a whole.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/doctor/answer.c"

#include "server/doctor/ws_frame.h"

#include <assert.h>
#include <stdlib.h>

#define FRAME_BYTES_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_all(const struct answer_head *h, struct str rest, size_t piece, struct buf *out) {
    struct buf in = {0};
    struct answer_body cut;
    bool is_good = answer_body_begin(&cut, h);
    while (is_good && rest.n) {
        buf_add(&in, str_slice(rest, 0, piece));
        rest = str_slice(rest, piece, rest.n);
        is_good = answer_body_feed(&cut, &in, out);
    }
    buf_fini(&in);
    return is_good;
}

static void try_answer(struct str text) {
    struct answer_head h;
    const char *fault = NULL;
    struct buf whole = {0}, pieces = {0};
    enum answer_state state = answer_head_read(text, &h, &fault);
    assert((state == ANSWER_BAD) == (fault != NULL));
    if (state == ANSWER_DONE) {
        struct str rest = str_slice(text, h.size_bytes, text.n);
        assert(h.size_bytes <= text.n && h.status >= 100 && h.status <= 999);
        bool is_good = read_all(&h, rest, rest.n ? rest.n : 1, &whole);
        bool is_good_in_pieces = read_all(&h, rest, 3, &pieces);
        assert(whole.n <= text.n && pieces.n <= text.n);
        if (is_good && is_good_in_pieces)
            assert(str_equal(buf_str(&whole), buf_str(&pieces)));
    }
    buf_fini(&whole);
    buf_fini(&pieces);
}

static void try_frames(struct str text) {
    struct ws_frame f;
    while (ws_frame_read(text, FRAME_BYTES_MAX, &f) == ANSWER_DONE) {
        assert(f.size_bytes <= text.n && f.payload.n <= FRAME_BYTES_MAX);
        text = str_slice(text, f.size_bytes, text.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = malloc(size - 1 ? size - 1 : 1);
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        try_frames((struct str){copy, size - 1});
    else
        try_answer((struct str){copy, size - 1});
    free(copy);
    return 0;
}
