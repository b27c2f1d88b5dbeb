/* The output queue: against a plain array, whole frames per write, the shared join, and that
 * nothing is held when it is idle.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/outq.c"

#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MODEL_MAX = 8192 };

static struct outq_pool pool;

static int start(void **state) {
    (void)state;
    outq_pool_init(&pool);
    return 0;
}

static int stop(void **state) {
    (void)state;
    outq_pool_fini(&pool);
    return 0;
}

static struct frame *frame_of(size_t size_bytes, char fill) {
    static char bytes[4 * FRAME_PART_MAX_BYTES];
    memset(bytes, fill, size_bytes);
    return frame_create_plain((struct str){bytes, size_bytes});
}

static void push_new(struct outq *q, size_t size_bytes, char fill) {
    struct frame *f = frame_of(size_bytes, fill);
    outq_push(q, &pool, f);
    frame_unref(f);
}

static void assert_is_idle(const struct outq *q) {
    assert_true(outq_is_empty(q));
    assert_null(q->first);
    assert_null(q->last);
    assert_int_equal(q->size_bytes, 0);
}

static void an_idle_queue_holds_no_memory(void **state) {
    (void)state;
    struct outq q = {0};
    assert_is_idle(&q);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            push_new(&q, 10, 'a');
        assert_int_equal(q.size_bytes, 1000);
        outq_pop(&q, &pool, 100);
        assert_is_idle(&q);
    }
    push_new(&q, 10, 'a');
    outq_clear(&q, &pool);
    assert_is_idle(&q);
    outq_clear(&q, &pool); /* twice is fine */
}

static void chunks_are_used_again(void **state) {
    (void)state;
    struct outq q = {0};
    for (int i = 0; i < 150; i++)
        push_new(&q, 1, 'a');
    outq_clear(&q, &pool);
    assert_int_equal(pool.free_count, 10);
    for (int i = 0; i < 150; i++)
        push_new(&q, 1, 'a');
    assert_int_equal(pool.free_count, 0);
    outq_clear(&q, &pool);
    assert_int_equal(pool.free_count, 10);
}

static void the_pool_does_not_keep_a_flood(void **state) {
    (void)state;
    struct outq q = {0};
    struct frame *f = frame_of(1, 'a');
    for (int i = 0; i < (POOL_KEEPS_CHUNKS + 100) * OUTQ_CHUNK_FRAMES; i++)
        outq_push(&q, &pool, f);
    outq_clear(&q, &pool);
    assert_int_equal(pool.free_count, POOL_KEEPS_CHUNKS);
    assert_int_equal(f->refs, 1);
    frame_unref(f);
}

static void one_frame_is_written_from_where_it_is(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count = 0;
    struct frame *f = frame_of(100, 'a');
    outq_push(&q, &pool, f);
    struct str bytes = outq_peek(&q, &pool, &count);
    assert_int_equal(count, 1);
    assert_ptr_equal(bytes.p, f->bytes);
    assert_int_equal(bytes.n, 100);
    assert_int_equal(pool.joined_count, 0);
    outq_pop(&q, &pool, 1);
    assert_int_equal(f->refs, 1);
    frame_unref(f);
}

static void a_peek_changes_nothing(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count[2];
    push_new(&q, 100, 'a');
    push_new(&q, 200, 'b');
    struct str first = outq_peek(&q, &pool, &count[0]);
    struct str second = outq_peek(&q, &pool, &count[1]);
    assert_int_equal(count[0], 2);
    assert_int_equal(count[1], 2);
    assert_ptr_equal(first.p, second.p);
    assert_int_equal(first.n, 300);
    assert_int_equal(q.size_bytes, 300);
    outq_clear(&q, &pool);
}

static void a_message_of_many_parts_is_queued_part_by_part(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count;
    struct frame *f = frame_of(2 * FRAME_PART_MAX_BYTES + 10, 'a'); /* 3 parts */
    push_new(&q, 5, 'x');
    outq_push(&q, &pool, f);
    push_new(&q, 5, 'y');
    frame_unref(f);
    assert_int_equal(q.size_bytes, 2 * FRAME_PART_MAX_BYTES + 20);
    const size_t sizes[] = {5, FRAME_PART_MAX_BYTES, FRAME_PART_MAX_BYTES, 15};
    const uint32_t counts[] = {1, 1, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(outq_peek(&q, &pool, &count).n, sizes[i]);
        assert_int_equal(count, counts[i]);
        outq_pop(&q, &pool, count);
    }
    assert_is_idle(&q);
}

