/* See channel_survey.h. A worker's list has its `limit` first names, or all, so every name of the
 * merged page is in the list of each worker that has it, and the sums are right.
 *
 * Thread: the walk on each worker, which writes its own list only; the rest on the asker's.
 */
#include "server/session/channel_survey.h"

#include "server/base/glob.h"
#include "server/base/mem.h"
#include "server/session/sessions.h"
#include "server/session/worker_calls.h"

#include <string.h>

struct survey {
    struct worker_call call;
    struct buf texts;
    struct str pattern, after;
    uint32_t limit, worker_count;
    channel_survey_fn *done;
    void *arg;
    struct channel_counts found[];
};

/* --- a worker's list -------------------------------------------------------------------------- */

static bool is_behind(const struct channel_count *a, const struct channel_count *b) {
    return channel_counts_compare(a, b) > 0;
}

/* The heap has its last name at the root, which was replaced. */
static void sift_down(struct channel_count *heap, size_t count) {
    for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_behind(&heap[child + 1], &heap[child]))
            child++;
        if (!is_behind(&heap[child], &heap[at]))
            return;
        struct channel_count other = heap[at];
        heap[at] = heap[child];
        heap[child] = other;
    }
}

static void sift_up(struct channel_count *heap, size_t at) {
    for (; at > 0 && is_behind(&heap[at], &heap[(at - 1) / 2]); at = (at - 1) / 2) {
        struct channel_count other = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = other;
    }
}

static void add_first(struct channel_counts *f, struct channel_count one, size_t limit,
                      size_t *capacity) {
    if (f->count < limit) {
        if (f->count == *capacity) {
            *capacity = *capacity ? *capacity * 2 : 64;
            f->items = mem_realloc(f->items, *capacity * sizeof(*f->items));
        }
        f->items[f->count++] = one;
        sift_up(f->items, f->count - 1);
        return;
    }
    f->has_more = true;
    if (!is_behind(&f->items[0], &one))
        return;
    f->items[0] = one;
    sift_down(f->items, f->count);
}

/* The hub's names will not wait. */
static void copy_names(struct channel_counts *f) {
    size_t size = 1, at = 0;
    for (size_t i = 0; i < f->count; i++)
        size += f->items[i].name.n;
    buf_reserve(&f->names, size);
    for (size_t i = 0; i < f->count; i++, at = f->names.n) {
        buf_add(&f->names, f->items[i].name);
        f->items[i].name.p = f->names.p + at;
    }
}

static void walk(struct worker_call *call, struct sessions *s) {
    struct survey *v = list_entry(call, struct survey, call);
    struct channel_counts *f = &v->found[s->worker];
    size_t capacity = 0;
    for (struct map_node *n = map_next(&s->hub.channels, NULL); n;
         n = map_next(&s->hub.channels, n)) {
        const struct hub_channel *hc = list_entry(n, struct hub_channel, node);
        if (!hc->sub_count || (v->after.n && channel_names_compare(n->key, v->after) <= 0) ||
            (v->pattern.n && !glob_matches(v->pattern, n->key)))
            continue;
        add_first(f, (struct channel_count){n->key, hc->sub_count}, v->limit, &capacity);
    }
    copy_names(f);
}

/* --- the page --------------------------------------------------------------------------------- */

static void answer(struct worker_call *call, enum broker_result result) {
    struct survey *v = list_entry(call, struct survey, call);
    if (result != BROKER_OK) { /* a late worker may still write its list */
        v->done(v->arg, result, NULL);
        return;
    }
    struct channel_counts page = channel_counts_merge(v->found, v->worker_count, v->limit);
    v->done(v->arg, result, &page);
    channel_counts_fini(&page);
}

static void free_survey(struct worker_call *call) {
    struct survey *v = list_entry(call, struct survey, call);
    for (uint32_t i = 0; i < v->worker_count; i++)
        channel_counts_fini(&v->found[i]);
    buf_fini(&v->texts);
    mem_free(v);
}

void channel_survey_start(struct sessions *s, struct str pattern, struct str after, uint32_t limit,
                          channel_survey_fn *done, void *arg) {
    uint32_t workers = users_worker_count(s->users);
    struct survey *v = mem_zalloc(sizeof(*v) + workers * sizeof(v->found[0]));
    buf_reserve(&v->texts, pattern.n + after.n + 1);
    buf_add(&v->texts, pattern);
    buf_add(&v->texts, after);
    v->pattern = (struct str){v->texts.p, pattern.n};
    v->after = (struct str){v->texts.p + pattern.n, after.n};
    v->limit = limit;
    v->worker_count = workers;
    v->done = done;
    v->arg = arg;
    v->call.run = walk;
    v->call.done = answer;
    v->call.free = free_survey;
    worker_call_start(s, &v->call, workers == 64 ? UINT64_MAX : (UINT64_C(1) << workers) - 1);
}
