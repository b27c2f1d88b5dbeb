/* See redis_scripts.h. Keys are made inside the scripts from their arguments: one Redis, no
 * cluster.
 *
 * redis.pcall everywhere where one bad key must not keep the others from being written; the first
 * error is what the script answers in the end.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_scripts.h"

#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

enum { TRIES_MAX = 3 };

/* try() gives the answer, or nil for nothing and for an error, which is kept. */
#define LUA_START                                                                                  \
    "local base, uid, fault = ARGV[1], ARGV[2], nil\n"                                             \
    "local function try(...)\n"                                                                    \
    "  local r = redis.pcall(...)\n"                                                               \
    "  if type(r) == 'table' and r.err then fault = fault or r return nil end\n"                   \
    "  return r or nil\n"                                                                          \
    "end\n"

/* leave() takes out one member of a node and announces it: the stored join envelope with another
 * kind. It does not announce what it could not take out. */
#define LUA_LEAVE                                                                                  \
    "local function leave(node, channel, client, mode)\n"                                          \
    "  local key, n = base .. '" REDIS_PRESENCE "' .. channel, #node\n"                            \
    "  local value = try('HGET', key, client)\n"                                                   \
    "  if not value or string.sub(value, 1, n + 1) ~= node .. ' ' then return end\n"               \
    "  if mode == 's' then mode = string.sub(value, n + 2, n + 2) == 'A' and '1' or '0' end\n"     \
    "  if try('HDEL', key, client) and mode == '1' then\n"                                         \
    "    try('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel,\n"                                 \
    "        'CRN1L' .. string.sub(value, n + 8))\n"                                               \
    "  end\n"                                                                                      \
    "end\n"

static const char *const texts[SCRIPTS] = {
    [SCRIPT_JOIN] = LUA_START
    "for i = 3, #ARGV, 4 do\n"
    "  local channel, client, announce, value = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]\n"
    "  local key = base .. '" REDIS_PRESENCE "' .. channel\n"
    "  local is_new = try('HSET', key, client, value)\n"
    "  if is_new then try('SADD', base .. '" REDIS_MEMBERS "' .. uid, client .. ' ' .. channel) "
    "end\n"
    "  if is_new == 1 and announce == '1' then\n"
    "    try('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel, string.sub(value, #uid + 3))\n"
    "  end\n"
    "end\n"
    "return fault or 0\n",

    [SCRIPT_LEAVE] = LUA_START LUA_LEAVE "for i = 3, #ARGV, 3 do\n"
                                         "  leave(uid, ARGV[i], ARGV[i + 1], ARGV[i + 2])\n"
                                         "  try('SREM', base .. '" REDIS_MEMBERS
                                         "' .. uid, ARGV[i + 1] .. ' ' .. ARGV[i])\n"
                                         "end\n"
                                         "return fault or 0\n",

    /* The beat to oneself comes first: it must arrive also when Redis refuses to write. */
    [SCRIPT_BEAT] = LUA_START "local nodes = base .. '" REDIS_NODES "'\n"
                              "try('PUBLISH', base .. '" REDIS_BEAT "' .. uid, ARGV[3])\n"
                              "local known = try('HGET', nodes, uid)\n"
                              "local swept = try('EXISTS', base .. '" REDIS_SWEPT "' .. uid)\n"
                              "try('HSET', nodes, uid, ARGV[3])\n"
                              "return fault or {known and 1 or 0, swept, try('HGETALL', nodes)}\n",

    [SCRIPT_SWEEP] = LUA_START LUA_LEAVE
    "local nodes, node, max = base .. '" REDIS_NODES "', ARGV[3], tonumber(ARGV[5])\n"
    "if ARGV[6] ~= '1' then\n"
    "  if try('HGET', nodes, node) ~= ARGV[4] then return fault or -1 end\n"
    "  try('SET', base .. '" REDIS_SWEPT "' .. node, '1', 'EX', 86400)\n"
    "  if fault then return fault end\n"
    "end\n"
    "local list = try('SPOP', base .. '" REDIS_MEMBERS "' .. node, max) or {}\n"
    "for _, entry in ipairs(list) do\n"
    "  local at = string.find(entry, ' ', 1, true)\n"
    "  if at then leave(node, string.sub(entry, at + 1), string.sub(entry, 1, at - 1), 's') end\n"
    "end\n"
    "if not fault and #list < max then try('HDEL', nodes, node) end\n"
    "return fault or #list\n",

    [SCRIPT_COUNT] =
        LUA_START "local clients, users, seen = 0, 0, {}\n"
                  "local values = try('HVALS', base .. '" REDIS_PRESENCE "' .. ARGV[3]) or {}\n"
                  "for _, v in ipairs(values) do\n"
                  "  local at = string.find(v, ' ', 1, true)\n"
                  "  if at and #v >= at + 33 and string.sub(v, at + 2, at + 6) == 'CRN1J' then\n"
                  "    local data, tags, n = struct.unpack('<I4I4I4', v, at + 10)\n"
                  "    local first = at + 34 + data + tags\n"
                  "    local user = string.sub(v, first, first + n - 1)\n"
                  "    clients = clients + 1\n"
                  "    if not seen[user] then users = users + 1 seen[user] = true end\n"
                  "  end\n"
                  "end\n"
                  "return fault or {clients, users}\n",
};

