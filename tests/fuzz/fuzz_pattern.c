/* Fuzzes patterns of channel names: the first line is a pattern, the rest is held against it.
 *
 * What is compiled is within its limits and jumps within itself. The same pattern in a group, and
 * as both of two alternatives, gives the same answer, unless it became too large.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/pattern.c"

#include "server/base/buf.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ops(const struct pattern *p) {
    assert(p->op_count >= 1 && p->op_count <= PATTERN_OPS_MAX);
    for (uint32_t i = 0; i < p->op_count; i++) {
        const struct pattern_op *op = &p->ops[i];
        int64_t at = i, count = p->op_count;
        assert((op->type == PATTERN_MATCH) == (i == p->op_count - 1));
        if (op->type == PATTERN_SET)
            assert((uint32_t)op->a + (uint32_t)op->b <= p->range_count);
        if (op->type == PATTERN_JUMP || op->type == PATTERN_SPLIT)
            assert(at + op->a >= 0 && at + op->a < count);
        if (op->type == PATTERN_SPLIT)
            assert(at + op->b >= 0 && at + op->b < count);
    }
}

/* As in Go, "[:" looks for its ":]" in all that follows, so a copy behind it changes its meaning.
 */
static void check_same(struct buf *source, struct str text, bool is_match) {
    const char *why = NULL;
    bool has_class = memmem(source->p, source->n, "[:", 2);
    struct pattern *p = pattern_create(buf_str(source), &why);
    assert(p || has_class || !strcmp(why, "it is too large, or repeats too much") ||
           !strcmp(why, "it has too many groups in each other"));
    if (p) {
        check_ops(p);
        assert(pattern_matches(p, text) == is_match);
    }
    pattern_destroy(p);
    buf_fini(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = {(const char *)data, size}, source;
    const char *why = NULL;
    if (!str_cut(&text, '\n', &source) || source.n > 1000 || text.n > 4096)
        return 0;
    struct pattern *p = pattern_create(source, &why);
    assert(p || *why);
    if (p) {
        struct buf grouped = {0}, doubled = {0};
        bool is_match = pattern_matches(p, text);
        check_ops(p);
        buf_add_z(&grouped, "(?:");
        buf_add(&grouped, source);
        buf_add_z(&grouped, ")");
        buf_add(&doubled, buf_str(&grouped));
        buf_add_z(&doubled, "|");
        buf_add(&doubled, buf_str(&grouped));
        check_same(&grouped, text, is_match);
        check_same(&doubled, text, is_match);
    }
    pattern_destroy(p);
    return 0;
}
