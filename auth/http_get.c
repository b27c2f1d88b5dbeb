/* See http_get.h. Sockets do not block; each wait is a poll() with what is left of the time, which
 * stop_fd ends early.
 *
 * Thread: any. Owns: its socket during the call.
 */
#include "auth/http_get.h"

#include "auth/http_answer.h"
#include "auth/tls_peer.h"
#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/base/version.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES 16384

struct link {
    const struct http_get *get;
    uint64_t end_ms;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    const char *fault;
};

/* --- URLs ------------------------------------------------------------------------------------- */

static bool is_visible(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("\"<>\\^`{|}", s.p[i]))
            return false;
    return true;
}

static bool split_authority(struct http_url *u) {
    struct str a = u->authority;
    size_t host_end = str_find(a, ':');
    if (a.n && a.p[0] == '[') {
        host_end = str_find(a, ']') + 1;
        if (host_end > a.n)
            return false;
        u->host = str_slice(a, 1, host_end - 1);
    } else {
        u->host = str_slice(a, 0, host_end);
    }
    u->port = u->is_tls ? STR("443") : STR("80");
    if (host_end < a.n) {
        uint64_t port;
        if (a.p[host_end] != ':' || a.n - host_end > 6)
            return false;
        u->port = str_slice(a, host_end + 1, a.n);
        if (!str_to_u64(u->port, &port) || port == 0 || port > 65535)
            return false;
    }
    return u->host.n > 0 && u->host.n < 254 && str_find(u->host, '@') == u->host.n;
}

