/* Messages: one block with a copy of every text, freed with the last of its references.
 *
 * Thread: main; the counting also in four threads at once. Owns: nothing.
 */
#include "channels/msg.c"

#include "tests/unit/count_frees.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 100000 };

static void a_message_copies_its_parts(void **state) {
    (void)state;
    char texts[7][16] = {"news",      "{\"a\":1}", "{\"t\":\"x\"}", "alice", "client-1",
                         "{\"i\":2}", "[3]"};
    struct str s[7];
    for (size_t i = 0; i < 7; i++)
        s[i] = str_of(texts[i]);
    struct msg *m = msg_create(&(struct msg_parts){.kind = MSG_JOIN,
                                                   .channel = s[0],
                                                   .data = s[1],
                                                   .tags = s[2],
                                                   .user = s[3],
                                                   .client = s[4],
                                                   .conn_info = s[5],
                                                   .chan_info = s[6]});
    uint64_t hash = map_hash(STR("news"));
    memset(texts, 'x', sizeof(texts));
    assert_int_equal(m->parts.kind, MSG_JOIN);
    assert_true(str_equal(m->parts.channel, STR("news")));
    assert_true(str_equal(m->parts.data, STR("{\"a\":1}")));
    assert_true(str_equal(m->parts.tags, STR("{\"t\":\"x\"}")));
    assert_true(str_equal(m->parts.user, STR("alice")));
    assert_true(str_equal(m->parts.client, STR("client-1")));
    assert_true(str_equal(m->parts.conn_info, STR("{\"i\":2}")));
    assert_true(str_equal(m->parts.chan_info, STR("[3]")));
    assert_true(m->channel_hash == hash);
    msg_unref(m);
}

static void absent_parts_are_empty(void **state) {
    (void)state;
    struct msg *m = msg_create(
        &(struct msg_parts){.kind = MSG_PUBLICATION, .channel = STR("c"), .data = STR("1")});
    assert_int_equal(m->parts.tags.n, 0);
    assert_int_equal(m->parts.user.n, 0);
    assert_int_equal(m->parts.client.n, 0);
    assert_int_equal(m->parts.conn_info.n, 0);
    assert_int_equal(m->parts.chan_info.n, 0);
    msg_unref(m);
}

static void its_size_is_that_of_the_struct_and_its_texts(void **state) {
    (void)state;
    struct msg *m = msg_create(
        &(struct msg_parts){.channel = STR("channel"), .data = STR("12345"), .user = STR("bob")});
    assert_int_equal(m->size_bytes, sizeof(struct msg) + 7 + 5 + 3);
    assert_ptr_equal(m->parts.channel.p, m->bytes);
    assert_ptr_equal(m->parts.user.p, m->bytes + 7 + 5);
    msg_unref(m);
}

static void texts_are_bytes_not_strings(void **state) {
    (void)state;
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("a\0b"), .data = STR("\"\0\"")});
    assert_true(str_equal(m->parts.channel, STR("a\0b")));
    assert_true(str_equal(m->parts.data, STR("\"\0\"")));
    assert_true(m->channel_hash == map_hash(STR("a\0b")));
    msg_unref(m);
}

static void a_megabyte_arrives_whole(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    char *bytes = malloc(N);
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)(i * 31);
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("c"), .data = {bytes, N}});
    assert_memory_equal(m->parts.data.p, bytes, N);
    free(bytes);
    msg_unref(m);
}

static void only_the_last_reference_frees_it(void **state) {
    (void)state;
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("c")});
    unsigned before = freed_count;
    assert_ptr_equal(msg_ref(m), m);
    msg_ref(m);
    msg_unref(m);
    msg_unref(m);
    assert_int_equal(freed_count, before);
    assert_int_equal(m->refs, 1);
    msg_unref(m);
    assert_int_equal(freed_count, before + 1);
}

static void *ref_and_unref(void *arg) {
    struct msg *m = arg;
    for (int i = 0; i < ROUNDS; i++)
        msg_unref(msg_ref(m));
    return NULL;
}

static void threads_count_exactly(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    struct msg *m = msg_create(&(struct msg_parts){.channel = STR("c")});
    unsigned before = freed_count;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, m), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(m->refs, 1);
    assert_int_equal(freed_count, before);
    msg_unref(m);
    assert_int_equal(freed_count, before + 1);
}

static pthread_barrier_t start_line;

/* Reads first: to a thread checker, freeing must come after what the others read. */
static void *read_and_unref(void *arg) {
    struct msg *m = arg;
    pthread_barrier_wait(&start_line);
    bool is_same = str_equal(m->parts.data, STR("\"payload\""));
    msg_unref(m);
    return is_same ? arg : NULL;
}

static void whichever_thread_is_last_frees_it_once(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int round = 0; round < 200; round++) {
        struct msg *m = msg_create(&(struct msg_parts){.data = STR("\"payload\"")});
        unsigned before = freed_count;
        void *result;
        pthread_barrier_init(&start_line, NULL, THREADS);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_and_unref, i ? msg_ref(m) : m),
                             0);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], &result), 0);
            assert_non_null(result);
        }
        pthread_barrier_destroy(&start_line);
        assert_int_equal(freed_count, before + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_copies_its_parts),
        cmocka_unit_test(absent_parts_are_empty),
        cmocka_unit_test(its_size_is_that_of_the_struct_and_its_texts),
        cmocka_unit_test(texts_are_bytes_not_strings),
        cmocka_unit_test(a_megabyte_arrives_whole),
        cmocka_unit_test(only_the_last_reference_frees_it),
        cmocka_unit_test(threads_count_exactly),
        cmocka_unit_test(whichever_thread_is_last_frees_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
