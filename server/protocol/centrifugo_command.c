/* See centrifugo_command.h. One table per command says what members it has and of which type.
 *
 * Thread: any (no state).
 */
#include "server/protocol/centrifugo_command.h"

#include <string.h>

enum type { T_STRING, T_BOOL, T_U64, T_I32, T_I64, T_ANY, T_OBJECT, T_STRING_MAP, T_OBJECT_MAP };

struct member {
    const char *name;
    enum type type;
};

static const struct member connect_members[] = {
    {"token", T_STRING},   {"data", T_ANY},           {"subs", T_OBJECT_MAP}, {"name", T_STRING},
    {"version", T_STRING}, {"headers", T_STRING_MAP}, {"flag", T_I64},
};
static const struct member subscribe_members[] = {
    {"channel", T_STRING}, {"token", T_STRING},    {"delta", T_STRING},    {"type", T_I32},
    {"tf", T_OBJECT},      {"join_leave", T_BOOL}, {"recover", T_BOOL},    {"epoch", T_STRING},
    {"offset", T_U64},     {"data", T_ANY},        {"positioned", T_BOOL}, {"recoverable", T_BOOL},
    {"flag", T_I64},       {"phase", T_I32},       {"cursor", T_STRING},   {"limit", T_I32},
    {"asc", T_BOOL},
};
static const struct member publish_members[] = {{"channel", T_STRING},
                                                {"data", T_ANY},
                                                {"type", T_I32},
                                                {"key", T_STRING},
                                                {"removed", T_BOOL}};
static const struct member channel_members[] = {{"channel", T_STRING}};
static const struct member history_members[] = {
    {"channel", T_STRING}, {"limit", T_I32}, {"since", T_OBJECT}, {"reverse", T_BOOL}};
static const struct member rpc_members[] = {{"data", T_ANY}, {"method", T_STRING}};
static const struct member send_members[] = {{"data", T_ANY}};
static const struct member refresh_members[] = {{"token", T_STRING}};
static const struct member sub_refresh_members[] = {
    {"channel", T_STRING}, {"token", T_STRING}, {"type", T_I32}};

/* In the order in which Centrifugo looks for them, should a command hold two. */
#define MEMBERS(list) list, sizeof(list) / sizeof(list[0])
static const struct {
    struct str name;
    const struct member *members;
    size_t member_count;
} kinds[COMMAND_KINDS] = {
    [COMMAND_PONG] = {{"", 0}, NULL, 0},
    [COMMAND_CONNECT] = {{"connect", 7}, MEMBERS(connect_members)},
    [COMMAND_PING] = {{"ping", 4}, NULL, 0},
    [COMMAND_SUBSCRIBE] = {{"subscribe", 9}, MEMBERS(subscribe_members)},
    [COMMAND_UNSUBSCRIBE] = {{"unsubscribe", 11}, MEMBERS(channel_members)},
    [COMMAND_PUBLISH] = {{"publish", 7}, MEMBERS(publish_members)},
    [COMMAND_PRESENCE] = {{"presence", 8}, MEMBERS(channel_members)},
    [COMMAND_PRESENCE_STATS] = {{"presence_stats", 14}, MEMBERS(channel_members)},
    [COMMAND_HISTORY] = {{"history", 7}, MEMBERS(history_members)},
    [COMMAND_RPC] = {{"rpc", 3}, MEMBERS(rpc_members)},
    [COMMAND_SEND] = {{"send", 4}, MEMBERS(send_members)},
    [COMMAND_REFRESH] = {{"refresh", 7}, MEMBERS(refresh_members)},
    [COMMAND_SUB_REFRESH] = {{"sub_refresh", 11}, MEMBERS(sub_refresh_members)},
};

