/* See channel_pages.h.
 *
 *     question   u32 limit, u32 bytes that an answer may have, texts pattern and after
 *     answer     u8 1 when there are more, u32 how many, then each: u32 clients, text name
 *
 * Thread: the worker that asks, and one worker of each node.
 */
#include "server/session/channel_pages.h"

#include "server/base/glob.h"
#include "server/base/list.h"
#include "server/base/mem.h"
#include "server/base/pack.h"
#include "server/session/channel_survey.h"
#include "server/session/sessions.h"

enum {
    ALL_MAX_BYTES = 16 << 20,
    ANSWER_MAX_BYTES = 1 << 20,
    ANSWER_MIN_BYTES = 4096,
    NAME_MAX_BYTES = 65535
};

/* --- the asker -------------------------------------------------------------------------------- */

void channel_pages_start(struct sessions *s, struct str pattern, struct str after, uint32_t limit,
                         node_call_fn *done, void *arg) {
    struct buf b = {0};
    pack_u32(&b, limit);
    pack_u32(&b, ALL_MAX_BYTES / cluster_size(s->cluster));
    pack_str(&b, pattern);
    pack_str(&b, after);
    node_call_start(s, NODE_CHANNELS, buf_str(&b), done, arg);
    buf_fini(&b);
}

/* Borrows the names. */
static bool read_page(struct str bytes, struct channel_counts *out) {
    struct unpack u = {.rest = bytes};
    out->has_more = unpack_u8(&u) == 1;
    size_t count = unpack_u32(&u);
    if (count > CHANNEL_SURVEY_MAX)
        return false;
    out->items = mem_array(count + 1, sizeof(*out->items));
    for (; out->count < count && !u.is_bad; out->count++) {
        struct channel_count *one = &out->items[out->count];
        one->client_count = unpack_u32(&u);
        one->name = unpack_str(&u, NAME_MAX_BYTES);
        if (!one->name.n || !str_is_utf8(one->name))
            return false;
    }
    return unpack_is_over(&u) && (!out->has_more || count > 0);
}

struct channel_counts channel_pages_merge(struct cluster_call *call, uint32_t limit) {
    struct channel_counts *lists = mem_array(call->count + 1, sizeof(*lists));
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++) {
        struct cluster_node *n = &call->nodes[i];
        if (n->status != CLUSTER_DONE)
            continue;
        if (read_page(buf_str(&n->body), &lists[count])) {
            count++;
        } else {
            channel_counts_fini(&lists[count]);
            n->status = CLUSTER_FAILED;
        }
    }
    struct channel_counts page = channel_counts_merge(lists, count, limit);
    for (size_t i = 0; i < count; i++)
        channel_counts_fini(&lists[i]);
    mem_free(lists);
    return page;
}

/* --- who is asked ----------------------------------------------------------------------------- */

struct question {
    struct cluster_request *request;
    uint32_t max_bytes;
};

/* How many fit. At least one: the next page must come further. */
static size_t fitting_count(const struct channel_counts *page, size_t max_bytes) {
    size_t bytes = 0, count = 0;
    while (count < page->count) {
        bytes += 8 + page->items[count].name.n;
        if (count > 0 && bytes > max_bytes)
            break;
        count++;
    }
    return count;
}

static void give_page(void *arg, enum broker_result result, const struct channel_counts *page) {
    struct question *q = arg;
    struct buf b = {0};
    if (result == BROKER_OK) {
        size_t count = fitting_count(page, q->max_bytes);
        pack_u8(&b, page->has_more || count < page->count);
        pack_u32(&b, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            pack_u32(&b, page->items[i].client_count);
            pack_str(&b, page->items[i].name);
        }
    }
    cluster_answer(q->request, result == BROKER_OK ? CLUSTER_DONE : CLUSTER_FAILED, buf_str(&b));
    buf_fini(&b);
    mem_free(q);
}

void channel_pages_run(void *arg, struct cluster_request *request, void *reader) {
    struct unpack u = {.rest = request->body};
    uint32_t limit = unpack_u32(&u), max_bytes = unpack_u32(&u);
    struct str pattern = unpack_str(&u, CHANNEL_PATTERN_MAX_BYTES);
    struct str after = unpack_str(&u, NAME_MAX_BYTES);
    (void)arg;
    if (!unpack_is_over(&u) || limit == 0 || limit > CHANNEL_SURVEY_MAX || glob_fault(pattern)) {
        cluster_answer(request, CLUSTER_BAD_REQUEST, STR_NONE);
        return;
    }
    struct question *q = mem_zalloc(sizeof(*q));
    q->request = request;
    q->max_bytes = max_bytes < ANSWER_MIN_BYTES   ? ANSWER_MIN_BYTES
                   : max_bytes > ANSWER_MAX_BYTES ? ANSWER_MAX_BYTES
                                                  : max_bytes;
    channel_survey_start(reader, pattern, after, limit, give_page, q);
}
