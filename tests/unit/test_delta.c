/* Fossil patches: each one makes its target, is smaller than it, and cuts no character; patches by
 * hand say that the format is Fossil's and not only our own; damaged ones do no harm. Large
 * payloads: test_delta_large.c. The random tests have fixed seeds.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/delta.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/delta_testing.h"

static bool gives(const char *patch, const char *base, struct str target) {
    struct buf out = {0};
    bool is_same =
        apply_copy(&out, str_of(base), str_of(patch)) && str_equal(buf_str(&out), target);
    buf_fini(&out);
    return is_same;
}

static bool is_refused(struct str base, struct str patch) {
    struct buf out = {0};
    bool is_applied = apply_copy(&out, base, patch);
    buf_fini(&out);
    return !is_applied;
}

/* --- the format --------------------------------------------------------------------------------*/
#define DOG "the quick brown dog jumps over the lazy fox"
#define FOX "the quick brown fox jumps over the lazy dog"

static void patches_by_hand_are_applied(void **state) {
    (void)state;
    assert_true(gives("0\n0;", "base", STR("")));
    assert_true(gives("1\n1:a1X0000;", "", STR("a")));
    assert_true(gives("B\n0:B:hello world19x_VR;", "base", STR("hello world")));
    assert_true(gives("g\nG@0,3@d,L@J,3@G,2OF1KR;", FOX, STR(DOG)));
    assert_true(gives("g\nG@0,3:dogL@J,3@G,2OF1KR;", FOX, STR(DOG)));
    assert_true(gives("9\n9:\xff\xff\xff\xff\xff\xff\xff\xff\x01~~~z;", "",
                      STR("\xff\xff\xff\xff\xff\xff\xff\xff\x01")));
}

static void malformed_patches_are_refused(void **state) {
    (void)state;
    static const char *const patches[] = {
        "",
        "g",
        "g\n",
        "\n1:a1X0000;",
        "1 1:a1X0000;",
        "-\n1:a1X0000;",
        "2\n1:a1X0000;", /* size too large */
        "0\n1:a1X0000;", /* too small */
        "1\n1:a1X0001;",
        "1\n1:a;", /* checksum */
        "1\n1:a1X0000",
        "1\n1:a1X0000;x", /* the end */
        "1\n2:a1X0000;",
        "1\n~~~~~:a",
        "1\n1?a;", /* literals */
        "1\n1@0,1X0000;",
        "3\n3@f,0;",
        "3\n3@~~~,0",        /* not in the base */
        "3\n3@e,1:x1kPsW0;", /* its end is not */
        "3\n3@0;0;",
        "3\n3@0",
        "3\n3@,0;",            /* no comma, no offset */
        "1\n1:a1000001X0000;", /* 1X0000 plus 2^36 */
        "~~~~~~~~~~~\n0;",
        "3~~~~~\n3~~~~~@0,0;", /* sizes */
    };
    for (size_t i = 0; i < sizeof(patches) / sizeof(*patches); i++)
        assert_true(is_refused(STR(FOX), str_of(patches[i])));
    assert_true(is_refused(STR(FOX), (struct str){"1\0001:a1X0000;", 11}));
}

/* A patch of 3 KB must not make a gigabyte before it is refused. */
static void no_more_is_made_than_announced(void **state) {
    (void)state;
    struct buf patch = {0}, out = {0};
    struct str base = {mem_zalloc(100000), 100000};
    buf_add(&patch, STR("OQX\n"));
    for (int i = 0; i < 300; i++)
        buf_add(&patch, STR("OQW@0,"));
    buf_add(&patch, STR("0;"));
    assert_false(delta_apply(&out, base, buf_str(&patch)));
    assert_in_range(out.cap, 0, 2 * base.n);
    drop(base);
    buf_fini(&patch);
    buf_fini(&out);
}

static void a_patch_for_another_base_is_refused(void **state) {
    (void)state;
    struct buf patch = {0};
    assert_true(make(&patch, STR(FOX), STR(DOG)));
    assert_false(is_refused(STR(FOX), buf_str(&patch)));
    assert_true(is_refused(STR("T" FOX), buf_str(&patch)));
    assert_true(is_refused(STR(""), buf_str(&patch)));
    buf_fini(&patch);
}

/* --- what is saved -----------------------------------------------------------------------------*/
#define SENSOR(name, temperature, time)                                                            \
    STR("{\"room\":\"" name "\",\"temperature\":" temperature                                      \
        ",\"humidity\":45,\"battery\":98,\"online\":true,\"updated\":" time "}")

static void changed_values_are_sent_and_not_the_rest(void **state) {
    (void)state;
    struct str base = SENSOR("Kitchen", "21.5", "1732440000");
    assert_in_range(sent_bytes(base, SENSOR("Kitchen", "21.6", "1732440000")), 1, 25);
    assert_in_range(sent_bytes(base, SENSOR("Kitchen", "9.75", "1732440005")), 1, 30);
    assert_in_range(sent_bytes(base, SENSOR("Kitchen", "-12.25", "1732440005")), 1, 35);
    assert_in_range(sent_bytes(base, SENSOR("Living room", "18", "1732440005")), 1, 50);
}