static bool is_absent(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

static bool is_map_of(struct json_value v, enum json_kind kind) {
    struct json_value key, item;
    size_t at = 0;
    if (v.kind != JSON_KIND_OBJECT)
        return false;
    while (json_each(v, &at, &key, &item))
        if (item.kind != kind && item.kind != JSON_KIND_NULL)
            return false;
    return true;
}

static bool is_integer(struct json_value v, int64_t min, int64_t max) {
    int64_t i;
    return v.kind == JSON_KIND_NUMBER && json_i64(v, &i) && i >= min && i <= max;
}

static bool has_type(struct json_value v, enum type type) {
    uint64_t u;
    if (is_absent(v))
        return true;
    switch (type) {
    case T_STRING:
        return v.kind == JSON_KIND_STRING;
    case T_BOOL:
        return v.kind == JSON_KIND_TRUE || v.kind == JSON_KIND_FALSE;
    case T_U64:
        return v.kind == JSON_KIND_NUMBER && json_u64(v, UINT64_MAX, &u);
    case T_I32:
        return is_integer(v, INT32_MIN, INT32_MAX);
    case T_I64:
        return is_integer(v, INT64_MIN, INT64_MAX);
    case T_OBJECT:
        return v.kind == JSON_KIND_OBJECT;
    case T_STRING_MAP:
        return is_map_of(v, JSON_KIND_STRING);
    case T_OBJECT_MAP:
        return is_map_of(v, JSON_KIND_OBJECT);
    case T_ANY:
        break;
    }
    return true;
}

static bool read_members(struct json_value params, struct command *out) {
    struct json_field f[COMMAND_VALUES_MAX];
    struct json_fault fault;
    const struct member *members = kinds[out->kind].members;
    size_t count = kinds[out->kind].member_count;

    for (size_t i = 0; i < count; i++)
        f[i] = (struct json_field){.name = str_of(members[i].name)};
    if (params.kind != JSON_KIND_OBJECT || !json_fields(params, f, count, &fault))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!has_type(f[i].value, members[i].type))
            return false;
        out->values[i] = is_absent(f[i].value) ? (struct json_value){0} : f[i].value;
    }
    return true;
}

bool command_read(struct json_value text, struct command *out) {
    struct json_field f[COMMAND_KINDS]; /* that of COMMAND_PONG serves for "id" */
    struct json_fault fault;
    uint64_t id = 0;

    for (size_t i = 0; i < COMMAND_KINDS; i++)
        f[i] = (struct json_field){.name = kinds[i].name};
    f[COMMAND_PONG].name = STR("id");
    if (text.kind != JSON_KIND_OBJECT || !json_fields(text, f, COMMAND_KINDS, &fault))
        return false;
    if (!is_absent(f[COMMAND_PONG].value) && (f[COMMAND_PONG].value.kind != JSON_KIND_NUMBER ||
                                              !json_u64(f[COMMAND_PONG].value, UINT32_MAX, &id)))
        return false;
    out->id = (uint32_t)id;
    out->kind = COMMAND_PONG;
    if (id == 0 && is_absent(f[COMMAND_SEND].value))
        return true;
    do
        out->kind++;
    while (out->kind < COMMAND_KINDS && is_absent(f[out->kind].value));
    return out->kind < COMMAND_KINDS && read_members(f[out->kind].value, out);
}

bool command_read_connect(struct json_value object, struct command *out) {
    *out = (struct command){.kind = COMMAND_CONNECT};
    return object.kind == JSON_KIND_NULL || read_members(object, out);
}

struct str command_string(const struct command *q, int which, struct buf *scratch) {
    return command_has(q, which) ? json_decode(q->values[which], scratch) : STR_NONE;
}

int64_t command_i64(const struct command *q, int which) {
    int64_t v = 0;
    if (command_has(q, which))
        json_i64(q->values[which], &v);
    return v;
}

uint64_t command_u64(const struct command *q, int which) {
    uint64_t v = 0;
    if (command_has(q, which))
        json_u64(q->values[which], UINT64_MAX, &v);
    return v;
}

bool command_read_position(struct json_value object, struct position *out, bool *is_recover) {
    struct json_field f[] = {
        {.name = {"offset", 6}}, {.name = {"epoch", 5}}, {.name = {"recover", 7}}};
    struct json_fault fault;
    struct buf scratch = {0};
    if (!json_fields(object, f, 3, &fault) || !has_type(f[0].value, T_U64) ||
        !has_type(f[1].value, T_STRING) || !has_type(f[2].value, T_BOOL))
        return false;
    out->offset = 0;
    if (!is_absent(f[0].value))
        json_u64(f[0].value, UINT64_MAX, &out->offset);
    position_set_epoch(out, is_absent(f[1].value) ? STR_NONE : json_decode(f[1].value, &scratch));
    *is_recover = f[2].value.kind == JSON_KIND_TRUE;
    buf_fini(&scratch);
    return true;
}

bool command_has(const struct command *q, int which) {
    return q->values[which].kind != JSON_KIND_MISSING;
}

bool command_is_true(const struct command *q, int which) {
    return q->values[which].kind == JSON_KIND_TRUE;
}