static void a_part_over_the_limit_is_written_alone(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count;
    char text[FRAME_PART_MAX_BYTES];
    memset(text, 'a', sizeof(text));
    struct frame *f = frame_create_text((struct str){text, sizeof(text)}); /* 10 bytes over */
    push_new(&q, 5, 'x');
    outq_push(&q, &pool, f);
    assert_int_equal(outq_peek(&q, &pool, &count).n, 5);
    outq_pop(&q, &pool, count);
    assert_int_equal(outq_peek(&q, &pool, &count).n, OUTQ_WRITE_MAX_BYTES + 10);
    assert_int_equal(count, 1);
    outq_clear(&q, &pool);
    frame_unref(f);
}

static void a_write_may_be_full_to_the_last_byte(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count;
    push_new(&q, OUTQ_WRITE_MAX_BYTES - 100, 'a');
    push_new(&q, 100, 'b');
    push_new(&q, 1, 'c');
    assert_int_equal(outq_peek(&q, &pool, &count).n, OUTQ_WRITE_MAX_BYTES);
    assert_int_equal(count, 2);
    outq_clear(&q, &pool);
}

static void a_write_has_a_limit_of_frames(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count;
    for (int i = 0; i < 1000; i++)
        push_new(&q, 2, 'a');
    assert_int_equal(outq_peek(&q, &pool, &count).n, 2 * OUTQ_WRITE_MAX_FRAMES);
    assert_int_equal(count, OUTQ_WRITE_MAX_FRAMES);
    outq_pop(&q, &pool, count);
    assert_int_equal(outq_peek(&q, &pool, &count).n, 2 * (1000 - OUTQ_WRITE_MAX_FRAMES));
    outq_clear(&q, &pool);
}

/* The join of two queues with the same frames is made once: a mark left in its bytes is still
 * there. */
static void equal_queues_share_one_join(void **state) {
    (void)state;
    struct outq a = {0}, b = {0};
    uint32_t count;
    for (int i = 0; i < 20; i++) {
        struct frame *f = frame_of(10, (char)('a' + i));
        outq_push(&a, &pool, f);
        outq_push(&b, &pool, f);
        frame_unref(f);
    }
    outq_peek(&a, &pool, &count);
    pool.joined_bytes.p[0] = '!';
    assert_int_equal(outq_peek(&b, &pool, &count).p[0], '!');
    outq_pop(&a, &pool, count);
    /* The other queue still has them: same frames, same join. */
    assert_int_equal(outq_peek(&b, &pool, &count).p[0], '!');
    outq_clear(&b, &pool);
}

static void queues_that_differ_do_not_share(void **state) {
    (void)state;
    struct outq a = {0}, b = {0}, c = {0};
    uint32_t count;
    struct frame *f[3];
    for (int i = 0; i < 3; i++)
        f[i] = frame_of(10, (char)('a' + i));
    outq_push(&a, &pool, f[0]), outq_push(&a, &pool, f[1]);
    outq_push(&b, &pool, f[1]), outq_push(&b, &pool, f[0]);
    outq_push(&c, &pool, f[0]), outq_push(&c, &pool, f[1]), outq_push(&c, &pool, f[2]);
    assert_memory_equal(outq_peek(&a, &pool, &count).p, "aaaaaaaaaabbbbbbbbbb", 20);
    assert_memory_equal(outq_peek(&b, &pool, &count).p, "bbbbbbbbbbaaaaaaaaaa", 20);
    assert_memory_equal(outq_peek(&c, &pool, &count).p, "aaaaaaaaaabbbbbbbbbbcccccccccc", 30);
    assert_memory_equal(outq_peek(&a, &pool, &count).p, "aaaaaaaaaabbbbbbbbbb", 20);
    outq_clear(&a, &pool), outq_clear(&b, &pool), outq_clear(&c, &pool);
    for (int i = 0; i < 3; i++)
        frame_unref(f[i]);
}

