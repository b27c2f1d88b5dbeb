/* Fossil patches of large payloads: they stay small when little has changed, wherever it is, and no
 * payload makes the work grow faster than its size. Fixed seeds.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/delta.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/delta_testing.h"

enum { MIB = 1 << 20 };

/* A table of records; each seventh price is new when it is the second version. */
static void add_records(struct buf *b, size_t up_to_bytes, bool is_second) {
    buf_add_z(b, is_second ? "{\"v\":2,\"rows\":[" : "{\"v\":10,\"rows\":[");
    for (unsigned i = 0; b->n < up_to_bytes; i++) {
        unsigned price = i * 2654435761u >> 15;
        if (is_second && i % 97 == 3)
            price /= 7;
        buf_printf(b, "{\"id\":%u,\"symbol\":\"SYM%u\",\"price\":%u},", i, i * 7919 % 10007, price);
    }
    buf_add_z(b, "0]}");
}

static void a_large_table_with_some_new_values_is_a_small_patch(void **state) {
    (void)state;
    for (size_t size = 2048; size <= MIB; size *= 8) {
        struct buf base = {0}, target = {0};
        add_records(&base, size, false);
        add_records(&target, size, true);
        size_t changes = size / 45 / 97 + 2;
        assert_in_range(sent_bytes(buf_str(&base), buf_str(&target)), 1, 50 + 40 * changes);
        buf_fini(&base);
        buf_fini(&target);
    }
}

/* Each block of such a text occurs often, so only where the last copy went on says what is next. */
static void values_replaced_in_place_are_found_without_unique_blocks(void **state) {
    (void)state;
    char base[15000], target[15000];
    srand(46);
    for (size_t i = 0; i < sizeof(base); i++)
        target[i] = base[i] = "01"[below(2)];
    for (size_t i = 250; i < sizeof(target); i += 500)
        target[i] = '#';
    size_t n = sent_bytes((struct str){base, sizeof(base)}, (struct str){target, sizeof(target)});
    assert_in_range(n, 1, 20 + 30 * sizeof("1:#37@1df,"));
}

/* Bytes of the patch when records of this head and random letters come in reverse order, with a
 * mark before each. */
static size_t reversed_bytes(struct str head, size_t letters, size_t count) {
    struct buf base = {0}, target = {0};
    for (size_t i = 0; i < count; i++) {
        buf_add(&base, head);
        for (size_t k = 0; k < letters; k++)
            buf_add_char(&base, (char)('a' + below(26)));
    }
    size_t record = head.n + letters;
    for (size_t i = count; i > 0; i--) {
        buf_add_char(&target, '#');
        buf_add(&target, str_slice(buf_str(&base), (i - 1) * record, i * record));
    }
    size_t n = sent_bytes(buf_str(&base), buf_str(&target));
    buf_fini(&base);
    buf_fini(&target);
    return n;
}

static void moved_records_are_one_copy_each(void **state) {
    (void)state;
    srand(47);
    /* Of a large base only some blocks are known: the bytes before them must be found, too. */
    assert_in_range(reversed_bytes(STR(""), 200, 1000), 1, 1000 * (sizeof("1:#38@123,") - 1) + 20);
    /* All begin alike: what is found first is mostly the wrong one. */
    assert_in_range(reversed_bytes(STR("{\"type\":\"quote\",\"name\":\""), 30, 200), 1,
                    200 * (sizeof("1:#s@123,") - 1) + 20);
}

/* Texts that lead into work without gain: of one letter, of few blocks in all orders, of blocks
 * that all but agree, of continuation bytes only, and without any pattern. */
static char hard_byte(int kind, size_t i) {
    switch (kind) {
    case 0:
        return 'a';
    case 1:
        return below(20000) ? 'a' : 'b';
    case 2:
        return "01"[below(2)];
    case 3:
        return i % 9 == 8 ? (char)('a' + below(26)) : "12345678"[i % 9];
    case 4:
        return i % 17 == 16 ? (char)('!' + below(90)) : "abcdefghijklmnop"[i % 17];
    case 5:
        return i % 33 == 32 ? "bc"[below(2)] : 'a';
    case 6:
        return below(17) ? 'a' : 'b';
    case 7:
        return below(300) ? (char)0x80 : (char)0x81;
    default:
        return (char)below(256);
    }
}

enum { HARD_KINDS = 9 };

static struct str hard_text(int kind, size_t n) {
    char *p = mem_alloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = hard_byte(kind, i);
    return (struct str){p, n};
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Some 20 ms when optimised; with a quadratic step it would be minutes, sanitizers make it ten
 * times slower. */
static void no_payloads_take_long(void **state) {
    (void)state;
    srand(44);
    struct str texts[HARD_KINDS];
    for (int i = 0; i < HARD_KINDS; i++)
        texts[i] = hard_text(i, MIB);
    for (int i = 0; i < HARD_KINDS * HARD_KINDS; i++) {
        struct str base = texts[i / HARD_KINDS], other = texts[i % HARD_KINDS];
        struct str target =
            i / HARD_KINDS == i % HARD_KINDS ? hard_text(i % HARD_KINDS, MIB) : other;
        double before = cpu_s();
        size_t n = sent_bytes(base, target);
        double used = cpu_s() - before;
        assert_true(used < 2);
        assert_in_range(n, 1, MIB);
        if (target.p != other.p)
            drop(target);
    }
    for (int i = 0; i < HARD_KINDS; i++)
        drop(texts[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_table_with_some_new_values_is_a_small_patch),
        cmocka_unit_test(values_replaced_in_place_are_found_without_unique_blocks),
        cmocka_unit_test(moved_records_are_one_copy_each),
        cmocka_unit_test(no_payloads_take_long),
    };
    return cmocka_run_group_tests_name("delta_large", tests, NULL, NULL);
}