/* Too short for the table of blocks. */
static void short_ends_are_copied(void **state) {
    (void)state;
    size_t n = sent_bytes(STR("{\"a\":1,\"b\":[10],\"abcdefghijklmnopqrstuvwxyz\":2,\"c\":5}"),
                          STR("{\"a\":3,\"b\":[44],\"abcdefghijklmnopqrstuvwxyz\":777,\"c\":5}"));
    assert_in_range(n, 1, sizeof("o\n5@0,B:3,\"b\":[44]T@H,3:7777@n,123456;") - 1);
}

/* A common prefix and suffix would be nothing here. */
static void both_ends_may_differ(void **state) {
    (void)state;
    assert_in_range(
        sent_bytes(STR("[1,\"one text that stays as it was all the time\",2]"),
                   STR("{\"a\":\"one text that stays as it was all the time\",\"b\":0}")),
        1, 35);
}

static void reordered_members_are_found(void **state) {
    (void)state;
    size_t n =
        sent_bytes(SENSOR("Kitchen", "21.5", "1732440000"),
                   STR("{\"battery\":98,\"online\":true,\"room\":\"Kitchen\",\"humidity\":45,"
                       "\"updated\":1732440005,\"temperature\":21.5}"));
    assert_in_range(n, 1, 50);
}

static void identical_payloads_are_one_copy(void **state) {
    (void)state;
    assert_in_range(sent_bytes(STR(FOX), STR(FOX)), 1, 15);
    assert_int_equal(sent_bytes(STR("{}"), STR("{}")), 2);
}

static void what_saves_nothing_is_sent_whole(void **state) {
    (void)state;
    struct buf out = {0};
    assert_false(make(&out, STR(""), STR("")));
    assert_false(make(&out, STR_NONE, STR(FOX)));
    assert_false(make(&out, STR(FOX), STR_NONE));
    assert_false(make(&out, STR(FOX), STR("{}")));
    assert_false(make(&out, STR("{\"a\":1}"), STR("{\"a\":2}")));
    assert_false(make(&out, STR(FOX), STR("0123456789012345678901234567890123456789")));
    buf_fini(&out);
}

static void payloads_over_the_bound_are_sent_whole(void **state) {
    (void)state;
    struct buf out = {0};
    size_t n = DELTA_PAYLOAD_MAX_BYTES;
    struct str zeros = {mem_zalloc(n + 1), n};
    struct str more = {zeros.p, n + 1};
    assert_int_equal(sent_bytes(zeros, zeros), sizeof("W000\nW000@0,0;") - 1);
    assert_false(delta_make(&out, zeros, more) || delta_make(&out, more, zeros) || out.n);
    drop(zeros);
    buf_fini(&out);
}

/* --- characters --------------------------------------------------------------------------------*/
/* Pairs that differ in the first, a middle or the last byte only. */
static const char *const characters[] = {
    "\xc3\xa9",
    "\xc3\xaa",
    "\xc4\xa9",
    "\xe2\x82\xac",
    "\xe2\x82\xad",
    "\xe2\x83\xac",
    "\xe3\x82\xac",
    "\xf0\x9f\x98\x80",
    "\xf0\x9f\x98\x81",
    "\xf0\x9f\x99\x80",
    "\xf0\xa0\x98\x80",
    "\xf1\x9f\x98\x80",
    "a",
    "\"",
};
enum { CHARACTERS = sizeof(characters) / sizeof(*characters) };

static void add_text(struct buf *b, size_t characters_count, size_t kinds) {
    while (characters_count-- > 0)
        buf_add_z(b, characters[below(kinds)]);
}

/* One character between two texts becomes another: the edges of all copies are within characters,
 * as far as bytes are concerned. */
static void no_character_is_cut(void **state) {
    (void)state;
    struct buf before = {0}, after = {0}, base = {0}, target = {0};
    srand(41);
    add_text(&before, 40, CHARACTERS);
    add_text(&after, 40, CHARACTERS);
    for (int i = 0; i < CHARACTERS * CHARACTERS; i++) {
        buf_clear(&base);
        buf_clear(&target);
        buf_printf(&base, "%.*s%s%.*s", STR_ARG(buf_str(&before)), characters[i / CHARACTERS],
                   STR_ARG(buf_str(&after)));
        buf_printf(&target, "%.*s%s%.*s", STR_ARG(buf_str(&before)), characters[i % CHARACTERS],
                   STR_ARG(buf_str(&after)));
        assert_in_range(sent_bytes(buf_str(&base), buf_str(&target)), 1, 40);
        /* At the start and at the end of the payload, where the common parts begin. */
        struct str from = str_slice(buf_str(&base), before.n, base.n);
        struct str to = str_slice(buf_str(&target), before.n, target.n);
        assert_in_range(sent_bytes(from, to), 1, 40);
        from = str_slice(buf_str(&base), 0, base.n - after.n);
        to = str_slice(buf_str(&target), 0, target.n - after.n);
        assert_in_range(sent_bytes(from, to), 1, 40);
    }
    buf_fini(&before);
    buf_fini(&after);
    buf_fini(&base);
    buf_fini(&target);
}

