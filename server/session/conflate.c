/* See conflate.h. What waits hangs at the client in a list, in the order in which the channels fell
 * behind: it is short, and empty for who keeps up.
 *
 * Thread: the worker of the client.
 */
#include "server/session/conflate.h"

#include "server/base/mem.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

/* This much may wait in the queue before publications are left out. */
enum { BEHIND_BYTES = 65536 };

struct conflated {
    struct conflated *next;
    struct subscription *sub;
    struct frame *newest;
};

static struct conflated **find(const struct subscription *sub) {
    struct conflated **at = &sub->client->conflated;
    while (*at && (*at)->sub != sub)
        at = &(*at)->next;
    return at;
}

static void drop(struct conflated **at) {
    struct conflated *w = *at;
    *at = w->next;
    frame_unref(w->newest);
    mem_free(w);
}

/* All of them together may be as large as the queue: more is a slow reader after all. */
static bool has_room(const struct client *c, const struct frame *f) {
    size_t bytes = f->total_bytes;
    for (const struct conflated *w = c->conflated; w; w = w->next)
        bytes += w->newest->total_bytes;
    return bytes <= c->sessions->config->client_queue_max_size_bytes;
}

void conflate_forget(struct subscription *sub) {
    struct conflated **at = find(sub);
    if (*at)
        drop(at);
}

bool conflate(struct subscription *sub, struct frame *f) {
    struct client *c = sub->client;
    bool is_behind = c->is_blocked || c->queue.size_bytes > BEHIND_BYTES;
    if (!sub->options->conflation || !(is_behind || c->conflated))
        return false;
    struct conflated **at = find(sub);
    if (!*at && !is_behind)
        return false;
    if (!has_room(c, f)) {
        conflate_forget(sub); /* an older one must not come behind this one */
        return false;
    }
    if (*at) {
        frame_unref((*at)->newest);
        metrics_add(c->sessions->metrics, METRIC_CONFLATED, 1);
    } else {
        *at = mem_zalloc(sizeof(**at));
        (*at)->sub = sub;
    }
    (*at)->newest = frame_ref(f);
    return true;
}

/* As in sessions.c, the place goes before the publication. */
static void push_place(struct client *c) {
    struct frame *place = c->protocol->place(c);
    outq_push(&c->queue, &c->sessions->pool, place);
    frame_unref(place);
}

bool conflate_resume(struct client *c) {
    bool is_any = c->conflated != NULL;
    while (c->conflated) {
        struct frame *newest = frame_ref(c->conflated->newest);
        bool is_positioned = c->conflated->sub->is_positioned;
        drop(&c->conflated);
        if (is_positioned && c->protocol->place)
            push_place(c);
        outq_push(&c->queue, &c->sessions->pool, newest);
        frame_unref(newest);
    }
    return is_any;
}

bool conflate_waits(const struct subscription *sub) {
    return *find(sub) != NULL;
}
