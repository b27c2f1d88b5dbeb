/* Fossil patches: see delta.h.
 *
 * Making one: what both payloads end with is one copy. Before that the target is walked from its
 * start. At each position the base is tried where the last copy would go on (a value was replaced
 * by one of the same length), and where a table of its blocks has the block that starts here. A
 * match is extended both ways; the one that saves most is taken.
 *
 * The first match is not always the right one: records of a list begin alike. So the last match
 * found is held back, and while it is short, a later one that reaches back over it replaces it.
 *
 * What keeps the time linear: the table is thinned out for large bases, only CHAIN_MAX of equal
 * blocks are tried and not more in all than the target's size allows, an extension that went far
 * leads to a match that goes as far, and where nothing is found the steps grow.
 *
 * Thread: any (no state). Owns: nothing beyond a call.
 */
#include "channels/delta.h"

#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

enum {
    SMALL_BASE_BYTES = 16 << 10, /* up to here, blocks are small and begin at each byte */
    SMALL_BLOCK_BYTES = 8,       /* the least that is worth a copy inside of a literal */
    LARGE_BLOCK_BYTES = 16,
    LARGE_STRIDE_BYTES = 4, /* from block to block, more when there would be too many */
    LARGE_BLOCKS_MAX = 1 << 16,
    CHAIN_MAX = 16,           /* blocks of equal hash that are looked at */
    SURE_BYTES = 64,          /* a match of this length is not doubted */
    MISSES_PER_STEP = 1 << 7, /* so many positions without a match make the steps longer */
    STEP_MAX = 31,
    TRIES_MIN = 1 << 15,
    BYTES_PER_TRY = 4 /* so many more bytes of target allow one try more */
};

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

/* Target and base agree from `at` and `from` on. */
struct match {
    size_t at, from, n;
    ptrdiff_t gain; /* bytes it saves */
    ptrdiff_t net;  /* less what the match it replaces saves */
};

struct block_table {
    uint32_t *heads, *next; /* numbers of blocks, plus one; 0: none. heads is NULL: not built */
    size_t block_bytes, stride_bytes;
    unsigned shift;
};

struct maker {
    struct buf *out;
    size_t start; /* of the patch in out */
    struct str base, target;
    size_t end;        /* of the target, without the common end */
    size_t written;    /* target bytes the patch makes so far */
    struct match held; /* the last match, not written yet; at first the empty one at 0 */
    struct block_table table;
    size_t tries_left; /* matches that may still be tried; afterwards the table is not asked */
};

