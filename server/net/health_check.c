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

static bool parse(const char *url, struct target *t) {
    strcpy(t->port, "80");
    strcpy(t->path, "/health");
    if (sscanf(url, "http://[%255[^]]]:%7[0-9]%511s", t->host, t->port, t->path) >= 1)
        return true;
    if (sscanf(url, "http://%255[^:/]:%7[0-9]%511s", t->host, t->port, t->path) >= 2)
        return true;
    return sscanf(url, "http://%255[^:/]%511s", t->host, t->path) >= 1;
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
