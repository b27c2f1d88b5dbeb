/* Durations as Go writes them, which is what Centrifugo's configuration uses: see config_value.h.
 *
 * The sum is kept in nanoseconds so that "1.5s" and "1500us" are exact, and must be whole
 * milliseconds in the end, because nothing here waits more precisely. Negative ones are refused.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/config/config_value.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define NS_PER_HOUR (3600u * 1000u * (uint64_t)NS_PER_MS)
#define LIMIT_NS (10 * 365 * 24 * NS_PER_HOUR) /* 3.2e17: sums of two stay far below 2^64 */
/* Of a fraction: then fraction * hour in ns still fits 64 bits. */
#define FRACTION_DIGITS 6

struct unit {
    const char *name;
    uint64_t ns;
};

/* Names that begin alike: the longer one first. */
static const struct unit units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000}, /* micro sign */
    {"ms", NS_PER_MS},
    {"s", 1000 * (uint64_t)NS_PER_MS},
    {"m", 60 * 1000 * (uint64_t)NS_PER_MS},
    {"h", NS_PER_HOUR},
};

static const struct unit *take_unit(struct str *s) {
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (str_starts(*s, str_of(units[i].name))) {
            *s = str_slice(*s, strlen(units[i].name), s->n);
            return &units[i];
        }
    }
    return NULL;
}

static struct str take_digits(struct str *s) {
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    struct str digits = str_slice(*s, 0, n);
    *s = str_slice(*s, n, s->n);
    return digits;
}

/* Takes "1.5h" off the front of s. */
static bool take_part(struct str *s, uint64_t *ns) {
    uint64_t whole, fraction = 0, scale = 1;
    if (!str_to_u64(take_digits(s), &whole))
        return false;
    if (s->n && s->p[0] == '.') {
        *s = str_slice(*s, 1, s->n);
        struct str digits = take_digits(s);
        if (digits.n > FRACTION_DIGITS || !str_to_u64(digits, &fraction))
            return false;
        for (size_t i = 0; i < digits.n; i++)
            scale *= 10;
    }
    const struct unit *unit = take_unit(s);
    if (!unit || whole > LIMIT_NS / unit->ns || fraction * unit->ns % scale != 0)
        return false;
    *ns = whole * unit->ns + fraction * unit->ns / scale;
    return true;
}

bool duration_parse(struct str text, uint64_t *ms) {
    uint64_t sum_ns = 0, part_ns;
    if (str_equal(text, STR("0"))) {
        *ms = 0;
        return true;
    }
    if (text.n == 0)
        return false;
    while (text.n) {
        if (!take_part(&text, &part_ns))
            return false;
        sum_ns += part_ns;
        if (sum_ns > LIMIT_NS)
            return false;
    }
    if (sum_ns % NS_PER_MS != 0)
        return false;
    *ms = sum_ns / NS_PER_MS;
    return true;
}

void duration_print(uint64_t ms, struct buf *out) {
    static const struct {
        uint64_t ms;
        const char *name;
    } steps[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    if (ms == 0)
        buf_add_z(out, "0s");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (ms >= steps[i].ms) {
            buf_printf(out, "%" PRIu64 "%s", ms / steps[i].ms, steps[i].name);
            ms %= steps[i].ms;
        }
    }
}
