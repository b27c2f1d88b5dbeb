/* See msg.h. One allocation per message: the struct and behind it the texts, one after the other.
 *
 * Thread: any. The count uses release on the way down and acquire before the end, so that the last
 * holder sees what the others wrote before.
 */
#include "channels/msg.h"

#include "server/base/map.h"
#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

void position_set_epoch(struct position *p, struct str epoch) {
    memset(p->epoch, 0, EPOCH_BYTES);
    if (epoch.n == EPOCH_BYTES)
        memcpy(p->epoch, epoch.p, EPOCH_BYTES);
    else if (epoch.n)
        p->epoch[0] = '?';
}

static struct str place(char **at, struct str s) {
    struct str placed = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return placed;
}

struct msg *msg_create(const struct msg_parts *p) {
    size_t texts_bytes = p->channel.n + p->data.n + p->tags.n + p->user.n + p->client.n +
                         p->conn_info.n + p->chan_info.n;
    struct msg *m = mem_alloc(sizeof(*m) + texts_bytes);
    char *at = m->bytes;

    atomic_init(&m->refs, 1);
    m->size_bytes = sizeof(*m) + texts_bytes;
    m->position = (struct position){0};
    m->delta = STR_NONE;
    m->parts = (struct msg_parts){
        .kind = p->kind,
        .channel = place(&at, p->channel),
        .data = place(&at, p->data),
        .tags = place(&at, p->tags),
        .user = place(&at, p->user),
        .client = place(&at, p->client),
        .conn_info = place(&at, p->conn_info),
        .chan_info = place(&at, p->chan_info),
    };
    m->channel_hash = map_hash(m->parts.channel);
    return m;
}

void msg_set_delta(struct msg *m, struct str patch) {
    assert(m->delta.n == 0);
    if (patch.n)
        m->delta = (struct str){mem_strndup(patch.p, patch.n), patch.n};
}

struct msg *msg_ref(struct msg *m) {
    unsigned before = atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return m;
}

void msg_unref(struct msg *m) {
    unsigned before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    if (m->delta.n)
        mem_free((char *)(uintptr_t)m->delta.p);
    mem_free(m);
}
