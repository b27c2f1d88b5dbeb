/* The method channels: which channels have subscribers, and how many, page by page.
 *
 * Centrifugo gives all of them at once; here an answer has at most `limit` channels (and at most
 * CHANNEL_SURVEY_MAX), in the order of their names, and `cursor` when there are more.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/glob.h"
#include "server/session/channel_survey.h"

enum { PATTERN_MAX_BYTES = 255 };

static void add_channels(struct api_command *c, const struct channel_survey *survey) {
    struct buf *b = &c->result;
    size_t count = 0;
    buf_add_z(b, "{\"channels\":{");
    for (; count < survey->count && b->n < c->room_bytes; count++) {
        if (count)
            buf_add_char(b, ',');
        json_add_string(b, survey->items[count].name);
        buf_printf(b, ":{\"num_clients\":%u}", survey->items[count].client_count);
    }
    buf_add_char(b, '}');
    if (count > 0 && (survey->has_more || count < survey->count)) {
        buf_add_z(b, ",\"cursor\":");
        json_add_string(b, survey->items[count - 1].name);
    }
    buf_add_char(b, '}');
}

static void answer(void *arg, enum broker_result result, const struct channel_survey *survey) {
    struct api_command *c = arg;
    if (result != BROKER_OK) {
        api_fail(c, API_INTERNAL);
        return;
    }
    add_channels(c, survey);
    api_done(c);
}

/* NULL: they are good. */
static const char *check(struct str pattern, const struct json_field *f, uint64_t *limit) {
    if (!api_is_string(f[0].value) || pattern.n > PATTERN_MAX_BYTES)
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
    if (!api_is_one_node(c) || !api_fields(c, params, f, 3))
        return;
    struct str pattern = api_text(f[0].value, &pattern_text);
    const char *why = check(pattern, f, &limit);
    if (why)
        api_refuse(c, why);
    else if (api_has_room(c))
        channel_survey_start(
            c->sessions, pattern, api_text(f[2].value, &cursor_text),
            limit && limit < CHANNEL_SURVEY_MAX ? (uint32_t)limit : CHANNEL_SURVEY_MAX, answer, c);
    buf_fini(&pattern_text);
    buf_fini(&cursor_text);
}
