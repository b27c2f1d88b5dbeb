/* Intrusive hash map from byte strings to objects: the node is a field of the object, so inserting
 * cannot fail and allocates nothing per entry.
 *
 * Chained buckets, doubled at load 1, halved below 1/8. Keys come from the network, so the hash is
 * libsodium's keyed crypto_shorthash (SipHash-2-4) with a random key of the process: nobody can
 * choose names that collide.
 *
 * Owns: its bucket array, not the objects. Borrows: the key bytes, which must live as long as the
 * object is in the map. Thread: one at a time; map_hash() any.
 */
#ifndef CARILLON_MAP_H
#define CARILLON_MAP_H

#include "server/base/str.h"

#include <stdint.h>

struct map_node {
    struct map_node *next;
    struct str key;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;        /* entries */
};

/* The hash of a key in every map of this process. Also used to choose a shard. */
uint64_t map_hash(struct str key);

void map_init(struct map *m);

/* The objects must have been removed, or be forgotten with it. */
void map_fini(struct map *m);

/* NULL when there is none. */
struct map_node *map_find(const struct map *m, struct str key);

/* The same for a caller that has the hash already. */
struct map_node *map_find_hashed(const struct map *m, struct str key, uint64_t hash);

/* Adds a node under a key that is not in the map. Sets node->key and node->hash. */
void map_insert(struct map *m, struct map_node *node, struct str key);

/* The node must be in the map. */
void map_remove(struct map *m, struct map_node *node);

/* Ends a map with its entries: drop() gets each node, in no order, when it is out of the map, and
 * may free its object. The map is empty then, as after map_init(). */
void map_clear(struct map *m, void (*drop)(struct map_node *node, void *arg), void *arg);

/* Walks all nodes in no order: start with NULL; NULL at the end. The map must not change meanwhile.
 */
struct map_node *map_next(const struct map *m, const struct map_node *after);

#endif
