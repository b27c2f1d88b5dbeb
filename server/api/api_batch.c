/* The method batch: many commands in one request, {"commands":[{"publish":{...}},...]}.
 *
 * Each command runs like a request of its own, and its answer stands at its place in "replies".
 * They run one strictly after the other, or, with "parallel":true, up to WINDOW at once. All of
 * them run, also when the asker is gone meanwhile; for that the batch keeps a copy of their text.
 *
 * The answers share what one answer may have: each gets its part of what is left, and when nothing
 * is left, those that read are refused.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/mem.h"

enum { COMMANDS_MAX = 10000, WINDOW = 64 };

struct batch_item {
    struct api_command command;
    struct batch *batch;
    struct str name; /* of the method; static */
};

struct batch {
    struct api_command *command;
    struct buf text;            /* of the commands */
    struct json_value commands; /* in text */
    size_t at;                  /* of the next one, for json_each() */
    uint32_t count, next, open_count, window;
    size_t used_bytes;
    bool is_starting; /* start_some() is on the stack */
    struct batch_item items[];
};

static void item_done(struct api_command *c);

/* --- one command ------------------------------------------------------------------------------ */

static void run_item(struct batch_item *i, struct json_value command) {
    struct json_value key, other, params;
    struct buf scratch = {0};
    const struct api_method *m = NULL;
    size_t at = 0;
    bool is_one = command.kind == JSON_KIND_OBJECT && json_each(command, &at, &key, &params) &&
                  !json_each(command, &at, &other, &other);
    if (is_one)
        m = api_find_method(json_decode(key, &scratch));
    buf_fini(&scratch);
    i->name = m ? m->name : STR_NONE;
    if (!is_one)
        api_refuse(&i->command, "a command is an object with one member, named like its method");
    else if (!m)
        api_fail(&i->command, API_NOT_FOUND);
    else if (m->run == api_batch)
        api_refuse(&i->command, "a batch cannot be in a batch");
    else if (!api_may(i->command.node, i->command.caller, m, &i->command.detail))
        api_fail(&i->command, API_PERMISSION_DENIED);
    else if (params.kind != JSON_KIND_OBJECT)
        api_refuse(&i->command, "the parameters of a command must be an object");
    else
        m->run(&i->command, params);
}

static uint32_t room(const struct batch *b) {
    uint32_t all_bytes = b->command->room_bytes;
    if (b->used_bytes >= all_bytes)
        return 0;
    return ((uint32_t)(all_bytes - b->used_bytes) + b->window - 1) / b->window;
}

static void start_next(struct batch *b) {
    struct batch_item *i = &b->items[b->next++];
    struct json_value command;
    json_each(b->commands, &b->at, NULL, &command);
    i->batch = b;
    i->command = (struct api_command){.sessions = b->command->sessions,
                                      .node = b->command->node,
                                      .caller = b->command->caller,
                                      .room_bytes = room(b),
                                      .done = item_done};
    b->open_count++;
    run_item(i, command);
}

/* --- all of them ------------------------------------------------------------------------------ */

static void finish(struct batch *b) {
    struct api_command *c = b->command;
    buf_add_z(&c->result, "{\"replies\":[");
    for (uint32_t i = 0; i < b->count; i++) {
        if (i)
            buf_add_char(&c->result, ',');
        api_add_answer(&c->result, &b->items[i].command, b->items[i].name);
        buf_fini(&b->items[i].command.result);
    }
    buf_add_z(&c->result, "]}");
    buf_fini(&b->text);
    mem_free(b);
    api_done(c);
}

static void start_some(struct batch *b) {
    b->is_starting = true;
    while (b->next < b->count && b->open_count < b->window)
        start_next(b);
    b->is_starting = false;
    if (b->open_count == 0)
        finish(b);
}

static void item_done(struct api_command *c) {
    struct batch *b = list_entry(c, struct batch_item, command)->batch;
    b->used_bytes += c->result.n;
    b->open_count--;
    if (!b->is_starting)
        start_some(b);
}

/* More than COMMANDS_MAX when there are too many, or it is no list. */
static uint32_t count_commands(struct json_value commands) {
    struct json_value item;
    uint32_t count = 0;
    size_t at = 0;
    if (commands.kind != JSON_KIND_ARRAY)
        return UINT32_MAX;
    while (count <= COMMANDS_MAX && json_each(commands, &at, NULL, &item))
        count++;
    return count;
}

void api_batch(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("commands"), JSON_FIELD("parallel")};
    bool is_parallel = false;
    if (!api_fields(c, params, f, 2))
        return;
    uint32_t count = count_commands(f[0].value);
    if (count > COMMANDS_MAX) {
        api_refuse(c, "\"commands\" must be a list of at most 10000 commands");
    } else if (!api_bool(f[1].value, &is_parallel)) {
        api_refuse(c, "\"parallel\" must be true or false");
    } else {
        struct batch *b = mem_zalloc(sizeof(*b) + count * sizeof(b->items[0]));
        b->command = c;
        b->commands = f[0].value;
        buf_add(&b->text, b->commands.text);
        b->commands.text = buf_str(&b->text);
        b->count = count;
        b->window = is_parallel ? WINDOW : 1;
        start_some(b);
    }
}
