/* The intrusive list: order, removal at any place and any number of times, splicing.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

static struct item items[5];
static struct list head, other;

static int start(void **state) {
    (void)state;
    list_init(&head);
    list_init(&other);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_init(&items[i].link);
    }
    return 0;
}

/* The numbers in order, one digit each, forwards and backwards. */
static void assert_order(struct list *of, const char *want) {
    char forwards[8] = "", backwards[8] = "";
    size_t count = 0;
    list_for_each(l, of) {
        assert_true(count < 7);
        forwards[count++] = (char)('0' + list_entry(l, struct item, link)->number);
    }
    for (struct list *l = of->prev; l != of; l = l->prev) {
        assert_true(count > 0);
        backwards[--count] = (char)('0' + list_entry(l, struct item, link)->number);
    }
    assert_int_equal(count, 0);
    assert_string_equal(forwards, want);
    assert_string_equal(backwards, want);
}

static void append_all(void) {
    for (int i = 0; i < 5; i++)
        list_append(&head, &items[i].link);
}

static void keeps_the_order_of_appending(void **state) {
    (void)state;
    assert_true(list_is_empty(&head));
    append_all();
    assert_false(list_is_empty(&head));
    assert_order(&head, "01234");
}

static void inserts_before_a_link(void **state) {
    (void)state;
    list_append(&head, &items[2].link);
    list_insert_before(&items[2].link, &items[1].link);
    list_insert_before(head.next, &items[0].link);
    assert_order(&head, "012");
}

static void removes_anywhere_and_more_than_once(void **state) {
    (void)state;
    append_all();
    list_remove(&items[2].link);
    list_remove(&items[2].link);
    assert_order(&head, "0134");
    list_remove(&items[0].link);
    list_remove(&items[4].link);
    assert_order(&head, "13");
    list_append(&head, &items[2].link);
    assert_order(&head, "132");
    list_remove(&items[1].link);
    list_remove(&items[3].link);
    list_remove(&items[2].link);
    assert_true(list_is_empty(&head));
}

static void the_visited_one_may_be_removed(void **state) {
    (void)state;
    append_all();
    list_for_each_safe(l, &head) {
        if (list_entry(l, struct item, link)->number % 2 == 0)
            list_remove(l);
    }
    assert_order(&head, "13");
    list_for_each_safe(l, &head) list_remove(l);
    assert_true(list_is_empty(&head));
    list_for_each(l, &head) fail();
}

static void splices_to_the_end(void **state) {
    (void)state;
    list_splice(&head, &other);
    assert_true(list_is_empty(&head));
    list_append(&head, &items[0].link);
    list_splice(&head, &other);
    assert_order(&head, "0");
    list_append(&other, &items[1].link);
    list_append(&other, &items[2].link);
    list_splice(&head, &other);
    assert_order(&head, "012");
    assert_true(list_is_empty(&other));
    list_splice(&other, &head);
    assert_order(&other, "012");
    assert_true(list_is_empty(&head));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(keeps_the_order_of_appending, start),
        cmocka_unit_test_setup(inserts_before_a_link, start),
        cmocka_unit_test_setup(removes_anywhere_and_more_than_once, start),
        cmocka_unit_test_setup(the_visited_one_may_be_removed, start),
        cmocka_unit_test_setup(splices_to_the_end, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
