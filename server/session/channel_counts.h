/* Lists of channels and their subscribers, in the order of names, and how several become one page.
 *
 * A list has the first names that there are where it was made, or all; `has_more` says which. What
 * lies behind the last name of a list with more is not known there, so a page ends there.
 *
 * Thread: any. Owns: the items and their names.
 */
#ifndef CARILLON_SESSION_CHANNEL_COUNTS_H
#define CARILLON_SESSION_CHANNEL_COUNTS_H

#include "server/base/buf.h"

struct channel_count {
    struct str name;
    uint32_t client_count;
};

struct channel_counts {
    struct channel_count *items;
    size_t count;
    bool has_more;    /* behind the last one */
    struct buf names; /* where the texts are, or empty when they are borrowed */
};

void channel_counts_fini(struct channel_counts *l);

/* Negative, 0, positive: as in memcmp(). */
int channel_names_compare(struct str a, struct str b);

/* For qsort(). */
int channel_counts_compare(const void *a, const void *b);

/* Gives a page of at most `limit` (> 0) names of all lists, whose items need no order; the same
 * name's subscribers are added up. Its names are borrowed from the lists. */
struct channel_counts channel_counts_merge(const struct channel_counts *lists, size_t count,
                                           uint32_t limit);

#endif
