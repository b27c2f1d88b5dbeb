/* See redis_wire.h.
 *
 * Plain bytes are sealed only as fast as the socket takes them: what is sealed counts as sent,
 * since it cannot be taken back.
 *
 * Thread: its link's.
 */
#include "channels/redis_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT_BYTES = 256 * 1024, SEALED_BYTES = 64 * 1024 };

void redis_wire_init(struct redis_wire *w) {
    *w = (struct redis_wire){.fd = -1};
}

void redis_wire_close(struct redis_wire *w) {
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    redis_tls_close(w->tls);
    w->tls = NULL;
    buf_fini(&w->sealed);
    w->sealed_at = 0;
}

void redis_wire_clear(struct redis_wire *w) {
    buf_fini(&w->out);
    w->out_at = 0;
}

void redis_wire_add(struct redis_wire *w, struct str bytes) {
    buf_add(&w->out, bytes);
}

size_t redis_wire_unsent(const struct redis_wire *w) {
    return w->out.n - w->out_at;
}

uint64_t redis_wire_position(const struct redis_wire *w) {
    return w->written_bytes + redis_wire_unsent(w);
}

/* Forgets what has gone on, when that is all or much. */
static void drop(struct buf *b, size_t *at) {
    if (*at < b->n && *at < KEPT_BYTES)
        return;
    buf_consume(b, *at);
    *at = 0;
    if (b->n == 0 && b->cap > KEPT_BYTES)
        buf_fini(b);
}

/* Sends until all is gone or the socket is full. */
static bool send_from(int fd, const struct buf *b, size_t *at) {
    while (*at < b->n) {
        ssize_t n = send(fd, b->p + *at, b->n - *at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        *at += (size_t)n;
    }
    return true;
}

static bool seal_some(struct redis_wire *w) {
    size_t unsent_bytes = redis_wire_unsent(w);
    size_t n = unsent_bytes < SEALED_BYTES ? unsent_bytes : SEALED_BYTES;
    if (n == 0)
        return true;
    bool is_sealed = redis_tls_write(w->tls, (struct str){w->out.p + w->out_at, n});
    w->out_at += n;
    w->written_bytes += n;
    return is_sealed;
}

static bool flush_sealed(struct redis_wire *w) {
    bool is_full = false, is_well = true;
    while (is_well && !is_full) {
        is_well = send_from(w->fd, &w->sealed, &w->sealed_at);
        is_full = w->sealed_at < w->sealed.n;
        drop(&w->sealed, &w->sealed_at);
        if (redis_wire_unsent(w) == 0)
            break;
        if (is_well && !is_full)
            is_well = seal_some(w);
    }
    return is_well;
}

bool redis_wire_flush(struct redis_wire *w) {
    size_t start = w->out_at;
    bool is_well = w->tls ? flush_sealed(w) : send_from(w->fd, &w->out, &w->out_at);
    if (!w->tls)
        w->written_bytes += w->out_at - start;
    drop(&w->out, &w->out_at);
    return is_well;
}

bool redis_wire_wants_write(const struct redis_wire *w) {
    return redis_wire_unsent(w) > 0 || w->sealed_at < w->sealed.n;
}
