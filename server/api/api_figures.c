/* See api_figures.h.
 *
 * Thread: any.
 */
#include "server/api/api_figures.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t api_sum_at(const struct api_node *node, size_t offset) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < node->worker_count; i++) {
        const char *metrics = (const char *)node->sessions[i]->metrics;
        total += atomic_load_explicit((const _Atomic uint64_t *)(const void *)(metrics + offset),
                                      memory_order_relaxed);
    }
    return total;
}

uint64_t api_sum(const struct api_node *node, enum metric id) {
    return api_sum_at(node, offsetof(struct metrics, values[id]));
}

uint64_t api_rss_bytes(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t api_descriptors_max(void) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

double api_cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
