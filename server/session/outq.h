/* What waits to be written to one client: references to frames, counted in bytes.
 *
 * An idle client's queue is empty and holds no memory. References lie in small chunks that come
 * from a pool of the worker, so that queueing a message for thousands of clients allocates nothing
 * once the pool is warm. Clients of one flush mostly have the same queue, so the bytes joined for
 * the last one are kept with the list of frames they were made of, and used again while the list is
 * the same.
 *
 * Owns: one reference of each frame inside. Thread: its worker.
 */
#ifndef CARILLON_SESSION_OUTQ_H
#define CARILLON_SESSION_OUTQ_H

#include "server/base/buf.h"
#include "server/session/frame.h"

#define OUTQ_CHUNK_FRAMES 15
/* One write: at most this many bytes (a single larger part excepted) and frames. */
#define OUTQ_WRITE_MAX_BYTES 65536u
#define OUTQ_WRITE_MAX_FRAMES 512u

struct outq_chunk {
    struct outq_chunk *next;
    struct frame *frames[OUTQ_CHUNK_FRAMES];
};

struct outq {
    struct outq_chunk *first, *last;
    uint8_t first_at;  /* next frame to write, in first */
    uint8_t last_used; /* frames in last */
    bool is_amid;      /* the last frame that was removed is open: the next one belongs to it */
    uint32_t size_bytes;
};

struct outq_pool {
    struct outq_chunk *free_chunks;
    uint32_t free_count;
    /* the last joined write */
    struct frame *joined[OUTQ_WRITE_MAX_FRAMES];
    uint32_t joined_count;
    struct buf joined_bytes;
};

void outq_pool_init(struct outq_pool *p);
void outq_pool_fini(struct outq_pool *p);

/* Drops the kept join: it holds references. To be called when a flush is over. */
void outq_pool_rest(struct outq_pool *p);

/* Keeps a reference to every part of the message f. */
void outq_push(struct outq *q, struct outq_pool *p, struct frame *f);

bool outq_is_empty(const struct outq *q);

/* Borrows the bytes of the next write, whole frames in a row, until the pool is used again;
 * *frame_count says how many frames they are, for outq_pop(). The queue must not be empty. */
struct str outq_peek(const struct outq *q, struct outq_pool *p, uint32_t *frame_count);

/* Removes the first frame_count frames. */
void outq_pop(struct outq *q, struct outq_pool *p, uint32_t frame_count);

void outq_clear(struct outq *q, struct outq_pool *p);

/* Drops all but the rest of what was written in part: something else may follow then. */
void outq_cut(struct outq *q, struct outq_pool *p);

#endif
