/* See redis_scripts.h. Keys are made inside the scripts from their arguments: one Redis, no
 * cluster.
 *
 * For presence, redis.pcall everywhere: one bad key must not keep the others from being written.
 * The first error is what the script answers in the end. For histories, redis.call: the first
 * command that Redis may refuse comes before all that change something. But a Redis that refuses to
 * write (NOREPLICAS, MISCONF) is still read from: that a position lives on, or is of this era, is
 * tried only.
 *
 * Nodes of the first form of the layout know no places: they have no name in the registry. While
 * one is there, each publication with a place is published once more, without, right behind it.
 *
 * A stream's entry has the offset as its id, so a range of offsets is a range of the stream. What
 * makes an epoch: the first publication or reading; and the first one in another era, for then
 * Redis may have lost some and would give their offsets twice. Offsets go on in the new epoch, and
 * up to its beginning positions in the old one are as good.
 *
 * Thread: any (no state).
 */
#include "channels/redis_scripts.h"

/* How long the result of an idempotency key is known (five minutes, as broker.h says), and the
 * epoch of a channel that was read from but never published to. */
#define ONCE_MS "300000"
#define UNBORN_MS "3600000"

/* try() gives the answer, or nil for nothing and for an error, which is kept. */
#define LUA_START                                                                                  \
    "local base, uid, fault = ARGV[1], ARGV[2], nil\n"                                             \
    "local function try(...)\n"                                                                    \
    "  local r = redis.pcall(...)\n"                                                               \
    "  if type(r) == 'table' and r.err then fault = fault or r return nil end\n"                   \
    "  return r or nil\n"                                                                          \
    "end\n"

/* kept() gives what is kept, and forgets what has ended. */
#define LUA_KEPT                                                                                   \
    LUA_START "local key = base .. '" REDIS_KEPT "'\n"                                             \
              "local function kept()\n"                                                            \
              "  local now, out = tonumber(redis.call('TIME')[1]), {}\n"                           \
              "  local all = try('HGETALL', key) or {}\n"                                          \
              "  for i = 1, #all, 2 do\n"                                                          \
              "    if (tonumber(all[i + 1]) or 0) > now then\n"                                    \
              "      out[#out + 1] = all[i]\n"                                                     \
              "      out[#out + 1] = all[i + 1]\n"                                                 \
              "    else\n"                                                                         \
              "      try('HDEL', key, all[i])\n"                                                   \
              "    end\n"                                                                          \
              "  end\n"                                                                            \
              "  return out\n"                                                                     \
              "end\n"

/* leave() takes out one member of a node and announces it: the stored join envelope with another
 * kind. It does not announce what it could not take out. */
#define LUA_LEAVE                                                                                  \
    "local function leave(node, channel, client, mode)\n"                                          \
    "  local key, n = base .. '" REDIS_PRESENCE "' .. channel, #node\n"                            \
    "  local value = try('HGET', key, client)\n"                                                   \
    "  if not value or string.sub(value, 1, n + 1) ~= node .. ' ' then return end\n"               \
    "  if mode == 's' then mode = string.sub(value, n + 2, n + 2) == 'A' and '1' or '0' end\n"     \
    "  local limits = base .. '" REDIS_LIMITS "'\n"                                                \
    "  local max = tonumber(try('HGET', limits, channel) or 0) or 0\n"                             \
    "  local count = max > 0 and try('HLEN', key) or 0\n"                                          \
    "  if count > max then mode = '0' end\n"                                                       \
    "  if count == 1 then try('HDEL', limits, channel) end\n"                                      \
    "  if try('HDEL', key, client) and mode == '1' then\n"                                         \
    "    try('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel,\n"                                 \
    "        'CRN1L' .. string.sub(value, n + 8))\n"                                               \
    "  end\n"                                                                                      \
    "end\n"

#define LUA_STREAM                                                                                 \
    "local base, channel = ARGV[1], ARGV[3]\n"                                                     \
    "local meta, stream = base .. '" REDIS_META "' .. channel, base .. '" REDIS_STREAM             \
    "' .. channel\n"

