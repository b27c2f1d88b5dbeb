/* Fuzzes fossil patches. The first byte says how the rest is read, the second where it is split.
 *
 * Both parts are a base and a target, or a base and a list of edits that makes the target: the
 * patch must make the target, be smaller, and be UTF-8 when the target is. It is then damaged. Or
 * they are a base and a patch, which may be anything: applying it must not look outside of it.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/delta.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IS_PATCH = 1, HAS_EDITS = 2, IS_LARGE = 4 };

/* A heap block of exactly its size, so that ASan sees what is read behind it. */
static struct str copy_of(struct str s) {
    char *p = mem_alloc(s.n);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

static void drop(struct str copy) {
    mem_free((char *)(uintptr_t)copy.p);
}

/* Twice over the size from which on blocks are large and not everywhere. */
static void add_often(struct buf *b, struct str s) {
    for (unsigned i = 0; s.n && b->n <= 2 * SMALL_BASE_BYTES; i++) {
        buf_add(b, s);
        buf_add_u64(b, i * 2654435761u);
    }
}

/* An edit: three bytes for a piece of the base, or 0 and what is inserted. */
static void add_edited(struct buf *target, struct str base, struct str edits) {
    while (edits.n >= 3 && target->n < 4 * SMALL_BASE_BYTES) {
        unsigned char kind = (unsigned char)edits.p[0], a = (unsigned char)edits.p[1],
                      b = (unsigned char)edits.p[2];
        if (kind == 0)
            buf_add(target, str_slice(edits, 1, 3));
        else
            buf_add(target, str_slice(base, base.n * a / 256, base.n * a / 256 + (size_t)kind * b));
        edits = str_slice(edits, 3, edits.n);
    }
}

static void check_damaged(struct str base, struct str patch, uint8_t at, uint8_t byte) {
    struct buf out = {0};
    struct str damaged = copy_of(patch);
    ((char *)(uintptr_t)damaged.p)[patch.n * at / 256] ^= (char)byte;
    delta_apply(&out, base, damaged);
    assert(out.n <= DELTA_PAYLOAD_MAX_BYTES);
    struct str cut = copy_of(str_slice(patch, 0, patch.n * at / 256));
    assert(!delta_apply(&out, base, cut));
    drop(damaged);
    drop(cut);
    buf_fini(&out);
}

static void check_make(struct str base, struct str target, const uint8_t *damage) {
    struct buf patch = {0}, again = {0};
    if (delta_make(&patch, base, target)) {
        struct str p = copy_of(buf_str(&patch));
        assert(p.n < target.n);
        assert(delta_apply(&again, base, p) && str_equal(buf_str(&again), target));
        assert(!str_is_utf8(target) || str_is_utf8(p));
        check_damaged(base, p, damage[0], damage[1]);
        drop(p);
    } else {
        assert(patch.n == 0);
    }
    buf_fini(&patch);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4)
        return 0;
    struct str rest = {(const char *)data + 4, size - 4};
    size_t split = rest.n * data[1] / 255;
    struct str first = str_slice(rest, 0, split), second = str_slice(rest, split, rest.n);
    struct buf base = {0}, target = {0}, out = {0};
    if (data[0] & IS_LARGE)
        add_often(&base, first);
    else
        buf_add(&base, first);
    if (data[0] & HAS_EDITS)
        add_edited(&target, buf_str(&base), second);
    else
        buf_add(&target, second);
    struct str b = copy_of(buf_str(&base)), t = copy_of(buf_str(&target));
    if (data[0] & IS_PATCH)
        assert(delta_apply(&out, b, t) || out.n == 0);
    else
        check_make(b, t, data + 2);
    drop(b);
    drop(t);
    buf_fini(&base);
    buf_fini(&target);
    buf_fini(&out);
    return 0;
}