/* --- random edits ------------------------------------------------------------------------------*/
/* Some pieces of the base, in any order, with something new here and there. */
static void edit(struct buf *target, const struct buf *pieces, size_t count) {
    for (size_t i = below(10); i > 0; i--) {
        if (below(3) == 0)
            add_text(target, below(12), CHARACTERS);
        buf_add(target, buf_str(&pieces[below(count)]));
    }
}

static void check_random(size_t characters_count, size_t kinds) {
    struct buf pieces[8] = {0}, base = {0}, target = {0};
    size_t count = 1 + below(8);
    for (size_t i = 0; i < count; i++) {
        add_text(&pieces[i], characters_count / count, kinds);
        buf_add(&base, buf_str(&pieces[i]));
    }
    edit(&target, pieces, count);
    sent_bytes(buf_str(&base), buf_str(&target));
    for (size_t i = 0; i < count; i++)
        buf_fini(&pieces[i]);
    buf_fini(&base);
    buf_fini(&target);
}

static void random_edits_are_made_good(void **state) {
    (void)state;
    srand(42);
    for (int i = 0; i < 5000; i++)
        check_random(below(300), 1 + below(CHARACTERS));
    for (int i = 0; i < 50; i++)
        check_random(below(40000), 1 + below(CHARACTERS));
}

/* Not UTF-8: nothing is promised for the patch but that it is right. */
static void any_bytes_are_made_good(void **state) {
    (void)state;
    static const char continuations[] = "\x80\x81\xbf\xc3\xe2\xf0";
    char a[300], b[300];
    srand(43);
    for (int i = 0; i < 5000; i++) {
        size_t n = below(sizeof(a)), kinds = 1 + below(sizeof(continuations));
        for (size_t k = 0; k < n; k++)
            a[k] = continuations[below(kinds)];
        memcpy(b, a, n);
        for (size_t k = below(4); n && k > 0; k--)
            b[below(n)] = (char)below(256);
        size_t cut = below(n + 1);
        sent_bytes((struct str){a, n}, str_slice((struct str){b, n}, cut, n));
        sent_bytes(str_slice((struct str){a, n}, cut, n), (struct str){b, n});
    }
}

/* --- damage ------------------------------------------------------------------------------------*/
static void every_cut_patch_is_refused(void **state) {
    (void)state;
    struct buf patch = {0};
    struct str base = SENSOR("Kitchen", "21.5", "1732440000");
    assert_true(make(&patch, base, SENSOR("Bath", "19.75", "1732440005")));
    for (size_t n = 0; n < patch.n; n++)
        assert_true(is_refused(base, str_slice(buf_str(&patch), 0, n)));
    assert_false(is_refused(base, buf_str(&patch)));
    buf_fini(&patch);
}

/* Never read outside, whatever a byte has become. What is still accepted has the right checksum:
 * damage that changes nothing, as an offset to bytes that are the same. */
static void damaged_patches_do_no_harm(void **state) {
    (void)state;
    struct buf patch = {0}, out = {0};
    struct str base = SENSOR("Kitchen", "21.5", "1732440000");
    struct str target = SENSOR("Bath", "19.75", "1732440005");
    size_t accepted = 0;
    assert_true(make(&patch, base, target));
    for (size_t at = 0; at < patch.n; at++)
        for (int byte = 0; byte < 256; byte++) {
            char was = patch.p[at];
            patch.p[at] = (char)byte;
            if (byte != (unsigned char)was && apply_copy(&out, base, buf_str(&patch))) {
                assert_int_equal(out.n, target.n);
                assert_int_equal(checksum(buf_str(&out)), checksum(target));
                accepted++;
            }
            patch.p[at] = was;
        }
    assert_in_range(accepted, 0, 10);
    srand(45);
    for (int i = 0; i < 20000; i++) {
        struct str damaged = copy_of(buf_str(&patch));
        for (size_t k = 1 + below(5); k > 0; k--)
            ((char *)(uintptr_t)damaged.p)[below(damaged.n)] = digits[below(64)];
        apply_copy(&out, base, damaged);
        drop(damaged);
    }
    buf_fini(&patch);
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_by_hand_are_applied),
        cmocka_unit_test(malformed_patches_are_refused),
        cmocka_unit_test(no_more_is_made_than_announced),
        cmocka_unit_test(a_patch_for_another_base_is_refused),
        cmocka_unit_test(changed_values_are_sent_and_not_the_rest),
        cmocka_unit_test(short_ends_are_copied),
        cmocka_unit_test(both_ends_may_differ),
        cmocka_unit_test(reordered_members_are_found),
        cmocka_unit_test(identical_payloads_are_one_copy),
        cmocka_unit_test(what_saves_nothing_is_sent_whole),
        cmocka_unit_test(payloads_over_the_bound_are_sent_whole),
        cmocka_unit_test(no_character_is_cut),
        cmocka_unit_test(random_edits_are_made_good),
        cmocka_unit_test(any_bytes_are_made_good),
        cmocka_unit_test(every_cut_patch_is_refused),
        cmocka_unit_test(damaged_patches_do_no_harm),
    };
    return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
