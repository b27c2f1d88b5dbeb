/* What api.c routes to: methods of the server API, and plain endpoints.
 *
 * A method gets its parameters as a JSON object and answers with JSON, so that a request of its own
 * and a command of a batch run the same code. One that waits for the broker answers later.
 *
 *   void api_example(struct api_command *c, struct json_value params) {
 *       struct json_field f[] = {JSON_FIELD("user"), JSON_FIELD("count")};
 *       uint64_t count = 0;
 *       if (!api_fields(c, params, f, 2))
 *           return;
 *       if (!api_is_string(f[0].value))
 *           api_refuse(c, "\"user\" must be a string");
 *       else if (!api_u64(f[1].value, UINT32_MAX, &count))
 *           api_refuse(c, "\"count\" must be a number");
 *       else
 *           api_done(c);
 *   }
 *
 * Thread: the worker of the connection.
 */
#ifndef CARILLON_API_HANDLERS_H
#define CARILLON_API_HANDLERS_H

#include "server/api/api.h"
#include "server/base/json_scan.h"
#include "server/session/node_calls.h"

/* Centrifugo's error codes of the server API. */
enum api_error {
    API_INTERNAL = 100,
    API_UNKNOWN_CHANNEL = 102,
    API_PERMISSION_DENIED = 103,
    API_NOT_FOUND = 104,
    API_BAD_REQUEST = 107,
    API_NOT_AVAILABLE = 108,
    API_UNRECOVERABLE = 112,
};

/* No answer is much larger, that of a whole batch included; methods whose results may be large read
 * room_bytes. */
enum { API_ANSWER_MAX_BYTES = 16 << 20 };

/* A method that was asked for. It is answered exactly once, with api_done(), api_fail() or
 * api_refuse(), within the method or later on the same thread, and then it is gone; until then it
 * stays, even when nobody waits for it any more. */
struct api_command {
    struct sessions *sessions;
    struct api_node *node;
    const struct api_caller *caller; /* may do api_may() */
    uint32_t room_bytes;             /* for the result; 0: there is none, see api_has_room() */
    /* The answer: */
    struct buf result;    /* JSON, appended by the method; empty means {} */
    enum api_error error; /* 0: none */
    const char *detail;   /* what is wrong; static, or in the result's bytes; or NULL */
    int status;           /* of the HTTP response; 0: what the error says */
    /* Of whoever runs it; frees it. */
    void (*done)(struct api_command *c);
};

/* Borrows the parameters, which are a JSON object, until it returns. */
typedef void api_method_fn(struct api_command *c, struct json_value params);

/* One row of the table in api.c. */
struct api_method {
    struct str name;
    api_method_fn *run;
    unsigned scope;     /* enum api_scope that a key needs; 0: any will do */
    bool needs_no_body; /* a request without body is one with {} */
};

api_method_fn api_publish, api_broadcast, api_presence, api_presence_stats, api_history,
    api_history_remove, api_info, api_batch, api_subscribe, api_unsubscribe, api_disconnect,
    api_refresh, api_channels, api_revoke_token, api_invalidate_user_tokens;

/* NULL: there is none. */
const struct api_method *api_find_method(struct str name);

/* May this caller call it? Counts the answer. *why, a static text, names the scope that is missing.
 */
bool api_may(const struct api_node *node, const struct api_caller *who, const struct api_method *m,
             const char **why);

/* --- answers ---------------------------------------------------------------------------------- */

void api_done(struct api_command *c);
void api_fail(struct api_command *c, enum api_error e);
/* Bad request, and why: static text without quotes to escape but \", as in "\"user\" must be...".
 */
void api_refuse(struct api_command *c, const char *why);

/* Appends {"code":...,"message":"..."}; detail may be NULL. */
void api_add_error(struct buf *b, enum api_error e, const char *detail);

/* Appends {"error":{...}}, or {"<name>":<result>}. */
void api_add_answer(struct buf *b, const struct api_command *c, struct str name);

/* --- parameters ------------------------------------------------------------------------------- */

/* Finds members; false, and the command is answered, when one is there twice. A member that is null
 * counts as missing. */
bool api_fields(struct api_command *c, struct json_value params, struct json_field *f,
                size_t count);

/* Is it missing? Or, if it is there, of that type? (A missing one is fine, and leaves *out.) */
bool api_is_missing(struct json_value v);
bool api_is_string(struct json_value v);
bool api_bool(struct json_value v, bool *out);
bool api_u64(struct json_value v, uint64_t max, uint64_t *out);
bool api_i64(struct json_value v, int64_t min, int64_t max, int64_t *out);

/* The text of a string, empty when it is missing; scratch as in json_decode(). */
struct str api_text(struct json_value v, struct buf *scratch);

/* The text of a value on one line; `line`, which must be empty, holds it when it had to be changed.
 */
struct str api_line(struct json_value v, struct buf *line);

/* A string of base64 that holds JSON, which is all we can deliver: false when it is none. The value
 * lies in raw, which must be empty. */
bool api_b64(struct json_value v, struct buf *raw, struct json_value *out);

/* {"offset":...,"epoch":...}, both optional: false when it is something else, or a member is there
 * twice. */
bool api_position(struct json_value v, struct position *out);

/* The channel's name and options. False, and the command is answered, when it is not a string, no
 * name, or of no namespace. */
bool api_channel(struct api_command *c, struct json_value v, struct buf *scratch, struct str *name,
                 const struct channel_options **o);

/* Did all nodes do it? False, and the command is answered with an error that names those that did
 * not. */
bool api_is_done_everywhere(struct api_command *c, const struct cluster_call *call);

/* False, and the command is answered: the commands before it in this batch have used up what an
 * answer may have. */
bool api_has_room(struct api_command *c);

/* --- HTTP ------------------------------------------------------------------------------------- */

/* One request as an endpoint sees it. */
struct api_context {
    struct sessions *sessions;
    struct api_node *node;
    const struct http_request *request;
    struct http_response *response;
    struct api_answer later;
};

/* Fills the response and gives NULL, or gives the call that will answer through x->later. */
typedef struct api_call *api_handler_fn(const struct api_context *x);

api_handler_fn api_health, api_ready, api_metrics, api_static;

/* Runs a method for a request, whose body are the parameters. */
struct api_call *api_run(const struct api_context *x, const struct api_method *method,
                         const struct api_caller *caller);

#endif
