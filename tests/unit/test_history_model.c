/* Random calls to history against a naive model, which keeps a short list per channel.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/history.c"

#include "history_testing.h"
#include "random_json.h"

enum { CHANNELS = 8, SIZE_MAX_KEPT = 7, STEPS = 200000 };

struct publication {
    uint64_t offset;
    uint32_t seed; /* of its texts */
};

static struct channel {
    bool exists;
    struct position top;
    struct position last_epoch; /* of the stream before */
    struct publication kept[SIZE_MAX_KEPT + 1];
    uint32_t count;
    uint64_t content_due, meta_due, meta_ttl, version;
    char version_epoch; /* or 0 */
} model[CHANNELS];

static uint64_t now;
static struct random dice = {1};

static uint32_t pick(uint32_t n) {
    return random_below(&dice, n);
}

static struct str channel_name(uint32_t c) {
    return str_slice(STR("abcdefghijklmnop"), c, c + 1 + c % 3);
}

/* All texts of a publication follow from its seed: lengths around those that need one byte more. */
static struct msg_parts parts_of(uint32_t c, uint32_t seed) {
    static const size_t lengths[] = {0, 1, 0, 127, 128, 0, 300, 20000};
    static char pool[32768];
    struct msg_parts p = {.channel = channel_name(c)};
    struct str *texts[] = {&p.data, &p.tags, &p.user, &p.client, &p.conn_info, &p.chan_info};
    for (size_t i = 0; pool[0] == 0 && i < sizeof(pool); i++)
        pool[i] = (char)(1 + i * i % 251);
    for (int i = 0; i < TEXTS; i++)
        *texts[i] = (struct str){pool + (seed >> i) % 1024, lengths[seed >> (3 * i) & 7]};
    return p;
}

static size_t record_bytes_of(struct msg_parts p) {
    size_t bytes;
    mem_free(pack(&p, &bytes));
    return bytes;
}

static struct channel *model_now(uint32_t c) {
    struct channel *x = &model[c];
    if (x->count && x->content_due <= now)
        x->count = 0;
    if (x->exists && x->meta_due <= now)
        *x = (struct channel){.last_epoch = x->top};
    return x;
}

static void model_read_meta(struct channel *x) {
    if (x->exists && now + x->meta_ttl > x->meta_due)
        x->meta_due = now + x->meta_ttl;
}

static void expect_parts(const struct msg_parts *got, const struct msg_parts *expected) {
    assert_true(str_equal(got->channel, expected->channel) && got->kind == MSG_PUBLICATION);
    assert_true(str_equal(got->data, expected->data) && str_equal(got->tags, expected->tags));
    assert_true(str_equal(got->user, expected->user) && str_equal(got->client, expected->client));
    assert_true(str_equal(got->conn_info, expected->conn_info));
    assert_true(str_equal(got->chan_info, expected->chan_info));
}

static void expect_top(const struct channel *x, struct position got) {
    if (x->exists)
        assert_memory_equal(&got, &x->top, sizeof(got));
    assert_int_equal(got.offset, x->top.offset);
    assert_false(is_same_epoch(got, x->last_epoch));
}

static void model_add(struct channel *x, const struct msg *m, const struct keep *k, uint32_t seed) {
    uint32_t size = k->ttl_ms ? k->size : 0;
    x->top.offset++;
    if (!x->exists)
        memcpy(x->top.epoch, m->position.epoch, EPOCH_BYTES);
    x->exists = true;
    x->kept[x->count++] = (struct publication){x->top.offset, seed};
    while (x->count > size)
        memmove(x->kept, x->kept + 1, --x->count * sizeof(*x->kept));
    x->content_due = now + k->ttl_ms;
    x->meta_ttl = k->meta_ttl_ms;
    x->meta_due = now + (x->count && k->ttl_ms > k->meta_ttl_ms ? k->ttl_ms : k->meta_ttl_ms);
}

static void random_add(uint32_t c) {
    static const uint32_t sizes[] = {0, 1, 2, 5, 5, SIZE_MAX_KEPT, SIZE_MAX_KEPT};
    static const uint32_t ttls[] = {0, 40, 200, 200, 900};
    struct channel *x = model_now(c);
    uint32_t seed = pick(1u << 30);
    struct keep k = {sizes[pick(7)], ttls[pick(5)], 1 + pick(1500)};
    char version_epoch = "\0\0ef"[pick(4)];
    struct history_version v = {pick(3) ? 0 : 1 + pick(30), {&version_epoch, version_epoch != 0}};
    struct msg_parts parts = parts_of(c, seed);
    struct msg *m = msg_create(&parts);
    bool is_stale = v.number && x->exists && v.number <= x->version &&
                    (!version_epoch || version_epoch == x->version_epoch);
    assert_int_equal(history_add(&h, m, &k, &v, now), !is_stale);
    if (!is_stale) {
        model_add(x, m, &k, seed);
        if (v.number) {
            x->version = v.number;
            x->version_epoch = version_epoch;
        }
    }
    expect_top(x, m->position);
    msg_unref(m);
}

