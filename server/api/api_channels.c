/* The method channels: which channels have subscribers, and how many, over all nodes, page by page.
 *
 * Centrifugo gives all of them at once; here an answer has at most `limit` channels (and at most
 * CHANNEL_SURVEY_MAX), in the order of their names, and `cursor` when there are more.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/glob.h"
#include "server/base/mem.h"
#include "server/session/channel_pages.h"
#include "server/session/channel_survey.h"

static void add_channels(struct api_command *c, const struct channel_counts *page) {
    struct buf *b = &c->result;
    size_t count = 0;
    buf_add_z(b, "{\"channels\":{");
    for (; count < page->count && b->n < c->room_bytes; count++) {
        if (count)
            buf_add_char(b, ',');
        json_add_string(b, page->items[count].name);
        buf_printf(b, ":{\"num_clients\":%u}", page->items[count].client_count);
    }
    buf_add_char(b, '}');
    if (count > 0 && (page->has_more || count < page->count)) {
        buf_add_z(b, ",\"cursor\":");
        json_add_string(b, page->items[count - 1].name);
    }
    buf_add_char(b, '}');
}

struct asking {
    struct api_command *command;
    uint32_t limit;
};

static void answer(void *arg, struct cluster_call *call) {
    struct asking *a = arg;
    struct api_command *c = a->command;
    struct channel_counts page = {0};
    if (call->reply.result == BROKER_OK)
        page = channel_pages_merge(call, a->limit);
    if (api_is_done_everywhere(c, call)) {
        add_channels(c, &page);
        api_done(c);
    }
    channel_counts_fini(&page);
    mem_free(a);
}

static void start(struct api_command *c, struct str pattern, struct str after, uint64_t limit) {
    struct asking *a = mem_zalloc(sizeof(*a));
    a->command = c;
    a->limit = limit && limit < CHANNEL_SURVEY_MAX ? (uint32_t)limit : CHANNEL_SURVEY_MAX;
    channel_pages_start(c->sessions, pattern, after, a->limit, answer, a);
}

/* NULL: they are good. */
static const char *check(struct str pattern, const struct json_field *f, uint64_t *limit) {
    if (!api_is_string(f[0].value) || pattern.n > CHANNEL_PATTERN_MAX_BYTES)
        return "\"pattern\" must be a string of at most 255 bytes";
    if (!api_u64(f[1].value, UINT32_MAX, limit))
        return "\"limit\" must be a whole number";
    if (!api_is_string(f[2].value))
        return "\"cursor\" must be that of an answer";
    return glob_fault(pattern);
}

void api_channels(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("pattern"), JSON_FIELD("limit"), JSON_FIELD("cursor")};
    struct buf pattern_text = {0}, cursor_text = {0};
    uint64_t limit = 0;
    if (!api_fields(c, params, f, 3))
        return;
    struct str pattern = api_text(f[0].value, &pattern_text);
    const char *why = check(pattern, f, &limit);
    if (why)
        api_refuse(c, why);
    else if (api_has_room(c))
        start(c, pattern, api_text(f[2].value, &cursor_text), limit);
    buf_fini(&pattern_text);
    buf_fini(&cursor_text);
}
