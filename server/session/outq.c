/* See outq.h.
 *
 * Thread: its worker.
 */
#include "server/session/outq.h"

#include "server/base/mem.h"

#include <string.h>

enum { POOL_KEEPS_CHUNKS = 16384 }; /* 2 MiB */

void outq_pool_init(struct outq_pool *p) {
    memset(p, 0, sizeof(*p));
}

void outq_pool_fini(struct outq_pool *p) {
    outq_pool_rest(p);
    buf_fini(&p->joined_bytes);
    while (p->free_chunks) {
        struct outq_chunk *c = p->free_chunks;
        p->free_chunks = c->next;
        mem_free(c);
    }
}

void outq_pool_rest(struct outq_pool *p) {
    for (uint32_t i = 0; i < p->joined_count; i++)
        frame_unref(p->joined[i]);
    p->joined_count = 0;
}

static struct outq_chunk *chunk_get(struct outq_pool *p) {
    struct outq_chunk *c = p->free_chunks;
    if (!c)
        return mem_alloc(sizeof(*c));
    p->free_chunks = c->next;
    p->free_count--;
    return c;
}

static void chunk_put(struct outq_pool *p, struct outq_chunk *c) {
    if (p->free_count >= POOL_KEEPS_CHUNKS) {
        mem_free(c);
        return;
    }
    c->next = p->free_chunks;
    p->free_chunks = c;
    p->free_count++;
}

static void push_part(struct outq *q, struct outq_pool *p, struct frame *f) {
    if (!q->last || q->last_used == OUTQ_CHUNK_FRAMES) {
        struct outq_chunk *c = chunk_get(p);
        c->next = NULL;
        if (q->last)
            q->last->next = c;
        else
            q->first = c;
        q->last = c;
        q->last_used = 0;
    }
    q->last->frames[q->last_used++] = frame_ref(f);
    q->size_bytes += f->size_bytes;
}

void outq_push(struct outq *q, struct outq_pool *p, struct frame *f) {
    for (; f; f = f->next)
        push_part(q, p, f);
}

bool outq_is_empty(const struct outq *q) {
    return !q->first;
}

static uint32_t chunk_end(const struct outq *q, const struct outq_chunk *c) {
    return c == q->last ? q->last_used : OUTQ_CHUNK_FRAMES;
}

/* Collects the frames of the next write; the first one always fits. */
static uint32_t gather(const struct outq *q, struct frame **list) {
    uint32_t count = 0;
    size_t total_bytes = 0;
    uint32_t at = q->first_at;

    for (const struct outq_chunk *c = q->first; c; c = c->next, at = 0) {
        for (; at < chunk_end(q, c); at++) {
            total_bytes += c->frames[at]->size_bytes;
            if (count && (total_bytes > OUTQ_WRITE_MAX_BYTES || count == OUTQ_WRITE_MAX_FRAMES))
                return count;
            list[count++] = c->frames[at];
        }
    }
    return count;
}

static void join(struct outq_pool *p, struct frame **list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        frame_ref(list[i]);
    outq_pool_rest(p);
    memcpy(p->joined, list, count * sizeof(*list));
    p->joined_count = count;
    buf_clear(&p->joined_bytes);
    for (uint32_t i = 0; i < count; i++)
        buf_add(&p->joined_bytes, (struct str){list[i]->bytes, list[i]->size_bytes});
}

struct str outq_peek(const struct outq *q, struct outq_pool *p, uint32_t *frame_count) {
    struct frame *list[OUTQ_WRITE_MAX_FRAMES];
    uint32_t count = gather(q, list);

    *frame_count = count;
    if (count == 1)
        return (struct str){list[0]->bytes, list[0]->size_bytes};
    /* Safe to compare addresses: the kept join holds references, so none of them was reused. */
    if (count != p->joined_count || memcmp(list, p->joined, count * sizeof(*list)) != 0)
        join(p, list, count);
    return buf_str(&p->joined_bytes);
}

void outq_pop(struct outq *q, struct outq_pool *p, uint32_t frame_count) {
    while (frame_count-- > 0) {
        struct outq_chunk *c = q->first;
        struct frame *f = c->frames[q->first_at++];
        q->size_bytes -= f->size_bytes;
        q->is_amid = f->is_open;
        frame_unref(f);
        if (q->first_at < chunk_end(q, c))
            continue;
        q->first = c->next;
        q->first_at = 0;
        if (!q->first)
            q->last = NULL;
        chunk_put(p, c);
    }
}

void outq_clear(struct outq *q, struct outq_pool *p) {
    while (!outq_is_empty(q))
        outq_pop(q, p, 1);
}

void outq_cut(struct outq *q, struct outq_pool *p) {
    struct outq rest = {.is_amid = q->is_amid};
    for (bool is_rest = q->is_amid; !outq_is_empty(q); outq_pop(q, p, 1)) {
        struct frame *f = q->first->frames[q->first_at];
        if (is_rest)
            push_part(&rest, p, f);
        is_rest = is_rest && f->is_open;
    }
    *q = rest;
}
