/* See redis_scripts.h. Keys are made inside the scripts from their arguments: one Redis, no
 * cluster.
 *
 * redis.pcall everywhere: one bad key must not keep the others from being written. The first error
 * is what the script answers in the end.
 *
 * Thread: any (no state).
 */
#include "channels/redis_scripts.h"

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

void redis_script_begin(const struct redis_shared *shared, enum redis_script script,
                        struct redis_args *args) {
    args->count = 0;
    redis_args_add(args, STR("EVAL"));
    redis_args_add(args, str_of(texts[script]));
    redis_args_add(args, STR("0"));
    redis_args_add(args, str_of(shared->base));
    redis_args_add(args, str_of(shared->uid));
}
