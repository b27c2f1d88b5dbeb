/* See channel_counts.h.
 *
 * Thread: any.
 */
#include "server/session/channel_counts.h"

#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

void channel_counts_fini(struct channel_counts *l) {
    mem_free(l->items);
    buf_fini(&l->names);
    *l = (struct channel_counts){0};
}

int channel_names_compare(struct str a, struct str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

int channel_counts_compare(const void *a, const void *b) {
    return channel_names_compare(((const struct channel_count *)a)->name,
                                 ((const struct channel_count *)b)->name);
}

/* The last name of a list; NULL when it has none. */
static const struct str *last_of(const struct channel_counts *l) {
    const struct str *last = NULL;
    for (size_t i = 0; i < l->count; i++)
        if (!last || channel_names_compare(l->items[i].name, *last) > 0)
            last = &l->items[i].name;
    return last;
}

/* The name up to which every list is complete; NULL: all are. */
static const struct str *horizon_of(const struct channel_counts *lists, size_t count) {
    const struct str *horizon = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct str *last = lists[i].has_more ? last_of(&lists[i]) : NULL;
        if (last && (!horizon || channel_names_compare(*last, *horizon) < 0))
            horizon = last;
    }
    return horizon;
}

static size_t copy_all(struct channel_count *to, const struct channel_counts *lists, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (lists[i].count)
            memcpy(to + total, lists[i].items, lists[i].count * sizeof(*to));
        total += lists[i].count;
    }
    return total;
}

struct channel_counts channel_counts_merge(const struct channel_counts *lists, size_t count,
                                           uint32_t limit) {
    struct channel_counts out = {0};
    const struct str *horizon = horizon_of(lists, count);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += lists[i].count;
        out.has_more |= lists[i].has_more;
    }
    out.items = mem_array(total + 1, sizeof(*out.items));
    copy_all(out.items, lists, count);
    qsort(out.items, total, sizeof(*out.items), channel_counts_compare);
    for (size_t i = 0; i < total; i++) {
        struct channel_count one = out.items[i];
        struct channel_count *last = out.count ? &out.items[out.count - 1] : NULL;
        if (last && str_equal(last->name, one.name)) {
            last->client_count += one.client_count;
        } else if (out.count == limit ||
                   (horizon && channel_names_compare(one.name, *horizon) > 0)) {
            out.has_more = true;
            break;
        } else {
            out.items[out.count++] = one;
        }
    }
    return out;
}
