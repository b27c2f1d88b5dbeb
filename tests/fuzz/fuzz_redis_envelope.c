/* Fuzzes the envelope of messages in Redis: whatever comes, reading must not look outside of it,
 * and what is believed is valid and, written again, is the same but for white space.
 *
 * Thread: one. Owns: nothing.
 */
#include "channels/redis_envelope.c"

#include "server/base/mem.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct str s) {
    struct json_value value;
    struct json_fault fault;
    bool is_valid = json_scan_all(s, &value, &fault);
    assert(is_valid && !value.has_newline);
}

static void check(const struct msg_parts *p) {
    assert(p->kind == MSG_PUBLICATION || p->kind == MSG_JOIN || p->kind == MSG_LEAVE);
    assert(str_is_utf8(p->user) && str_is_utf8(p->client));
    if (p->kind == MSG_PUBLICATION)
        check_json(p->data);
    else
        assert(p->client.n > 0 && !p->data.n && !p->tags.n);
    if (p->tags.n)
        check_json(p->tags);
    if (p->conn_info.n)
        check_json(p->conn_info);
    if (p->chan_info.n)
        check_json(p->chan_info);
}

static void check_again(const struct msg_parts *p) {
    struct buf b = {0};
    struct msg_parts again = {0};
    bool is_written = redis_envelope_add(&b, p);
    bool is_read = is_written && redis_envelope_read(buf_str(&b), &again);
    assert(is_read && b.n == redis_envelope_bytes(p) && again.kind == p->kind);
    assert(str_equal(again.data, p->data) && str_equal(again.tags, p->tags));
    assert(str_equal(again.user, p->user) && str_equal(again.client, p->client));
    assert(str_equal(again.conn_info, p->conn_info) && str_equal(again.chan_info, p->chan_info));
    buf_fini(&b);
}

static bool text_has_place(const uint8_t *data, size_t size) {
    return size > REDIS_PLACE_BYTES && data[3] == '2';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = mem_alloc(size);
    struct msg_parts parts = {.channel = STR("news")};
    struct redis_place place;
    if (size)
        memcpy(copy, data, size);
    struct str text = {copy, size};
    if (redis_place_read(&text, &place) && redis_envelope_read(text, &parts)) {
        assert(!place.position.epoch[0] == !text_has_place(data, size));
        assert(str_equal(parts.channel, STR("news")));
        check(&parts);
        check_again(&parts);
    }
    mem_free(copy);
    return 0;
}
