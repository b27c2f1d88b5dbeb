/* See health_check.h.
 *
 * Thread: main.
 */
#include "server/net/health_check.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_S = 3 };

struct target {
    char host[256], port[8], path[512];
};

/* Copies n bytes and ends them; false when they are none or do not fit. */
static bool copy(char *to, size_t cap, const char *from, size_t n) {
    if (n == 0 || n >= cap)
        return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

static bool parse(const char *url, struct target *t) {
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *at = url + sizeof(scheme) - 1;
    bool is_v6 = *at == '[';
    size_t n = strcspn(at += is_v6, is_v6 ? "]" : ":/");
    if (!copy(t->host, sizeof(t->host), at, n) || (is_v6 && at[n] != ']'))
        return false;
    at += n + is_v6;
    strcpy(t->port, "80");
    if (*at == ':') {
        n = strspn(++at, "0123456789");
        if (!copy(t->port, sizeof(t->port), at, n))
            return false;
        at += n;
    }
    strcpy(t->path, "/health");
    return *at == '\0' || (*at == '/' && copy(t->path, sizeof(t->path), at, strlen(at)));
}

static int connect_to(const struct target *t) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = -1;
    if (getaddrinfo(t->host, t->port, &hints, &found) != 0)
        return -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* The HTTP status, or 0. */
static int ask(const struct target *t) {
    char request[1200], answer[64] = "";
    int status = 0;
    int fd = connect_to(t);
    if (fd < 0)
        return 0;
    int n = snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", t->path, t->host);
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) == n &&
        recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 12)
        sscanf(answer, "HTTP/1.1 %d", &status);
    close(fd);
    return status;
}

int health_check(const char *url) {
    struct target t;
    if (!url)
        url = "http://127.0.0.1:8000/health";
    if (!parse(url, &t)) {
        fprintf(stderr, "carillon health: \"%s\" is not of the form http://HOST[:PORT][/PATH]\n",
                url);
        return 1;
    }
    int status = ask(&t);
    if (status == 200)
        return 0;
    if (status)
        fprintf(stderr, "carillon health: %s answered %d\n", url, status);
    else
        fprintf(stderr, "carillon health: no answer from %s\n", url);
    return 1;
}
