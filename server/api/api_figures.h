/* What this process counts and uses, summed over its workers.
 *
 * Thread: any; the counters are atomics.
 */
#ifndef CARILLON_API_FIGURES_H
#define CARILLON_API_FIGURES_H

#include "server/api/api.h"

uint64_t api_sum(const struct api_node *node, enum metric id);

/* The same of any counter, which stands so many bytes into struct metrics. */
uint64_t api_sum_at(const struct api_node *node, size_t offset);

/* Resident memory. */
uint64_t api_rss_bytes(void);

/* How many descriptors the process may have. */
uint64_t api_descriptors_max(void);

/* Of the process since its start. */
double api_cpu_s(void);

#endif
