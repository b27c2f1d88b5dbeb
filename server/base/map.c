/* Intrusive hash map: see map.h.
 *
 * The hash is kept in the node: growing and shrinking never look at a key again, and a chain is
 * compared by hash first. The random key is made once per process, at the first hash of any thread.
 *
 * Thread: one at a time for each map; map_hash() any. Owns: bucket arrays.
 */
#include "server/base/map.h"

#include "server/base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

/* A map that had an entry keeps at least this many buckets: one entry that comes and goes must not
 * allocate each time. */
#define BUCKETS_MIN 4

static unsigned char hash_key[crypto_shorthash_KEYBYTES]; /* constant after hash_key_once */
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void) {
    /* -1 means no source of randomness: a predictable hash would invite collisions. */
    if (sodium_init() < 0)
        abort();
    randombytes_buf(hash_key, sizeof(hash_key));
}

uint64_t map_hash(struct str key) {
    pthread_once(&hash_key_once, make_hash_key);
    const unsigned char *bytes = key.n ? (const unsigned char *)key.p : hash_key;
    union {
        unsigned char bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } hash;
    static_assert(sizeof(hash.bytes) == sizeof(hash.number), "the hash fills a number");
    crypto_shorthash(hash.bytes, bytes, key.n, hash_key);
    return hash.number;
}

void map_init(struct map *m) {
    *m = (struct map){0};
}

void map_fini(struct map *m) {
    mem_free(m->buckets);
    map_init(m);
}

static struct map_node **bucket_of(const struct map *m, uint64_t hash) {
    return &m->buckets[hash & (m->bucket_count - 1)];
}

struct map_node *map_find(const struct map *m, struct str key) {
    /* Most maps of a quiet connection are empty, and hashing is the expensive part. */
    return m->count ? map_find_hashed(m, key, map_hash(key)) : NULL;
}

struct map_node *map_find_hashed(const struct map *m, struct str key, uint64_t hash) {
    if (m->count == 0)
        return NULL;
    for (struct map_node *node = *bucket_of(m, hash); node; node = node->next)
        if (node->hash == hash && str_equal(node->key, key))
            return node;
    return NULL;
}

static void link_node(struct map *m, struct map_node *node) {
    struct map_node **bucket = bucket_of(m, node->hash);
    node->next = *bucket;
    *bucket = node;
}

static void resize(struct map *m, size_t bucket_count) {
    struct map old = *m;
    m->buckets = mem_array(bucket_count, sizeof(struct map_node *));
    m->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        struct map_node *node = old.buckets[i];
        while (node) {
            struct map_node *next = node->next;
            link_node(m, node);
            node = next;
        }
    }
    mem_free(old.buckets);
}

void map_insert(struct map *m, struct map_node *node, struct str key) {
    if (m->bucket_count == 0)
        resize(m, BUCKETS_MIN);
    else if (m->count >= m->bucket_count)
        resize(m, m->bucket_count * 2);
    node->key = key;
    node->hash = map_hash(key);
    link_node(m, node);
    m->count++;
}

void map_remove(struct map *m, struct map_node *node) {
    assert(m->count > 0);
    struct map_node **at = bucket_of(m, node->hash);
    while (*at != node) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    m->count--;
    if (m->bucket_count > BUCKETS_MIN && m->count < m->bucket_count / 8)
        resize(m, m->bucket_count / 2);
}

void map_clear(struct map *m, void (*drop)(struct map_node *node, void *arg), void *arg) {
    struct map old = *m;
    map_init(m);
    for (size_t i = 0; i < old.bucket_count; i++)
        for (struct map_node *node = old.buckets[i], *next; node; node = next) {
            next = node->next;
            node->next = NULL;
            drop(node, arg);
        }
    map_fini(&old);
}

static struct map_node *first_from(const struct map *m, size_t bucket) {
    for (; bucket < m->bucket_count; bucket++)
        if (m->buckets[bucket])
            return m->buckets[bucket];
    return NULL;
}

struct map_node *map_next(const struct map *m, const struct map_node *after) {
    if (!after)
        return first_from(m, 0);
    if (after->next)
        return after->next;
    return first_from(m, (after->hash & (m->bucket_count - 1)) + 1);
}