bool http_url_parse(struct str url, struct http_url *out) {
    struct http_url u = {.is_tls = str_starts(url, STR("https://"))};
    struct str rest = str_slice(url, u.is_tls ? 8 : 7, url.n);
    if ((!u.is_tls && !str_starts(url, STR("http://"))) || !is_visible(url) ||
        str_find(url, '#') < url.n || str_find(url, '@') < url.n)
        return false;
    size_t path = str_find(rest, '/'), query = str_find(rest, '?');
    size_t end = path < query ? path : query;
    u.authority = str_slice(rest, 0, end);
    u.target = str_slice(rest, end, rest.n);
    if (!split_authority(&u))
        return false;
    *out = u;
    return true;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static bool wait_for(struct link *l, short events) {
    for (;;) {
        uint64_t now_ms = clock_now_ms();
        struct pollfd fds[2] = {{.fd = l->fd, .events = events},
                                {.fd = l->get->stop_fd, .events = POLLIN}};
        if (now_ms >= l->end_ms) {
            l->fault = "no answer in time";
            return false;
        }
        int count = poll(fds, 2, (int)(l->end_ms - now_ms));
        if (count > 0 && fds[1].revents) {
            l->fault = "stopped";
            return false;
        }
        if (count > 0)
            return true;
    }
}

static bool fail(struct link *l, const char *fault) {
    if (!l->fault)
        l->fault = fault;
    return false;
}

/* --- connecting ------------------------------------------------------------------------------- */

static bool connect_to(struct link *l, const struct addrinfo *a) {
    int error = 0;
    socklen_t n = sizeof(error);
    l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return false;
    bool is_done = connect(l->fd, a->ai_addr, a->ai_addrlen) == 0;
    if (!is_done && errno == EINPROGRESS && wait_for(l, POLLOUT))
        is_done = getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
    if (!is_done) {
        close(l->fd);
        l->fd = -1;
    }
    return is_done;
}

static bool connect_link(struct link *l) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    char *host = mem_strndup(l->get->url.host.p, l->get->url.host.n);
    char *port = mem_strndup(l->get->url.port.p, l->get->url.port.n);
    int status = getaddrinfo(host, port, &hints, &list);
    mem_free(host);
    mem_free(port);
    if (status != 0)
        return fail(l, "the host's name has no address");
    for (struct addrinfo *a = list; a && l->fd < 0 && !l->fault; a = a->ai_next)
        connect_to(l, a);
    freeaddrinfo(list);
    return l->fd >= 0 || fail(l, "no connection");
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* After a call that gave result: waits for what it needs. False when it failed. */
static bool tls_continue(struct link *l, int result) {
    switch (SSL_get_error(l->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(l, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(l, POLLOUT);
    default:
        return fail(l, SSL_get_verify_result(l->ssl) == X509_V_OK
                           ? "the TLS connection broke"
                           : "its certificate is not trusted, or for another name");
    }
}

static bool start_tls(struct link *l) {
    int result;
    l->ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ctx || !SSL_CTX_set_min_proto_version(l->ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_default_verify_paths(l->ctx))
        return fail(l, "OpenSSL gives no TLS");
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
    l->ssl = SSL_new(l->ctx);
    if (!l->ssl || !tls_name_peer(l->ssl, l->get->url.host) || !SSL_set_fd(l->ssl, l->fd))
        return fail(l, "OpenSSL gives no TLS");
    ERR_clear_error();
    while ((result = SSL_connect(l->ssl)) != 1)
        if (!tls_continue(l, result))
            return false;
    return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool send_all(struct link *l, struct str s) {
    while (s.n) {
        ssize_t n = l->ssl ? SSL_write(l->ssl, s.p, (int)s.n) : send(l->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n > 0)
            s = str_slice(s, (size_t)n, s.n);
        else if (l->ssl ? !tls_continue(l, (int)n)
                        : (errno != EAGAIN && errno != EINTR) || !wait_for(l, POLLOUT))
            return fail(l, "the connection broke");
    }
    return true;
}

/* Appends some bytes; *is_end when there will be no more. */
static bool receive(struct link *l, struct buf *in, bool *is_end) {
    for (;;) {
        char *to = buf_reserve(in, CHUNK_BYTES);
        ssize_t n = l->ssl ? SSL_read(l->ssl, to, CHUNK_BYTES) : recv(l->fd, to, CHUNK_BYTES, 0);
        if (n > 0) {
            in->n += (size_t)n;
            return true;
        }
        /* An end without TLS's own farewell could be a cut: the body's length must be known then.
         */
        if (l->ssl ? SSL_get_error(l->ssl, (int)n) == SSL_ERROR_ZERO_RETURN : n == 0) {
            *is_end = true;
            return true;
        }
        if (l->ssl ? !tls_continue(l, (int)n)
                   : (errno != EAGAIN && errno != EINTR) || !wait_for(l, POLLIN))
            return fail(l, "the connection broke");
    }
}

static const char *read_answer(struct link *l, struct buf *body) {
    struct buf in = {0};
    const char *fault = NULL;
    enum http_answer_state state = HTTP_ANSWER_MORE;
    for (bool is_end = false; state == HTTP_ANSWER_MORE;) {
        if (!receive(l, &in, &is_end)) {
            fault = l->fault;
            break;
        }
        state = http_answer_read(buf_str(&in), is_end, l->get->max_bytes, body, &fault);
    }
    buf_fini(&in);
    return fault;
}

static void add_request(const struct http_url *u, struct buf *out) {
    buf_printf(out, "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\n",
               u->target.n && u->target.p[0] == '/' ? "" : "/", STR_ARG(u->target),
               STR_ARG(u->authority));
    buf_add_z(out, "Accept: application/json\r\nUser-Agent: carillon/" CARILLON_VERSION
                   "\r\nConnection: close\r\n\r\n");
}

const char *http_get(const struct http_get *g, struct buf *body) {
    struct link l = {.get = g, .end_ms = clock_now_ms() + g->timeout_ms, .fd = -1};
    struct buf request = {0};
    add_request(&g->url, &request);
    if (connect_link(&l) && (!g->url.is_tls || start_tls(&l)) && send_all(&l, buf_str(&request)))
        l.fault = read_answer(&l, body);
    if (l.ssl && !l.fault)
        SSL_shutdown(l.ssl);
    SSL_free(l.ssl);
    SSL_CTX_free(l.ctx);
    ERR_clear_error();
    if (l.fd >= 0)
        close(l.fd);
    buf_fini(&request);
    return l.fault;
}
