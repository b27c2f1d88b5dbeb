/* What the tests of fossil patches share: make and apply with each input in a heap block of exactly
 * its size, so that ASan sees what is read outside of it, and the check of a patch from all sides.
 *
 * Included behind delta.c, of which it uses the statics, and cmocka.h.
 *
 * Thread: main. Owns: nothing.
 */
#ifndef CARILLON_TESTS_DELTA_TESTING_H
#define CARILLON_TESTS_DELTA_TESTING_H

#include "server/base/mem.h"

#include <stdlib.h>

static inline size_t below(size_t n) {
    return (size_t)rand() % n;
}

static inline struct str copy_of(struct str s) {
    char *p = mem_alloc(s.n);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

static inline void drop(struct str copy) {
    mem_free((char *)(uintptr_t)copy.p);
}

/* Behind what stands in out already, which must stay. */
static inline bool make(struct buf *out, struct str base, struct str target) {
    struct str b = copy_of(base), t = copy_of(target);
    buf_clear(out);
    buf_add(out, STR("kept"));
    bool is_made = delta_make(out, b, t);
    assert_true(str_starts(buf_str(out), STR("kept")));
    buf_consume(out, 4);
    assert_true(is_made || out->n == 0);
    drop(b);
    drop(t);
    return is_made;
}

static inline bool apply_copy(struct buf *out, struct str base, struct str patch) {
    struct str b = copy_of(base), p = copy_of(patch);
    buf_clear(out);
    buf_add(out, STR("kept"));
    bool is_applied = delta_apply(out, b, p);
    assert_true(str_starts(buf_str(out), STR("kept")));
    buf_consume(out, 4);
    assert_true(is_applied || out->n == 0);
    drop(b);
    drop(p);
    return is_applied;
}

/* Each literal of a patch must consist of whole characters. */
static inline void check_literals(struct str patch) {
    uint32_t n, from;
    char mark;
    assert_true(take_number(&patch, &n, &mark) && mark == '\n');
    while (take_number(&patch, &n, &mark) && mark != ';')
        if (mark == ':') {
            assert_true(str_is_utf8(str_slice(patch, 0, n)));
            patch = str_slice(patch, n, patch.n);
        } else {
            assert_true(take_number(&patch, &from, &mark) && mark == ',');
        }
    assert_int_equal(mark, ';');
}

/* Bytes that would be sent: of the patch, which is checked, or of the target. */
static inline size_t sent_bytes(struct str base, struct str target) {
    struct buf patch = {0}, again = {0};
    size_t n = target.n;
    if (make(&patch, base, target)) {
        assert_true(patch.n < target.n);
        assert_true(apply_copy(&again, base, buf_str(&patch)));
        assert_true(str_equal(buf_str(&again), target));
        if (str_is_utf8(target)) {
            assert_true(str_is_utf8(buf_str(&patch)));
            check_literals(buf_str(&patch));
        }
        n = patch.n;
    }
    buf_fini(&patch);
    buf_fini(&again);
    return n;
}

#endif
