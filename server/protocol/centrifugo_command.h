/* Reads one command of the Centrifugo protocol: which it is, and its members, checked for their
 * types.
 *
 * A member of the wrong type makes the command malformed, also one that nobody here looks at: the
 * schema is the same for all servers, and SDKs get the same answer everywhere.
 *
 * Owns: nothing; values are spans of the text. Thread: any (no state).
 */
#ifndef CARILLON_PROTOCOL_CENTRIFUGO_COMMAND_H
#define CARILLON_PROTOCOL_CENTRIFUGO_COMMAND_H

#include "channels/msg.h"
#include "server/base/json_scan.h"

enum command_kind {
    COMMAND_PONG, /* neither id nor a command that needs none */
    COMMAND_CONNECT,
    COMMAND_PING,
    COMMAND_SUBSCRIBE,
    COMMAND_UNSUBSCRIBE,
    COMMAND_PUBLISH,
    COMMAND_PRESENCE,
    COMMAND_PRESENCE_STATS,
    COMMAND_HISTORY,
    COMMAND_RPC,
    COMMAND_SEND,
    COMMAND_REFRESH,
    COMMAND_SUB_REFRESH,
    COMMAND_KINDS
};

/* Members, as positions in command.values. Every command on a channel has the channel first. */
enum { CONNECT_TOKEN, CONNECT_DATA, CONNECT_SUBS, CONNECT_NAME };
enum { SUBSCRIBE_CHANNEL, SUBSCRIBE_TOKEN, SUBSCRIBE_DELTA, SUBSCRIBE_TYPE, SUBSCRIBE_FILTER };
enum {
    SUBSCRIBE_JOIN_LEAVE = 5,
    SUBSCRIBE_RECOVER,
    SUBSCRIBE_EPOCH,
    SUBSCRIBE_OFFSET,
    SUBSCRIBE_DATA,
    SUBSCRIBE_POSITIONED,
    SUBSCRIBE_RECOVERABLE,
    SUBSCRIBE_FLAG,
};
enum { HISTORY_CHANNEL, HISTORY_LIMIT, HISTORY_SINCE, HISTORY_REVERSE };
enum { PUBLISH_CHANNEL, PUBLISH_DATA, PUBLISH_TYPE };
enum { REFRESH_TOKEN };
enum { SUB_REFRESH_CHANNEL, SUB_REFRESH_TOKEN };
#define COMMAND_VALUES_MAX 17

struct command {
    enum command_kind kind;
    uint32_t id;
    struct json_value values[COMMAND_VALUES_MAX]; /* null counts as missing */
};

/* False when it is no command: not an object, a wrong type, a member twice, nothing known in it. */
bool command_read(struct json_value text, struct command *out);

/* The same for the object of a connect alone, or null; its id is 0. */
bool command_read_connect(struct json_value object, struct command *out);

/* A member that command_read() took for a string; empty when missing. */
struct str command_string(const struct command *q, int which, struct buf *scratch);

/* An integer that fits; 0 when missing. */
int64_t command_i64(const struct command *q, int which);
uint64_t command_u64(const struct command *q, int which);

/* Reads an object that command_read() took for a position, {"offset":...,"epoch":...}, or one that
 * has such members: false on a wrong type. */
bool command_read_position(struct json_value object, struct position *out, bool *is_recover);

bool command_has(const struct command *q, int which);
bool command_is_true(const struct command *q, int which);

#endif
