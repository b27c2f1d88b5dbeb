/* What carillon-bench measures with: clocks, histogram, CPU time and memory of the server.
 *
 * The server's CPU time is read from its process clock (clock_getcpuclockid), which counts all its
 * threads in nanoseconds and includes the slice that is running now; /proc/PID/stat counts in ticks
 * of 10 ms, and /proc/PID/schedstat only the main thread. Its memory is VmRSS of /proc/PID/status.
 *
 * Owns: nothing. Thread: a histogram belongs to one thread until it is merged.
 */
#include "tests/bench/carillon_bench.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

/* The first 128 values have a step each; from there on every power of two has 128 steps. */
static size_t step_of(uint64_t ns) {
    if (ns < HISTOGRAM_STEPS)
        return ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 7; /* 7 = log2(HISTOGRAM_STEPS) */
    size_t step = (size_t)(shift + 1) * HISTOGRAM_STEPS + (ns >> shift) - HISTOGRAM_STEPS;
    size_t last = HISTOGRAM_STEPS * HISTOGRAM_POWERS - 1;
    return step < last ? step : last;
}

/* The middle of a step. */
static uint64_t value_of(size_t step) {
    if (step < HISTOGRAM_STEPS)
        return step;
    unsigned shift = (unsigned)(step / HISTOGRAM_STEPS) - 1;
    uint64_t low = (uint64_t)(step % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
    return low + ((1ull << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t ns) {
    h->counts[step_of(ns)]++;
    h->count++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

void histogram_merge(struct histogram *to, const struct histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_STEPS * HISTOGRAM_POWERS; i++)
        to->counts[i] += from->counts[i];
    to->count += from->count;
    if (from->max_ns > to->max_ns)
        to->max_ns = from->max_ns;
}

uint64_t histogram_at(const struct histogram *h, double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.5), seen = 0;
    if (wanted == 0)
        wanted = 1;
    for (size_t i = 0; i < HISTOGRAM_STEPS * HISTOGRAM_POWERS; i++) {
        seen += h->counts[i];
        if (seen >= wanted)
            return value_of(i) < h->max_ns ? value_of(i) : h->max_ns;
    }
    return h->max_ns;
}

void histogram_report(const struct histogram *h, const char *prefix) {
    printf("%s_count=%llu\n", prefix, (unsigned long long)h->count);
    printf("%s_p50_us=%.1f\n", prefix, (double)histogram_at(h, 0.5) / 1e3);
    printf("%s_p99_us=%.1f\n", prefix, (double)histogram_at(h, 0.99) / 1e3);
    printf("%s_p999_us=%.1f\n", prefix, (double)histogram_at(h, 0.999) / 1e3);
    printf("%s_max_us=%.1f\n", prefix, (double)h->max_ns / 1e3);
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

void sleep_until(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

uint64_t process_cpu_ns(pid_t pid) {
    clockid_t clock;
    if (pid == 0)
        return 0;
    int error = clock_getcpuclockid(pid, &clock);
    uint64_t ns = error ? 0 : clock_ns(clock);
    if (ns == 0)
        bench_die("cannot read the CPU time of process %d: is it still there?", (int)pid);
    return ns;
}

uint64_t process_rss_bytes(pid_t pid) {
    char path[64], line[256];
    unsigned long long kilobytes = 0;
    if (pid == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        bench_die("cannot open %s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %llu kB", &kilobytes) == 1)
            break;
    fclose(f);
    return kilobytes * 1024;
}

/* Any thread may find the broken promise; the others must not be waited for. */
void bench_die(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "carillon-bench: %s\n", text);
    fflush(stderr);
    _exit(1);
}
