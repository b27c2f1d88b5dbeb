/* What the tests of the Centrifugo protocol share: what a client was sent, frame by frame, as text.
 *
 * Include after <cmocka.h>. Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_CENTRIFUGO_TESTING_H
#define CARILLON_TESTS_CENTRIFUGO_TESTING_H

#include "server/base/json_scan.h"
#include "server/protocol/centrifugo.h"
#include "tests/unit/session_testing.h"
#include "tests/unit/ws_frames.h"

/* Appends the payload of each frame, one per line; a close frame as "CLOSE 3501 bad request". */
static inline void frames_to_lines(struct str bytes, struct buf *lines) {
    struct ws_frame f = {0};
    struct json_value value;
    struct json_fault fault;
    while (bytes.n) {
        assert_true(ws_next(&bytes, &f));
        assert_true(f.is_final);
        if (f.opcode == WS_CLOSE) {
            buf_printf(lines, "CLOSE %u ", (unsigned)ws_number(f.payload, 0, 2));
            buf_add(lines, str_slice(f.payload, 2, f.payload.n));
            assert_int_equal(bytes.n, 0); /* the last one */
        } else {
            assert_int_equal(f.opcode, WS_TEXT);
            assert_true(json_scan_all(f.payload, &value, &fault));
            assert_false(value.has_newline);
            buf_add(lines, f.payload);
        }
        buf_add_char(lines, '\n');
    }
}

/* The text with each @ replaced by the client's id. */
static inline void add_with_id(struct buf *b, const char *text, const char *id) {
    for (; *text; text++)
        if (*text == '@')
            buf_add(b, (struct str){id, CLIENT_ID_BYTES});
        else
            buf_add_char(b, *text);
}

/* All frames since the last look are exactly these lines; @ stands for the id of `who`. */
static inline void expect_frames_of(struct wire *w, const char *lines, const char *who) {
    struct buf found = {0}, expected = {0};
    frames_to_lines(wire_news(w), &found);
    add_with_id(&expected, lines, who);
    bool is_same = str_equal(buf_str(&found), buf_str(&expected));
    if (!is_same)
        print_error("to %s\nit sent:\n%.*s\nexpected:\n%.*s\n", last_received,
                    STR_ARG(buf_str(&found)), STR_ARG(buf_str(&expected)));
    buf_fini(&found);
    buf_fini(&expected);
    assert_true(is_same);
}

static inline void expect_frames(struct wire *w, const char *lines) {
    char id[CLIENT_ID_BYTES] = "";
    if (w->client)
        memcpy(id, w->client->id, CLIENT_ID_BYTES);
    expect_frames_of(w, lines, id);
}

static inline struct wire *open_connected(void) {
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{}}");
    turn();
    wire_news(w);
    assert_int_equal(w->client->state, CLIENT_CONNECTED);
    return w;
}

/* One message to a fresh connected client, and all that it is answered. */
static inline void expect_answer(const char *message, const char *lines) {
    struct wire *w = open_connected();
    say(w, message);
    turn();
    expect_frames(w, lines);
    wire_gone(w, CLOSE_PEER);
    turn();
}

#define BAD_REQUEST "CLOSE 3501 bad request\n"

#endif
