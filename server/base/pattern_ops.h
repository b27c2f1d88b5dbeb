/* What a pattern is compiled to: for pattern.c, which makes it, and pattern_match.c, which runs it.
 *
 * Jumps are relative, so that operations can be moved and copied.
 *
 * Owns: nothing. Thread: any (no state).
 */
#ifndef CARILLON_BASE_PATTERN_OPS_H
#define CARILLON_BASE_PATTERN_OPS_H

#include "server/base/pattern.h"

#include <stdint.h>

#define PATTERN_OPS_MAX 2000u
#define PATTERN_CODE_POINT_MAX 0x10ffffu

enum pattern_op_type {
    PATTERN_SET,
    PATTERN_JUMP,
    PATTERN_SPLIT,
    PATTERN_BEGIN,
    PATTERN_END,
    PATTERN_EDGE,
    PATTERN_NO_EDGE,
    PATTERN_MATCH
};

struct pattern_op {
    enum pattern_op_type type;
    bool is_negated; /* PATTERN_SET */
    /* PATTERN_SET: the first of its ranges and how many. PATTERN_JUMP: how far. PATTERN_SPLIT: how
     * far, twice. */
    int32_t a, b;
};

struct pattern_range {
    uint32_t first, last;
};

struct pattern {
    struct pattern_op *ops;
    uint32_t op_count;
    struct pattern_range *ranges;
    uint32_t range_count;
};

/* The first character of s, which is not empty. A byte that is no UTF-8 is U+10FFFF. */
uint32_t pattern_decode(struct str s, size_t *length);

#endif
