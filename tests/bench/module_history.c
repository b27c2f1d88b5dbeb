/* What history costs: the memory of many channels, and the time of a publication and of a read.
 *
 *   bench-history [CHANNELS [MESSAGES [BYTES]]]      default: 100000 10 128
 *
 * As in the memory engine, the channels are spread over 64 shards by their hash, and messages are
 * published round after round, so that the publications of a channel do not lie side by side.
 * Exits with 1 when a message costs more than 100 bytes above its payload, by the allocator's count
 * or by the resident size.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/history.h"
#include "channels/idempotency.h"
#include "server/base/clock.h"
#include "server/base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHARDS = 64, TARGET_BYTES = 100, KEYS = 16384 };

static struct history shards[SHARDS];
static struct idempotency keys;
static char *payload;
static uint32_t channels = 100000, messages = 10, payload_bytes = 128;

struct usage {
    size_t heap_bytes, resident_bytes;
};

static struct usage usage_now(void) {
    unsigned long all_pages = 0, resident_pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &all_pages, &resident_pages) != 2)
        abort();
    fclose(f);
    struct mallinfo2 m = mallinfo2();
    return (struct usage){m.uordblks + m.hblkhd, resident_pages * (size_t)sysconf(_SC_PAGESIZE)};
}

static struct str name_of(uint32_t channel, char name[32]) {
    return (struct str){name, (size_t)snprintf(name, 32, "bench:channel_%u", channel)};
}

static struct history *shard_of(struct str name) {
    return &shards[map_hash(name) >> 58];
}

static void publish(uint32_t channel) {
    static const struct keep k = {.size = 10, .ttl_ms = 1000000, .meta_ttl_ms = 10000000};
    char name[32];
    struct msg *m = msg_create(
        &(struct msg_parts){.channel = name_of(channel, name), .data = {payload, payload_bytes}});
    history_add(&shards[m->channel_hash >> 58], m, &k, NULL, 1);
    msg_unref(m);
}

static void read_all(uint32_t channel) {
    char name[32];
    struct str channel_name = name_of(channel, name);
    struct history_reply r = {.limit = UINT32_MAX};
    history_read(shard_of(channel_name), channel_name, &r, 1);
    for (uint32_t i = 0; i < r.count; i++)
        msg_unref(r.items[i]);
    mem_free(r.items);
}

static void read_top(uint32_t channel) {
    char name[32];
    struct str channel_name = name_of(channel, name);
    struct position p;
    history_top(shard_of(channel_name), channel_name, 1, &p);
}

static void read_unknown(uint32_t channel) {
    read_top(channel + channels);
}

static void put_key(uint32_t i) {
    char name[32];
    idempotency_put(&keys, STR("bench:channel"), name_of(i, name), 1,
                    &(struct position){.offset = i});
}

static void find_key(uint32_t i) {
    char name[32];
    struct position p;
    idempotency_find(&keys, STR("bench:channel"), name_of(i, name), 1, &p);
}

/* Calls it for each of the channels, so many rounds. Prints the time of a call. */
static void measure(const char *what, void (*call)(uint32_t), uint32_t rounds) {
    uint64_t start_us = clock_now_us();
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t i = 0; i < channels; i++)
            call(i);
    double calls = (double)channels * rounds;
    printf("%-44s %8.0f ns\n", what, (double)(clock_now_us() - start_us) * 1000 / calls);
}

static bool report(const char *what, size_t before, size_t now) {
    double count = (double)channels * messages, used = (double)(now - before);
    double over = used / count - payload_bytes;
    printf("%-44s %8.1f MB, %.1f bytes per message above its payload\n", what, used / 1e6, over);
    return over <= TARGET_BYTES;
}

static void expire_all(void) {
    uint64_t start_us = clock_now_us();
    for (int i = 0; i < SHARDS; i++)
        history_expire(&shards[i], UINT64_MAX, UINT32_MAX);
    printf("%-44s %8.0f ns\n", "expire a channel with all its messages",
           (double)(clock_now_us() - start_us) * 1000 / channels);
}

static bool measure_history(void) {
    struct usage before = usage_now();
    measure("publish, the history grows", publish, messages);
    struct usage after = usage_now();
    struct history_counts counts = {0};
    for (int i = 0; i < SHARDS; i++)
        history_count(&shards[i], &counts);
    bool is_good = report("memory by the allocator", before.heap_bytes, after.heap_bytes);
    is_good = report("memory, resident", before.resident_bytes, after.resident_bytes) && is_good;
    printf("%-44s %8.1f MB\n", "memory as the metrics say", (double)counts.bytes / 1e6);
    measure("publish, the oldest goes", publish, messages);
    measure("read all of a channel", read_all, 3);
    measure("read the top", read_top, 3);
    measure("read the top of a channel that never was", read_unknown, 3);
    expire_all();
    after = usage_now();
    printf("%-44s %8.1f MB\n", "memory left by the allocator",
           (double)(after.heap_bytes - before.heap_bytes) / 1e6);
    return is_good;
}

static void measure_keys(void) {
    size_t before = usage_now().heap_bytes;
    idempotency_init(&keys, KEYS, 300000);
    measure("idempotency: put", put_key, 1);
    printf("%-44s %8.1f bytes\n", "idempotency: memory of one of 16,384",
           (double)(usage_now().heap_bytes - before) / (channels < KEYS ? channels : KEYS));
    measure("idempotency: find", find_key, 1);
    idempotency_fini(&keys);
}

int main(int argc, char **argv) {
    uint32_t *const arguments[] = {&channels, &messages, &payload_bytes};
    for (int i = 1; i < argc && i <= 3; i++)
        *arguments[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
    if (argc > 4 || !channels || !messages || messages > 10 || !payload_bytes) {
        fprintf(stderr, "usage: bench-history [CHANNELS [MESSAGES(1-10) [BYTES]]]\n");
        return 2;
    }
    payload = mem_alloc(payload_bytes);
    memset(payload, 'x', payload_bytes);
    for (int i = 0; i < SHARDS; i++)
        history_init(&shards[i]);
    printf("%u channels, %u messages each, %u bytes\n", channels, messages, payload_bytes);
    bool is_good = measure_history();
    measure_keys();
    for (int i = 0; i < SHARDS; i++)
        history_fini(&shards[i]);
    mem_free(payload);
    return is_good ? 0 : 1;
}