/* What the naive reader would give: indices into kept. */
static uint32_t model_read(const struct channel *x, uint32_t c, const struct history_reply *r,
                           uint32_t *found, bool *is_cut) {
    uint32_t count = 0;
    size_t bytes = 0;
    bool is_open = !r->has_since || !r->is_reverse || r->since.offset == x->top.offset + 1;
    for (uint32_t n = 0; n < x->count; n++) {
        uint32_t i = r->is_reverse ? x->count - 1 - n : n;
        if (r->has_since && r->is_reverse && x->kept[i].offset + 1 == r->since.offset)
            is_open = true;
        bool is_wanted =
            !r->has_since || (r->is_reverse ? is_open : x->kept[i].offset > r->since.offset);
        if (!is_wanted || count >= r->limit)
            continue;
        bytes += record_bytes_of(parts_of(c, x->kept[i].seed)) + HISTORY_FRAME_BYTES;
        *is_cut = *is_cut || (r->max_bytes && bytes > r->max_bytes && count);
        if (!*is_cut)
            found[count++] = i;
    }
    return count;
}

static void random_read(uint32_t c) {
    struct channel *x = model_now(c);
    uint32_t found[SIZE_MAX_KEPT];
    bool is_cut = false;
    struct history_reply r = {.has_since = pick(3),
                              .is_reverse = pick(2),
                              .limit = pick(2) ? UINT32_MAX : pick(9),
                              .max_bytes = pick(2) ? 0 : 1 + pick(2000),
                              .is_cut = pick(2),
                              .is_other_epoch = pick(2)};
    model_read_meta(x);
    r.since = pick(2) ? x->top : (struct position){0};
    r.since.offset =
        x->top.offset + 3 - pick(x->top.offset < 12 ? (uint32_t)x->top.offset + 4 : 14);
    bool is_other_epoch = r.has_since && x->exists && r.since.epoch[0] && pick(8) == 0;
    if (is_other_epoch)
        r.since.epoch[pick(EPOCH_BYTES)] ^= 1;
    uint32_t count = is_other_epoch ? 0 : model_read(x, c, &r, found, &is_cut);
    history_read(&h, channel_name(c), &r, now);
    expect_top(x, r.top);
    assert_int_equal(r.is_other_epoch, is_other_epoch);
    assert_int_equal(r.count, count);
    assert_int_equal(r.is_cut, is_cut);
    for (uint32_t i = 0; i < count; i++) {
        struct msg_parts expected = parts_of(c, x->kept[found[i]].seed);
        expect_parts(&r.items[i]->parts, &expected);
        assert_int_equal(r.items[i]->position.offset, x->kept[found[i]].offset);
        assert_memory_equal(r.items[i]->position.epoch, x->top.epoch, EPOCH_BYTES);
    }
    free_items(&r);
}

static void random_other_call(uint32_t c) {
    struct channel *x = model_now(c);
    struct position p;
    struct str data = STR_NONE;
    switch (pick(4)) {
    case 0:
        history_top(&h, channel_name(c), now, &p);
        model_read_meta(x);
        expect_top(x, p);
        break;
    case 1:
        if (x->count)
            data = parts_of(c, x->kept[x->count - 1].seed).data;
        assert_true(str_equal(history_last_data(&h, channel_name(c), now), data));
        break;
    case 2:
        history_remove(&h, channel_name(c));
        x->count = 0;
        break;
    default:
        history_expire(&h, now, 1 + pick(10));
        break;
    }
}

static void expect_as_in_the_model(void) {
    struct history_counts counts = {0};
    uint64_t channels = 0, messages = 0;
    expect_consistent();
    history_expire(&h, now, UINT32_MAX);
    expect_consistent();
    history_count(&h, &counts);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        channels += model_now(c)->exists;
        messages += model_now(c)->count;
    }
    assert_int_equal(counts.channels, channels);
    assert_int_equal(counts.messages, messages);
}

static void random_calls_agree_with_a_naive_model(void **state) {
    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t c = pick(CHANNELS), what = pick(20);
        if (what < 9)
            random_add(c);
        else if (what < 15)
            random_read(c);
        else if (what < 19)
            random_other_call(c);
        else
            now += pick(8) ? pick(60) : pick(1200);
        if (step % 64 == 0)
            expect_as_in_the_model();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(random_calls_agree_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
