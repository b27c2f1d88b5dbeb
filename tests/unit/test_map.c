/* The hash map: growing, shrinking, removal, walking, and a random run against a plain array.
 *
 * Thread: main; map_hash() also in four threads at once. Owns: nothing.
 */
#include "server/base/map.c"

#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ITEM_COUNT 2000

struct item {
    struct map_node node;
    char name[16];
    bool is_in;
    bool is_seen;
};

static struct item items[ITEM_COUNT];

static struct str name_of(const struct item *item) {
    return str_of(item->name);
}

static struct item *item_of(struct map_node *node) {
    return (struct item *)(void *)((char *)node - offsetof(struct item, node));
}

static int start(void **state) {
    (void)state;
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        items[i].is_in = items[i].is_seen = false;
        snprintf(items[i].name, sizeof(items[i].name), "item-%zu", i);
    }
    return 0;
}

static void insert(struct map *m, size_t i) {
    map_insert(m, &items[i].node, name_of(&items[i]));
    items[i].is_in = true;
}

static void take_out(struct map *m, size_t i) {
    map_remove(m, &items[i].node);
    items[i].is_in = false;
}

/* Each item is found exactly when it is in, and a walk sees exactly those, once. */
static void assert_holds_the_items(const struct map *m) {
    size_t count = 0;
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        items[i].is_seen = false;
        count += items[i].is_in;
        assert_ptr_equal(map_find(m, name_of(&items[i])), items[i].is_in ? &items[i].node : NULL);
    }
    assert_int_equal(m->count, count);
    for (struct map_node *node = map_next(m, NULL); node; node = map_next(m, node)) {
        assert_true(item_of(node)->is_in);
        assert_false(item_of(node)->is_seen);
        item_of(node)->is_seen = true;
        count--;
    }
    assert_int_equal(count, 0);
}

static void an_empty_map_has_nothing(void **state) {
    (void)state;
    struct map m;
    map_init(&m);
    assert_null(map_find(&m, STR("a")));
    assert_null(map_find(&m, STR_NONE));
    assert_null(map_next(&m, NULL));
    assert_null(m.buckets);
    map_fini(&m);
}

static void keys_are_bytes(void **state) {
    (void)state;
    struct map m;
    struct map_node nodes[4];
    struct str keys[] = {STR_NONE, STR("\0"), STR("\0\0"), STR("\0a")};
    map_init(&m);
    for (size_t i = 0; i < 4; i++)
        map_insert(&m, &nodes[i], keys[i]);
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(map_find(&m, keys[i]), &nodes[i]);
        assert_int_equal(nodes[i].hash, map_hash(keys[i]));
        assert_ptr_equal(map_find_hashed(&m, keys[i], map_hash(keys[i])), &nodes[i]);
    }
    assert_null(map_find(&m, STR("\0b")));
    assert_ptr_equal(map_find(&m, STR("")), &nodes[0]);
    map_fini(&m);
}

static void grows_and_shrinks_with_its_entries(void **state) {
    (void)state;
    struct map m;
    map_init(&m);
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        insert(&m, i);
        assert_true(m.count <= m.bucket_count);
    }
    assert_int_equal(m.bucket_count, 2048);
    assert_holds_the_items(&m);
    /* Every third goes first, the others must stay. */
    for (size_t i = 0; i < ITEM_COUNT; i += 3)
        take_out(&m, i);
    assert_holds_the_items(&m);
    for (size_t i = 0; i < ITEM_COUNT - 1; i++) {
        if (items[i].is_in)
            take_out(&m, i);
        assert_true(m.count >= m.bucket_count / 8 || m.bucket_count == BUCKETS_MIN);
    }
    assert_holds_the_items(&m);
    take_out(&m, ITEM_COUNT - 1);
    assert_int_equal(m.bucket_count, BUCKETS_MIN);
    assert_holds_the_items(&m);
    map_fini(&m);
    assert_null(m.buckets);
}