/* Freed and made anew, a frame may lie where the old one lay; the kept join must not be taken for
 * it. */
static void a_join_is_not_mistaken_for_new_frames_at_old_places(void **state) {
    (void)state;
    struct outq q = {0};
    uint32_t count;
    for (int i = 0; i < 1000; i++) {
        char fill = (char)('a' + i % 26);
        push_new(&q, 100, fill);
        push_new(&q, 100, fill);
        struct str bytes = outq_peek(&q, &pool, &count);
        assert_int_equal(bytes.n, 200);
        assert_int_equal(bytes.p[0], fill);
        assert_int_equal(bytes.p[199], fill);
        outq_pop(&q, &pool, count);
        if (i % 3 == 0)
            outq_pool_rest(&pool);
    }
}

static void all_references_come_back(void **state) {
    (void)state;
    struct outq q[2] = {{0}, {0}};
    uint32_t count;
    struct frame *f[40];
    for (int i = 0; i < 40; i++) {
        f[i] = frame_of(10, 'a');
        outq_push(&q[0], &pool, f[i]);
        outq_push(&q[1], &pool, f[i]);
        assert_int_equal(f[i]->refs, 3);
    }
    outq_peek(&q[0], &pool, &count);
    assert_int_equal(f[0]->refs, 4); /* the join */
    outq_pop(&q[0], &pool, count);
    outq_clear(&q[1], &pool);
    assert_int_equal(f[0]->refs, 2);
    outq_pool_rest(&pool);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(f[i]->refs, 1);
        frame_unref(f[i]);
    }
}

/* --- against a model -------------------------------------------------------------------------- */

struct model {
    struct frame *parts[MODEL_MAX]; /* the model holds a reference of its own */
    size_t from, to;
};

static void model_push(struct model *m, struct frame *f) {
    for (; f; f = f->next) {
        assert_true(m->to < MODEL_MAX);
        m->parts[m->to++] = frame_ref(f);
    }
}

static size_t model_bytes(const struct model *m) {
    size_t total = 0;
    for (size_t i = m->from; i < m->to; i++)
        total += m->parts[i]->size_bytes;
    return total;
}

/* The next write is the longest row of whole frames that is allowed. */
static void check_peek(const struct outq *q, const struct model *m, uint32_t *count) {
    struct str bytes = outq_peek(q, &pool, count);
    size_t at = 0, left = m->to - m->from;
    assert_true(*count >= 1 && *count <= left && *count <= OUTQ_WRITE_MAX_FRAMES);
    for (uint32_t i = 0; i < *count; i++) {
        const struct frame *f = m->parts[m->from + i];
        assert_true(at + f->size_bytes <= bytes.n);
        assert_memory_equal(bytes.p + at, f->bytes, f->size_bytes);
        at += f->size_bytes;
    }
    assert_int_equal(at, bytes.n);
    assert_true(bytes.n <= OUTQ_WRITE_MAX_BYTES || *count == 1);
    if (*count < left && *count < OUTQ_WRITE_MAX_FRAMES)
        assert_true(bytes.n + m->parts[m->from + *count]->size_bytes > OUTQ_WRITE_MAX_BYTES);
}

static void model_pop(struct model *m, uint32_t count) {
    for (; count > 0; count--)
        frame_unref(m->parts[m->from++]);
    if (m->from == m->to)
        m->from = m->to = 0;
}

static size_t random_size(struct random *r) {
    switch (random_below(r, 20)) {
    case 0:
        return FRAME_PART_MAX_BYTES + random_below(r, 2 * FRAME_PART_MAX_BYTES);
    case 1:
    case 2:
        return 20000 + random_below(r, 30000);
    default:
        return 1 + random_below(r, 300);
    }
}

