/* Lists of channels become one page: against a model, with lists that are cut anywhere.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/channel_counts.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { NAMES = 60, LISTS = 4 };

static char names[NAMES][8];
static uint32_t counts[LISTS][NAMES]; /* 0: not there */
static uint32_t seed;

static uint32_t any(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 16) % below;
}

static void fill(void) {
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "%02u%.*s", i, (int)(i % 3), "xx");
        for (uint32_t l = 0; l < LISTS; l++)
            counts[l][i] = any(3);
    }
}

/* What a node gives for one question: its first names behind `after`, cut at `max`. */
static struct channel_counts list_of(uint32_t l, int after, size_t max) {
    struct channel_counts out = {.items = mem_array(NAMES, sizeof(*out.items))};
    for (uint32_t i = (uint32_t)(after + 1); i < NAMES; i++) {
        if (!counts[l][i])
            continue;
        if (out.count == max) {
            out.has_more = true;
            break;
        }
        out.items[out.count++] = (struct channel_count){str_of(names[i]), counts[l][i]};
    }
    return out;
}

static uint32_t sum_of(uint32_t i) {
    uint32_t sum = 0;
    for (uint32_t l = 0; l < LISTS; l++)
        sum += counts[l][i];
    return sum;
}

/* The next name of the model behind `after`. */
static int next_of(int after) {
    int i = after + 1;
    while (i < NAMES && !sum_of((uint32_t)i))
        i++;
    return i;
}

static void expect_page(int *last, uint32_t limit, bool *has_more) {
    struct channel_counts lists[LISTS];
    for (uint32_t l = 0; l < LISTS; l++)
        lists[l] = list_of(l, *last, 1 + any(limit)); /* nodes may cut earlier than asked */
    struct channel_counts page = channel_counts_merge(lists, LISTS, limit);
    assert_true(page.count <= limit);
    assert_true(page.count > 0 || !page.has_more);
    for (size_t i = 0; i < page.count; i++) {
        *last = next_of(*last);
        assert_true(*last < NAMES);
        assert_true(str_equal(page.items[i].name, str_of(names[*last])));
        assert_int_equal(page.items[i].client_count, sum_of((uint32_t)*last));
    }
    *has_more = page.has_more;
    channel_counts_fini(&page);
    for (uint32_t l = 0; l < LISTS; l++)
        channel_counts_fini(&lists[l]);
}

static void pages_of_cut_lists_have_every_name_once_with_its_sum(void **state) {
    (void)state;
    for (seed = 1; seed < 2000; seed += 7) {
        uint32_t limit = 1 + any(12);
        bool has_more = true;
        int last = -1;
        fill();
        while (has_more)
            expect_page(&last, limit, &has_more);
        assert_int_equal(next_of(last), NAMES);
    }
}

static void nothing_is_an_empty_page(void **state) {
    (void)state;
    const struct channel_counts none[2] = {{0}};
    struct channel_counts page = channel_counts_merge(none, 2, 10);
    assert_int_equal(page.count, 0);
    assert_false(page.has_more);
    channel_counts_fini(&page);
    page = channel_counts_merge(NULL, 0, 10);
    assert_int_equal(page.count, 0);
    channel_counts_fini(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_cut_lists_have_every_name_once_with_its_sum),
        cmocka_unit_test(nothing_is_an_empty_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