static void one_entry_that_comes_and_goes_allocates_once(void **state) {
    (void)state;
    struct map m;
    map_init(&m);
    insert(&m, 0);
    struct map_node **buckets = m.buckets;
    for (size_t i = 0; i < 100; i++) {
        take_out(&m, 0);
        insert(&m, 0);
        assert_ptr_equal(m.buckets, buckets);
    }
    map_fini(&m);
}

static void entries_of_one_bucket_are_told_apart(void **state) {
    (void)state;
    struct map m;
    size_t in_bucket[3], found = 0;
    map_init(&m);
    /* With four buckets and three entries there is no growth, so these share one. */
    for (size_t i = 0; found < 3; i++)
        if (map_hash(name_of(&items[i])) % BUCKETS_MIN == 1)
            in_bucket[found++] = i;
    for (size_t i = 0; i < 3; i++)
        insert(&m, in_bucket[i]);
    assert_int_equal(m.bucket_count, BUCKETS_MIN);
    assert_holds_the_items(&m);
    /* The one in the middle of the chain, then the ends. */
    take_out(&m, in_bucket[1]);
    assert_holds_the_items(&m);
    take_out(&m, in_bucket[0]);
    assert_holds_the_items(&m);
    take_out(&m, in_bucket[2]);
    assert_holds_the_items(&m);
    map_fini(&m);
}

/* Mostly inserting, then mostly removing, and so on, so that all sizes come up. */
static void behaves_like_an_array(void **state) {
    (void)state;
    struct random r = {4711};
    struct map m;
    map_init(&m);
    for (size_t step = 0; step < 200000; step++) {
        size_t i = random_below(&r, ITEM_COUNT);
        bool is_growing = step / 20000 % 2 == 0;
        bool wants_in = random_below(&r, 10) < (is_growing ? 9 : 1);
        assert_ptr_equal(map_find(&m, name_of(&items[i])), items[i].is_in ? &items[i].node : NULL);
        if (wants_in && !items[i].is_in)
            insert(&m, i);
        else if (!wants_in && items[i].is_in)
            take_out(&m, i);
        if (step % 5000 == 0)
            assert_holds_the_items(&m);
    }
    assert_holds_the_items(&m);
    map_fini(&m);
}

static void *hash_in_thread(void *arg) {
    *(uint64_t *)arg = map_hash(STR("the same"));
    return NULL;
}

/* This test runs first: the threads race for the making of the key. */
static void threads_agree_on_the_hash(void **state) {
    (void)state;
    pthread_t threads[4];
    uint64_t hashes[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_in_thread, &hashes[i]), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(hashes[i] == map_hash(STR("the same")));
    assert_true(map_hash(STR("the same")) != map_hash(STR("the other")));
    assert_false(sodium_is_zero(hash_key, sizeof(hash_key)));
}

static void forget_item(struct map_node *node, void *arg) {
    struct item *i = item_of(node);
    assert_true(i->is_in);
    i->is_in = false;
    ++*(size_t *)arg;
}

static void clearing_gives_each_entry_once_and_leaves_nothing(void **state) {
    struct map m;
    size_t count = 0;
    (void)state;
    map_init(&m);
    map_clear(&m, forget_item, &count);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < ITEM_COUNT; i++)
        insert(&m, i);
    map_clear(&m, forget_item, &count);
    assert_int_equal(count, ITEM_COUNT);
    assert_holds_the_items(&m);
    insert(&m, 0); /* it may be used again */
    assert_holds_the_items(&m);
    map_clear(&m, forget_item, &count);
    assert_null(m.buckets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_agree_on_the_hash),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test_setup(grows_and_shrinks_with_its_entries, start),
        cmocka_unit_test_setup(one_entry_that_comes_and_goes_allocates_once, start),
        cmocka_unit_test_setup(entries_of_one_bucket_are_told_apart, start),
        cmocka_unit_test_setup(behaves_like_an_array, start),
        cmocka_unit_test_setup(clearing_gives_each_entry_once_and_leaves_nothing, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