static void behaves_like_an_array(void **state) {
    (void)state;
    static struct model models[3];
    struct outq queues[3] = {{0}, {0}, {0}};
    struct random r = {5};
    for (int step = 0; step < 30000; step++) {
        /* Few or many at once, so that chunks are crossed and emptied in all ways. */
        if (random_below(&r, 3) && models[0].to < MODEL_MAX - 10) {
            struct frame *f = frame_of(random_size(&r), (char)('a' + step % 26));
            for (int i = 0; i < 3; i++) {
                if (random_below(&r, 8) == 0 || models[i].to >= MODEL_MAX - 10)
                    continue;
                outq_push(&queues[i], &pool, f);
                model_push(&models[i], f);
            }
            frame_unref(f);
        }
        int i = (int)random_below(&r, 3);
        uint32_t count = 0;
        assert_int_equal(queues[i].size_bytes, model_bytes(&models[i]));
        assert_int_equal(outq_is_empty(&queues[i]), models[i].from == models[i].to);
        if (outq_is_empty(&queues[i]) || random_below(&r, 3) == 0)
            continue;
        check_peek(&queues[i], &models[i], &count);
        outq_pop(&queues[i], &pool, count);
        model_pop(&models[i], count);
    }
    for (int i = 0; i < 3; i++) {
        outq_clear(&queues[i], &pool);
        assert_is_idle(&queues[i]);
        model_pop(&models[i], (uint32_t)(models[i].to - models[i].from));
    }
}

#define OUTQ_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

/* Pushes an open frame of 5 bytes, and a message of two parts that it belongs to. */
static void push_event(struct outq *q) {
    struct frame *head = frame_of(5, 'h');
    head->is_open = true;
    outq_push(q, &pool, head);
    frame_unref(head);
    push_new(q, FRAME_PART_MAX_BYTES + 7, 'b');
}

static void a_cut_leaves_the_rest_of_what_was_begun(void **state) {
    (void)state;
    static const uint32_t left_bytes[] = {0, FRAME_PART_MAX_BYTES + 7, 7, 0};
    for (uint32_t written = 0; written < 4; written++) {
        struct outq q = {0};
        push_event(&q);
        push_event(&q);
        outq_pop(&q, &pool, written);
        outq_cut(&q, &pool);
        assert_int_equal(q.size_bytes, left_bytes[written]);
        outq_cut(&q, &pool); /* the same again */
        assert_int_equal(q.size_bytes, left_bytes[written]);
        push_new(&q, 3, 'c');
        outq_cut(&q, &pool);
        assert_int_equal(q.size_bytes, left_bytes[written]);
        outq_clear(&q, &pool);
        assert_is_idle(&q);
    }
}

static void a_cut_leaves_no_fragment_of_a_websocket_message(void **state) {
    (void)state;
    static char bytes[3 * FRAME_PART_MAX_BYTES];
    struct outq q = {0};
    struct frame *f = frame_create_text((struct str){bytes, sizeof(bytes)});
    outq_push(&q, &pool, f);
    frame_unref(f);
    outq_pop(&q, &pool, 1);
    outq_cut(&q, &pool); /* a close frame may follow a fragment */
    assert_is_idle(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        OUTQ_TEST(an_idle_queue_holds_no_memory),
        OUTQ_TEST(chunks_are_used_again),
        OUTQ_TEST(the_pool_does_not_keep_a_flood),
        OUTQ_TEST(one_frame_is_written_from_where_it_is),
        OUTQ_TEST(a_peek_changes_nothing),
        OUTQ_TEST(a_message_of_many_parts_is_queued_part_by_part),
        OUTQ_TEST(a_part_over_the_limit_is_written_alone),
        OUTQ_TEST(a_write_may_be_full_to_the_last_byte),
        OUTQ_TEST(a_write_has_a_limit_of_frames),
        OUTQ_TEST(equal_queues_share_one_join),
        OUTQ_TEST(queues_that_differ_do_not_share),
        OUTQ_TEST(a_join_is_not_mistaken_for_new_frames_at_old_places),
        OUTQ_TEST(all_references_come_back),
        OUTQ_TEST(a_cut_leaves_the_rest_of_what_was_begun),
        OUTQ_TEST(a_cut_leaves_no_fragment_of_a_websocket_message),
        OUTQ_TEST(behaves_like_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