struct script_call {
    struct list link;
    struct redis_scripts *owner;
    struct str command; /* as Redis reads it; the hash in it does not change */
    redis_answer_fn *answer;
    void *arg;
    uint32_t try_count;
};

void redis_scripts_init(struct redis_scripts *s, struct redis_shared *shared,
                        struct redis_link *link, void (*loaded)(void *arg), void *arg) {
    *s = (struct redis_scripts){.shared = shared, .link = link, .loaded = loaded, .arg = arg};
    list_init(&s->calls);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* The first time: loaded_count says which one this is the answer for. */
static void load_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_scripts *s = arg;
    if (outcome != REDIS_ANSWERED)
        return;
    struct str hash = redis_text(reply);
    if (hash.n != REDIS_SHA_BYTES) {
        const char *words = redis_error_words(reply);
        redis_link_fail(s->link, words ? words : "redis does not take scripts");
        return;
    }
    if (s->loaded_count == SCRIPTS)
        return;
    memcpy(s->hashes[s->loaded_count++], hash.p, hash.n);
    if (s->loaded_count == SCRIPTS)
        s->loaded(s->arg);
}

static void send_scripts(struct redis_scripts *s) {
    for (int i = 0; i < SCRIPTS; i++) {
        struct redis_args args = {.count = 0};
        redis_args_add(&args, STR("SCRIPT"));
        redis_args_add(&args, STR("LOAD"));
        redis_args_add(&args, str_of(texts[i]));
        redis_link_send_args(s->link, &args, (struct redis_waiter){load_answered, s, 1});
    }
}

void redis_scripts_load(struct redis_scripts *s) {
    s->loaded_count = 0;
    send_scripts(s);
}

bool redis_scripts_are_loaded(const struct redis_scripts *s) {
    return s->loaded_count == SCRIPTS;
}

/* --- calls ------------------------------------------------------------------------------------ */

static void end_call(struct script_call *c, enum redis_outcome outcome, const redisReply *reply) {
    list_remove(&c->link);
    c->answer(c->arg, outcome, reply);
    redis_command_free(c->command);
    mem_free(c);
}

static void call_answered(void *arg, enum redis_outcome outcome, const redisReply *reply);

static bool send_call(struct script_call *c) {
    struct redis_scripts *s = c->owner;
    if (!redis_link_send(s->link, c->command, (struct redis_waiter){call_answered, c, 1}))
        return false;
    c->try_count++;
    s->sent_count++;
    return true;
}

/* All calls that are left were refused or held. */
static void reload(struct redis_scripts *s) {
    s->is_reloading = false;
    send_scripts(s);
    list_for_each(l, &s->calls) if (!send_call(list_entry(l, struct script_call, link))) return;
}

static void call_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct script_call *c = arg;
    struct redis_scripts *s = c->owner;
    s->sent_count--;
    if (reply && redis_is_error(reply, "NOSCRIPT") && c->try_count < TRIES_MAX)
        s->is_reloading = true;
    else
        end_call(c, outcome, reply);
    if (s->is_reloading && s->sent_count == 0 && redis_link_is_open(s->link))
        reload(s);
}

void redis_script_begin(struct redis_scripts *s, enum redis_script script,
                        struct redis_args *args) {
    args->count = 0;
    redis_args_add(args, STR("EVALSHA"));
    redis_args_add(args, (struct str){s->hashes[script], REDIS_SHA_BYTES});
    redis_args_add(args, STR("0"));
    redis_args_add(args, str_of(s->shared->base));
    redis_args_add(args, str_of(s->shared->uid));
}

bool redis_script_call(struct redis_scripts *s, struct redis_args *args, redis_answer_fn *answer,
                       void *arg) {
    if (!redis_link_is_open(s->link) || !redis_scripts_are_loaded(s))
        return false;
    struct script_call *c = mem_zalloc(sizeof(*c));
    c->owner = s;
    c->command = redis_command_make(args);
    c->answer = answer;
    c->arg = arg;
    list_append(&s->calls, &c->link);
    if (!s->is_reloading) {
        bool is_sent = send_call(c);
        assert(is_sent); /* the link is open */
    }
    return true;
}

void redis_scripts_lost(struct redis_scripts *s) {
    s->loaded_count = 0;
    s->is_reloading = false;
    assert(s->sent_count == 0); /* the link has told them */
    while (!list_is_empty(&s->calls))
        end_call(list_entry(s->calls.next, struct script_call, link), REDIS_UNSENT, NULL);
}
