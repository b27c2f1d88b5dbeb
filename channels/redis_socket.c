/* See redis_socket.h.
 *
 * Thread: a lookup's own thread writes `found`, then sets is_done; its reader looks at `found` only
 * after that.
 */
#include "channels/redis_socket.h"

#include "server/base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct redis_lookup {
    atomic_uint refs; /* the caller, and the thread if there is one */
    atomic_bool is_done;
    struct redis_addresses found;
    char *host;
    char port[8];
};

static void unref(struct redis_lookup *l) {
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
        return;
    mem_free(l->host);
    mem_free(l);
}

static void keep(struct redis_addresses *found, const struct addrinfo *list) {
    for (; list && found->count < REDIS_ADDRESSES_MAX; list = list->ai_next) {
        if (list->ai_addrlen > sizeof(found->items[0].address))
            continue;
        found->items[found->count].size_bytes = list->ai_addrlen;
        memcpy(&found->items[found->count++].address, list->ai_addr, list->ai_addrlen);
    }
}

/* False when the host is not found; with AI_NUMERICHOST it never blocks. */
static bool look_up(struct redis_lookup *l, int flags) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    if (getaddrinfo(l->host, l->port, &hints, &list) != 0)
        return false;
    keep(&l->found, list);
    freeaddrinfo(list);
    return true;
}

static void *run(void *arg) {
    struct redis_lookup *l = arg;
    look_up(l, 0);
    atomic_store_explicit(&l->is_done, true, memory_order_release);
    unref(l);
    return NULL;
}

/* A path that is too long for the kernel finds nothing. */
static void use_unix_path(struct redis_addresses *found, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_bytes = strlen(path);
    if (path_bytes >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, path_bytes + 1);
    memcpy(&found->items[0].address, &address, sizeof(address));
    found->items[0].size_bytes = sizeof(address);
    found->count = 1;
}

static void start_thread(struct redis_lookup *l) {
    pthread_t thread;
    atomic_store(&l->refs, 2);
    if (pthread_create(&thread, NULL, run, l) == 0) {
        pthread_detach(thread);
        return;
    }
    atomic_store(&l->refs, 1);
    atomic_store(&l->is_done, true); /* found nothing; the next attempt tries again */
}

struct redis_lookup *redis_lookup_start(const struct redis_target *target) {
    struct redis_lookup *l = mem_zalloc(sizeof(*l));
    atomic_init(&l->refs, 1);
    if (target->unix_path) {
        use_unix_path(&l->found, target->unix_path);
        atomic_init(&l->is_done, true);
        return l;
    }
    l->host = mem_strndup(target->host, strlen(target->host));
    snprintf(l->port, sizeof(l->port), "%u", target->port);
    atomic_init(&l->is_done, look_up(l, AI_NUMERICHOST));
    if (!atomic_load(&l->is_done))
        start_thread(l);
    return l;
}

bool redis_lookup_poll(struct redis_lookup *l, struct redis_addresses *out) {
    if (!atomic_load_explicit(&l->is_done, memory_order_acquire))
        return false;
    *out = l->found;
    return true;
}

void redis_lookup_free(struct redis_lookup *l) {
    if (l)
        unref(l);
}

int redis_socket_connect(const struct redis_addresses *addresses, uint32_t index) {
    const struct sockaddr *address = (const struct sockaddr *)&addresses->items[index].address;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* we join writes ourselves */
    if (connect(fd, address, addresses->items[index].size_bytes) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int redis_socket_error(int fd) {
    int error = 0;
    socklen_t size_bytes = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size_bytes) < 0 ? errno : error;
}

const char *redis_socket_words(int error) {
    switch (error) {
    case ECONNREFUSED:
        return "redis refuses connections";
    case ENOENT:
        return "the socket of redis does not exist";
    case EACCES:
    case EPERM:
        return "no permission to connect to redis";
    case EMFILE:
    case ENFILE:
        return "out of descriptors for redis";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to redis";
    default:
        return "cannot connect to redis";
    }
}
