/* See listener.h.
 *
 * Thread: main.
 */
#include "server/net/listener.h"

#include "server/base/log.h"
#include "server/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* "" is all addresses of both families. */
static bool parse_ip(const char *text, uint16_t port, bool is_v6, struct address *a) {
    memset(a, 0, sizeof(*a));
    if (is_v6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->storage;
        *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        a->size = sizeof(*v6);
        return !*text || inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a->storage;
    *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    a->size = sizeof(*v4);
    return !*text || inet_pton(AF_INET, text, &v4->sin_addr) == 1;
}

static void set(int fd, int level, int option, int value) {
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* A bound socket, or -1 with errno. */
static int bind_socket(const struct address *a, bool is_shared) {
    int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (is_shared)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (a->storage.ss_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (bind(fd, (const struct sockaddr *)&a->storage, a->size) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t bound_port(int fd, struct address *a) {
    a->size = sizeof(a->storage);
    if (getsockname(fd, (struct sockaddr *)&a->storage, &a->size) != 0)
        return 0;
    return ntohs(a->storage.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a->storage)->sin6_port
                                                  : ((struct sockaddr_in *)&a->storage)->sin_port);
}

static void explain(const struct config *c, int error) {
    long pid;
    char name[32];
    const char *address = *c->http_server_address ? c->http_server_address : "all addresses";
    if (error == EADDRINUSE && port_owner((uint16_t)c->http_server_port, &pid, name))
        log_error("cannot listen address=\"%s\" port=%u error=\"the port is in use\" by_pid=%ld "
                  "by_program=%s",
                  address, c->http_server_port, pid, name);
    else
        log_error("cannot listen address=\"%s\" port=%u error=\"%s\"", address, c->http_server_port,
                  error == EADDRINUSE ? "the port is in use" : strerror(error));
}

/* Binds without sharing, to see that nobody else has the address; gives the address with the real
 * port. */
static bool probe(const struct config *c, struct address *a) {
    bool is_any = !*c->http_server_address;
    bool is_v6 = is_any || strchr(c->http_server_address, ':');
    parse_ip(c->http_server_address, (uint16_t)c->http_server_port, is_v6, a);
    int fd = bind_socket(a, false);
    if (fd < 0 && is_any && errno != EADDRINUSE) { /* a kernel without IPv6 */
        parse_ip("", (uint16_t)c->http_server_port, false, a);
        fd = bind_socket(a, false);
    }
    /* Two sockets may be bound alike with SO_REUSEADDR while none listens. */
    if (fd < 0 || listen(fd, 1) != 0) {
        explain(c, errno);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bound_port(fd, a);
    close(fd);
    return true;
}

static bool open_tcp(struct listeners *l, const struct config *c) {
    struct address a;
    if (!probe(c, &a))
        return false;
    for (uint32_t i = 0; i < l->count; i++) {
        l->fds[i] = bind_socket(&a, true);
        if (l->fds[i] < 0 || listen(l->fds[i], (int)c->backlog) != 0) {
            explain(c, errno);
            return false;
        }
    }
    l->port = bound_port(l->fds[0], &a);
    return true;
}

/* True when nobody answers at the path, and what a dead server left there is removed. */
static bool free_path(const struct sockaddr_un *un) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat st;
    bool is_held = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0;
    bool is_dead = !is_held && errno == ECONNREFUSED;
    /* A typing error must not cost anybody a file. */
    if (is_dead && lstat(un->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(un->sun_path);
    close(fd);
    return !is_held;
}

static bool open_unix(struct listeners *l, const struct config *c, const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(un.sun_path)) {
        log_error("cannot listen path=\"%s\" error=\"longer than %zu bytes\"", path,
                  sizeof(un.sun_path) - 1);
        return false;
    }
    strcpy(un.sun_path, path);
    if (!free_path(&un)) {
        log_error("cannot listen path=\"%s\" error=\"another server answers there\"", path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    l->fds[0] = fd;
    if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
        listen(fd, (int)c->backlog) != 0) {
        log_error("cannot listen path=\"%s\" error=\"%s\"", path, strerror(errno));
        return false;
    }
    l->unix_path = mem_strndup(path, strlen(path));
    for (uint32_t i = 1; i < l->count; i++)
        l->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return true;
}

bool listeners_open(struct listeners *l, const struct config *config, uint32_t count) {
    const char *address = config->http_server_address;
    *l = (struct listeners){.fds = mem_array(count, sizeof(int)), .count = count};
    for (uint32_t i = 0; i < count; i++)
        l->fds[i] = -1;
    bool is_open =
        strncmp(address, "unix:", 5) == 0 ? open_unix(l, config, address + 5) : open_tcp(l, config);
    if (!is_open)
        listeners_close(l);
    return is_open;
}

void listeners_close(struct listeners *l) {
    for (uint32_t i = 0; l->fds && i < l->count; i++)
        if (l->fds[i] >= 0)
            close(l->fds[i]);
    if (l->unix_path)
        unlink(l->unix_path);
    mem_free(l->unix_path);
    mem_free(l->fds);
    *l = (struct listeners){0};
}