/* --- bytes -------------------------------------------------------------------------------------*/
static uint64_t word_at(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* How many of at most max bytes from a and b on are the same. */
static size_t same_ahead(const char *a, const char *b, size_t max) {
    size_t n = 0;
    while (max - n >= sizeof(uint64_t) && word_at(a + n) == word_at(b + n))
        n += sizeof(uint64_t);
    while (n < max && a[n] == b[n])
        n++;
    return n;
}

/* The same for the bytes before a and b. */
static size_t same_back(const char *a, const char *b, size_t max) {
    size_t n = 0, word = sizeof(uint64_t);
    while (max - n >= word && word_at(a - n - word) == word_at(b - n - word))
        n += word;
    while (n < max && *(a - n - 1) == *(b - n - 1))
        n++;
    return n;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool is_inside_character(struct str s, size_t at) {
    return at < s.n && ((unsigned char)s.p[at] & 0xc0) == 0x80;
}

/* Makes [*from, *to) begin and end between characters. No character has more than three bytes to
 * step over; what has more is not UTF-8 and stays as it is, for the sake of linear time. */
static void trim_to_characters(struct str s, size_t *from, size_t *to) {
    for (int i = 0; i < 3 && *from < *to && is_inside_character(s, *from); i++)
        ++*from;
    for (int i = 0; i < 3 && *from < *to && is_inside_character(s, *to); i++)
        --*to;
}

static uint32_t checksum(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    uint32_t sum = 0;
    size_t i = 0;
    for (; s.n - i >= 4; i += 4)
        sum += (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3];
    for (unsigned shift = 24; i < s.n; i++, shift -= 8)
        sum += (uint32_t)p[i] << shift;
    return sum;
}

/* --- writing -----------------------------------------------------------------------------------*/
static ptrdiff_t digit_count(size_t v) {
    ptrdiff_t n = 1;
    while (v >>= 6)
        n++;
    return n;
}

static void put_number(struct buf *out, size_t v, char mark) {
    char text[12];
    size_t at = sizeof(text);
    text[--at] = mark;
    do {
        text[--at] = digits[v & 63];
        v >>= 6;
    } while (v);
    buf_add(out, (struct str){text + at, sizeof(text) - at});
}

static ptrdiff_t copy_bytes(const struct match *m) {
    return digit_count(m->n) + 1 + digit_count(m->from) + 1;
}

static bool is_still_smaller(const struct maker *w, size_t more_bytes) {
    return w->out->n - w->start + more_bytes < w->target.n;
}

/* Writes the target up to m, and m. False when the patch gets too large. */
static bool write_up_to(struct maker *w, const struct match *m) {
    assert(m->at >= w->written);
    size_t literal_bytes = m->at - w->written;
    if (!is_still_smaller(w, literal_bytes))
        return false;
    if (literal_bytes > 0) {
        put_number(w->out, literal_bytes, ':');
        buf_add(w->out, str_slice(w->target, w->written, m->at));
    }
    if (m->n > 0) {
        put_number(w->out, m->n, '@');
        put_number(w->out, m->from, ',');
    }
    w->written = m->at + m->n;
    return true;
}

/* --- the table of the base's blocks ------------------------------------------------------------*/
static size_t bucket_of(const struct block_table *t, const char *p) {
    uint64_t hash = word_at(p) * 0x9e3779b97f4a7c15u;
    if (t->block_bytes == LARGE_BLOCK_BYTES)
        hash = (hash ^ (hash >> 32) ^ word_at(p + 8)) * 0xd6e8feb86659fd93u;
    return hash >> t->shift;
}

static size_t block_bytes_for(struct str base) {
    return base.n <= SMALL_BASE_BYTES ? SMALL_BLOCK_BYTES : LARGE_BLOCK_BYTES;
}

/* The base holds at least one block. */
static void table_build(struct block_table *t, struct str base) {
    t->block_bytes = block_bytes_for(base);
    t->stride_bytes = t->block_bytes == SMALL_BLOCK_BYTES ? 1 : LARGE_STRIDE_BYTES;
    while (base.n / t->stride_bytes > LARGE_BLOCKS_MAX)
        t->stride_bytes *= 2;
    size_t count = (base.n - t->block_bytes) / t->stride_bytes + 1;
    unsigned bits = 4;
    while ((size_t)1 << bits < count)
        bits++;
    t->shift = 64 - bits;
    t->heads = mem_array((size_t)1 << bits, sizeof(*t->heads));
    t->next = mem_array(count, sizeof(*t->next));
    for (size_t i = count; i-- > 0;) { /* so that the first block comes first in its chain */
        uint32_t *head = &t->heads[bucket_of(t, base.p + i * t->stride_bytes)];
        t->next[i] = *head;
        *head = (uint32_t)i + 1;
    }
}

static void table_fini(struct block_table *t) {
    mem_free(t->heads);
    mem_free(t->next);
}

/* --- matching ----------------------------------------------------------------------------------*/
static size_t held_end(const struct maker *w) {
    return w->held.at + w->held.n;
}

/* Takes m for *best when it saves more. What begins at or before the held match would replace it,
 * and loses what that one saves. */
static void consider(const struct maker *w, struct match m, struct match *best) {
    bool is_replacing = m.at <= w->held.at;
    size_t literal_from = is_replacing ? w->written : held_end(w);
    m.gain = (ptrdiff_t)m.n - copy_bytes(&m);
    if (m.at > literal_from)
        m.gain -= digit_count(m.at - literal_from) + 1; /* it cuts a literal into two */
    m.net = m.gain - (is_replacing ? w->held.gain : 0);
    if (m.net > best->net)
        *best = m;
}

/* Considers what target and base have in common around these positions. */
static void extend(const struct maker *w, size_t at, size_t from, struct match *best) {
    size_t floor = w->held.n < SURE_BYTES ? w->written : held_end(w);
    const char *p = w->target.p + at, *q = w->base.p + from;
    size_t ahead = same_ahead(p, q, smaller(w->end - at, w->base.n - from));
    if (ahead == 0)
        return;
    size_t begin = at - same_back(p, q, smaller(at - floor, from)), end = at + ahead;
    trim_to_characters(w->target, &begin, &end);
    if (begin > w->held.at && begin < held_end(w))
        begin = held_end(w); /* which is between characters, too */
    if (begin < end)
        consider(w, (struct match){.at = begin, .from = from + begin - at, .n = end - begin}, best);
}

/* Looks the block at this position up in the table, which is built when it is first needed. */
static void look_up(struct maker *w, size_t at, struct match *best) {
    struct block_table *t = &w->table;
    size_t block_bytes = block_bytes_for(w->base);
    if (w->base.n < block_bytes || w->end - at < block_bytes || w->tries_left < CHAIN_MAX)
        return;
    if (!t->heads)
        table_build(t, w->base);
    uint32_t block = t->heads[bucket_of(t, w->target.p + at)];
    for (int i = 0; block && i < CHAIN_MAX; i++, w->tries_left--) {
        extend(w, at, (block - 1) * t->stride_bytes, best);
        block = t->next[block - 1];
    }
}

/* False when nothing here saves a byte. */
static bool find(struct maker *w, size_t at, struct match *best) {
    *best = (struct match){0};
    size_t from = w->held.from + w->held.n + (at - held_end(w));
    if (from < w->base.n)
        extend(w, at, from, best);
    if (best->n < SURE_BYTES)
        look_up(w, at, best);
    return best->net > 0;
}

/* False when the patch gets too large. */
static bool walk(struct maker *w) {
    size_t at = 0, misses = 0;
    while (at < w->end) {
        struct match m;
        if (!find(w, at, &m)) {
            /* Odd, so that it does not keep missing each block of the stride. */
            at += 1 + 2 * smaller(misses++ / MISSES_PER_STEP, STEP_MAX / 2);
            continue;
        }
        misses = 0;
        if (m.at > w->held.at && !write_up_to(w, &w->held))
            return false;
        w->held = m;
        at = held_end(w) > at ? held_end(w) : at + 1;
    }
    return write_up_to(w, &w->held);
}

/* What both end with; an empty match at the target's end when a copy of it saves nothing. */
static struct match common_end(struct str base, struct str target) {
    size_t n = 0, end = target.n;
    if (base.n && target.n)
        n = same_back(base.p + base.n, target.p + target.n, smaller(base.n, target.n));
    size_t begin = target.n - n;
    trim_to_characters(target, &begin, &end);
    n = end - begin;
    struct match m = {.at = begin, .from = base.n - n, .n = n};
    return (ptrdiff_t)n > copy_bytes(&m) ? m : (struct match){.at = target.n};
}

bool delta_make(struct buf *out, struct str base, struct str target) {
    if (base.n > DELTA_PAYLOAD_MAX_BYTES || target.n > DELTA_PAYLOAD_MAX_BYTES || base.n == 0)
        return false;
    struct maker w = {.out = out, .start = out->n, .base = base, .target = target};
    struct match last = common_end(base, target);
    w.end = last.at;
    w.tries_left = TRIES_MIN + target.n / BYTES_PER_TRY;
    put_number(out, target.n, '\n');
    bool is_good = walk(&w) && write_up_to(&w, &last);
    put_number(out, checksum(target), ';');
    is_good = is_good && is_still_smaller(&w, 0);
    if (!is_good)
        out->n = w.start;
    table_fini(&w.table);
    return is_good;
}

/* --- applying ----------------------------------------------------------------------------------*/
static const char *digit_of(char c) {
    return c ? strchr(digits, c) : NULL;
}

/* Takes a number of up to 32 bits and the mark behind it off the patch. */
static bool take_number(struct str *patch, uint32_t *out, char *mark) {
    uint64_t v = 0;
    size_t i = 0;
    for (const char *digit; i < patch->n && (digit = digit_of(patch->p[i])); i++)
        if ((v = v << 6 | (uint64_t)(digit - digits)) > UINT32_MAX)
            return false;
    if (i == 0 || i == patch->n)
        return false;
    *mark = patch->p[i];
    *patch = str_slice(*patch, i + 1, patch->n);
    *out = (uint32_t)v;
    return true;
}

/* Appends the n bytes a segment stands for: of the base, or the next ones of the patch. */
static bool apply_segment(struct buf *out, struct str base, struct str *patch, char mark,
                          size_t n) {
    uint32_t from;
    char comma;
    if (mark == '@') {
        if (!take_number(patch, &from, &comma) || comma != ',' || from > base.n ||
            n > base.n - from)
            return false;
        buf_add(out, str_slice(base, from, from + n));
        return true;
    }
    if (mark != ':' || n > patch->n)
        return false;
    buf_add(out, str_slice(*patch, 0, n));
    *patch = str_slice(*patch, n, patch->n);
    return true;
}

static bool apply(struct buf *out, struct str base, struct str patch) {
    size_t start = out->n;
    uint32_t size, n;
    char mark;
    if (!take_number(&patch, &size, &mark) || mark != '\n' || size > DELTA_PAYLOAD_MAX_BYTES)
        return false;
    while (take_number(&patch, &n, &mark)) {
        size_t bytes = out->n - start;
        if (mark == ';')
            return patch.n == 0 && bytes == size &&
                   n == checksum(str_slice(buf_str(out), start, out->n));
        if (n > size - bytes || !apply_segment(out, base, &patch, mark, n))
            return false;
    }
    return false;
}

bool delta_apply(struct buf *out, struct str base, struct str patch) {
    size_t start = out->n;
    bool is_good = apply(out, base, patch);
    if (!is_good)
        out->n = start;
    return is_good;
}
