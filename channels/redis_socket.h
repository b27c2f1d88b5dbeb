/* From the name of a Redis server to a connecting socket, without blocking.
 *
 * A numeric host or a unix path is known at once. Looking up a name may take as long as the
 * system's resolver likes, so it runs in a thread of its own, which nobody waits for: who gives up
 * leaves it behind, and it frees itself.
 *
 * Owns: the lookup; it is shared with its thread, the last one frees it. Thread: the caller's.
 */
#ifndef CARILLON_CHANNELS_REDIS_SOCKET_H
#define CARILLON_CHANNELS_REDIS_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct redis_target {
    const char *host;      /* a name or an IP address */
    uint32_t port;         /* of the host */
    const char *unix_path; /* instead of host and port when not NULL */
};

enum { REDIS_ADDRESSES_MAX = 8 };

struct redis_addresses {
    uint32_t count; /* 0: nothing found */
    struct {
        socklen_t size_bytes;
        struct sockaddr_storage address;
    } items[REDIS_ADDRESSES_MAX];
};

struct redis_lookup;

/* Gives a lookup under way; copies the target. */
struct redis_lookup *redis_lookup_start(const struct redis_target *target);

/* True when it has finished, with what was found. */
bool redis_lookup_poll(struct redis_lookup *l, struct redis_addresses *out);

/* Forgets it, finished or not; NULL is fine. */
void redis_lookup_free(struct redis_lookup *l);

/* Gives a non-blocking socket that is connected or connecting; -1 with errno. */
int redis_socket_connect(const struct redis_addresses *addresses, uint32_t index);

/* 0 when the connection is made, else its errno. */
int redis_socket_error(int fd);

/* Why connecting failed, from an errno: a static text. */
const char *redis_socket_words(int error);

#endif