/* The era is a new one for each Redis that a node meets: one that was started again, or took over
 * from another, may have lost what was written last. */
#define LUA_ERA                                                                                    \
    "local function era()\n"                                                                       \
    "  return string.sub(redis.call('GET', base .. '" REDIS_ERA "') or '', -8)\n"                  \
    "end\n"

/* Decimal numbers of 64 bits, which Lua does not have. */
#define LUA_IS_ABOVE                                                                               \
    "local function is_above(a, b)\n"                                                              \
    "  return #a > #b or (#a == #b and a > b)\n"                                                   \
    "end\n"

static const char *const texts[SCRIPTS] = {
    [SCRIPT_JOIN] = LUA_START
    "for i = 3, #ARGV, 5 do\n"
    "  local channel, client, announce, value = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]\n"
    "  local max = tonumber(ARGV[i + 4])\n"
    "  local key = base .. '" REDIS_PRESENCE "' .. channel\n"
    "  local is_new = try('HSET', key, client, value)\n"
    "  if is_new then try('SADD', base .. '" REDIS_MEMBERS "' .. uid, client .. ' ' .. channel) "
    "end\n"
    "  if is_new and max > 0 then\n"
    "    try('HSET', base .. '" REDIS_LIMITS "', channel, ARGV[i + 4])\n"
    "    if (try('HLEN', key) or 0) > max then announce = '0' end\n"
    "  end\n"
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
                              "local names = base .. '" REDIS_NAMES "'\n"
                              "redis.pcall('HSET', names, uid, ARGV[4])\n"
                              "for _, node in ipairs(try('HKEYS', nodes) or {}) do\n"
                              "  if redis.pcall('HEXISTS', names, node) == 0 then\n"
                              "    try('SET', base .. '" REDIS_LEGACY "', '1', 'EX', 5)\n"
                              "  end\n"
                              "end\n"
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
    "if not fault and #list < max then\n"
    "  try('HDEL', nodes, node)\n"
    "  redis.pcall('HDEL', base .. '" REDIS_NAMES "', node)\n"
    "end\n"
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

    [SCRIPT_PUBLISH] = LUA_STREAM LUA_ERA LUA_IS_ABOVE
    "local once = ARGV[10] ~= '' and\n"
    "    base .. '" REDIS_ONCE "' .. #channel .. ':' .. channel .. ':' .. ARGV[10]\n"
    "local done = once and redis.call('GET', once)\n"
    "if done then return {1, done} end\n"
    "local how, text, place, copy = 0, ARGV[9], ' 0', nil\n"
    "if ARGV[5] ~= '0' then\n"
    "  local m = redis.call('HMGET', meta, 'e', 's', 'r', 'v', 'w')\n"
    "  local epoch, number, era = m[1], m[2], era()\n"
    "  if epoch and m[4] and ARGV[11] ~= '0' and not is_above(ARGV[11], m[4]) and\n"
    "      (ARGV[12] == '' or ARGV[12] == m[5]) then\n"
    "    how = 2\n"
    "  else\n"
    "    if not epoch then\n"
    "      redis.call('DEL', stream)\n"
    "      epoch, number = ARGV[4], '0'\n"
    "    elseif m[3] ~= era then\n"
    "      redis.call('HSET', meta, 'p', epoch, 'q', number)\n"
    "      epoch = ARGV[4]\n"
    "    end\n"
    "    local top = tonumber(number) + 1\n"
    "    number = string.format('%.0f', top)\n"
    "    local tail = ARGV[8]\n"
    "    if redis.call('EXISTS', base .. '" REDIS_LEGACY "') == 1 then\n"
    "      copy, tail = text, string.char(string.byte(tail) + 4) .. string.sub(tail, 2)\n"
    "    end\n"
    "    text = 'CRN2' .. struct.pack('<I4I8', 36, top) .. epoch .. tail .. text\n"
    "    redis.call('XADD', stream, 'MAXLEN', ARGV[5], number .. '-0', 'm', text)\n"
    "    redis.call('HSET', meta, 'e', epoch, 's', number, 'r', era, 't', ARGV[7])\n"
    "    if ARGV[11] ~= '0' then redis.call('HSET', meta, 'v', ARGV[11], 'w', ARGV[12]) end\n"
    "    redis.call('PEXPIRE', stream, ARGV[6])\n"
    "    redis.call('PEXPIRE', meta, ARGV[7])\n"
    "  end\n"
    "  place = epoch .. ' ' .. number\n"
    "end\n"
    "if once then redis.call('SET', once, place, 'PX', " ONCE_MS ") end\n"
    "if how == 0 then redis.call('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel, text) end\n"
    "if copy then redis.call('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel, copy) end\n"
    "return {how, place}\n",

    [SCRIPT_READ] = LUA_STREAM LUA_ERA
    "local m = redis.call('HMGET', meta, 'e', 's', 'p', 'q', 't', 'r')\n"
    "if m[1] and m[6] ~= era() then\n"
    "  local done = redis.pcall('HSET', meta, 'e', ARGV[4], 'p', m[1], 'q', m[2], 'r', era())\n"
    "  if type(done) == 'number' then m[1], m[3], m[4] = ARGV[4], m[1], m[2] end\n"
    "elseif not m[1] then\n"
    "  m = {ARGV[4], '0', false, false, '" UNBORN_MS "'}\n"
    "  redis.call('DEL', stream)\n"
    "  redis.call('HSET', meta, 'e', m[1], 's', m[2], 'r', era(), 't', m[5])\n"
    "end\n"
    "redis.pcall('PEXPIRE', meta, m[5])\n"
    "local out = {m[2], m[1], m[4] or '0', m[3] or '', redis.call('PTTL', stream), 0}\n"
    "local is_reverse, since, left = ARGV[5] == 'r', ARGV[6], tonumber(ARGV[7])\n"
    "local at, bytes, max_bytes = is_reverse and '+' or '-', 0, tonumber(ARGV[8])\n"
    "if since ~= '' then\n"
    "  at = '(' .. since .. '-0'\n"
    "  if is_reverse and #redis.call('XRANGE', stream, since, since) == 0 then left = 0 end\n"
    "end\n"
    "while left > 0 do\n"
    "  local n = left < 50 and left or 50\n"
    "  local list = is_reverse and redis.call('XREVRANGE', stream, at, '-', 'COUNT', n) or\n"
    "      redis.call('XRANGE', stream, at, '+', 'COUNT', n)\n"
    "  for _, entry in ipairs(list) do\n"
    "    bytes = bytes + #entry[2][2]\n"
    "    if bytes > max_bytes and #out > 6 then out[6] = 1 return out end\n"
    "    out[#out + 1] = entry[2][2]\n"
    "  end\n"
    "  if #list < n then break end\n"
    "  at = '(' .. list[n][1]\n"
    "  left = left - n\n"
    "end\n"
    "return out\n",

    [SCRIPT_MEET] = "local key = ARGV[1] .. '" REDIS_ERA "'\n"
                    "if string.sub(redis.call('GET', key) or '', 1, #ARGV[3]) ~= ARGV[3] then\n"
                    "  redis.call('SET', key, ARGV[3] .. ' ' .. ARGV[4])\n"
                    "end\n"
                    "return 0\n",

    [SCRIPT_COMPARE] = LUA_START "local out = {}\n"
                                 "for i = 3, #ARGV, 3 do\n"
                                 "  local meta = base .. '" REDIS_META "' .. ARGV[i]\n"
                                 "  local m = try('HMGET', meta, 'e', 's', 't')\n"
                                 "  if m and m[1] == ARGV[i + 1] and m[2] == ARGV[i + 2] then\n"
                                 "    if m[3] then redis.pcall('PEXPIRE', meta, m[3]) end\n"
                                 "  elseif m then\n"
                                 "    out[#out + 1] = ARGV[i]\n"
                                 "  end\n"
                                 "end\n"
                                 "return #out == 0 and fault or out\n",

    /* What an epoch has lost is told once, whoever finds it: "b" is that epoch. Where no position
     * of it is good any more, everybody is told anyway. */
    [SCRIPT_VERIFY] = LUA_START LUA_IS_ABOVE
    "local lost = 0\n"
    "for i = 3, #ARGV, 4 do\n"
    "  local meta, epoch, offset = base .. '" REDIS_META "' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]\n"
    "  local m = try('HMGET', meta, 'e', 's', 'p', 'q', 'b')\n"
    "  local is_kept = not m or not m[1] or m[5] == epoch or\n"
    "      (m[1] ~= epoch and (m[3] or '') == '') or\n"
    "      (m[1] == epoch and not is_above(offset, m[2])) or\n"
    "      (m[3] == epoch and not is_above(offset, m[4]))\n"
    "  if not is_kept and\n"
    "      try('HSET', meta, 'e', ARGV[i + 3], 'p', '', 'q', '0', 'b', epoch) then\n"
    "    lost = lost + 1\n"
    "    try('PUBLISH', base .. '" REDIS_CHANNEL "' .. ARGV[i], 'CRN2' ..\n"
    "        struct.pack('<I4I8', 36, tonumber(m[2])) .. ARGV[i + 3] .. struct.pack('<I4I4I4', 8, "
    "0, 0))\n"
    "  end\n"
    "end\n"
    "return lost == 0 and fault or lost\n",

    [SCRIPT_REMOVE] =
        LUA_STREAM "local m = redis.call('HMGET', meta, 'e', 's')\n"
                   "redis.call('DEL', stream)\n"
                   "if m[1] then\n"
                   "  redis.call('PUBLISH', base .. '" REDIS_CHANNEL "' .. channel,\n"
                   "      'CRN2' .. struct.pack('<I4I8', 36, tonumber(m[2])) .. m[1] ..\n"
                   "      struct.pack('<I4I4I4', 2, 0, 0))\n"
                   "end\n"
                   "return 0\n",

    /* Who is there is read first: a note that goes out is one whose readers are known. */
    [SCRIPT_CONTROL] = LUA_START "local uids = try('HKEYS', base .. '" REDIS_NODES "')\n"
                                 "if fault then return fault end\n"
                                 "local names = redis.pcall('HGETALL', base .. '" REDIS_NAMES "')\n"
                                 "if names.err then names = {} end\n"
                                 "try('PUBLISH', base .. '" REDIS_CONTROL "', ARGV[3])\n"
                                 "return fault or {uids, names}\n",

    /* A clock that was set back must not make numbers come twice; what is not stored because Redis
     * does not write is a number all the same. Lua is exact up to 2^53. */
    [SCRIPT_NUMBER] =
        LUA_START "local t, key = redis.call('TIME'), base .. '" REDIS_NUMBER "'\n"
                  "local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
                  "local last = tonumber(try('GET', key) or 0) or 0\n"
                  "if now <= last and last < 9007199254740991 then now = last + 1 end\n"
                  "try('SET', key, string.format('%.0f', now))\n"
                  "return now\n",

    /* A hash needs no more of an ACL user than the others do; that it is read whole when it is full
     * is as good as never. */
    [SCRIPT_KEEP] = LUA_KEPT "local have = try('HGET', key, ARGV[3])\n"
                             "if not have and (try('HLEN', key) or 0) >= tonumber(ARGV[5]) then\n"
                             "  kept()\n"
                             "  if (try('HLEN', key) or 0) >= tonumber(ARGV[5]) then\n"
                             "    return fault or 1\n"
                             "  end\n"
                             "end\n"
                             "if not have or tonumber(have) < tonumber(ARGV[4]) then\n"
                             "  try('HSET', key, ARGV[3], ARGV[4])\n"
                             "end\n"
                             "return fault or 0\n",

    [SCRIPT_KEPT] = LUA_KEPT "local out = kept()\n"
                             "return fault or out\n",
};

struct str redis_script_text(enum redis_script script) {
    return str_of(texts[script]);
}

void redis_script_begin(const struct redis_shared *shared, enum redis_script script,
                        struct redis_args *args) {
    args->count = 0;
    redis_args_add(args, STR("EVAL"));
    redis_args_add(args, str_of(texts[script]));
    redis_args_add(args, STR("0"));
    redis_args_add(args, str_of(shared->base));
    redis_args_add(args, str_of(shared->uid));
}
