/* See handlers.h: one request runs one method, and gets its answer as an HTTP response.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/mem.h"

#include <assert.h>
#include <stdio.h>

struct api_call {
    struct api_command command;
    struct api_caller caller;
    struct api_answer later; /* answer is NULL when abandoned */
    bool is_transport_mode;
    bool is_running; /* the method is on the stack */
    bool is_done;
};

void api_abandon(struct api_call *call) {
    call->later.answer = NULL;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char *error_message(enum api_error e) {
    switch (e) {
    case API_INTERNAL:
        return "internal server error";
    case API_UNKNOWN_CHANNEL:
        return "unknown channel";
    case API_PERMISSION_DENIED:
        return "permission denied";
    case API_NOT_FOUND:
        return "not found";
    case API_BAD_REQUEST:
        return "bad request";
    case API_NOT_AVAILABLE:
        return "not available";
    case API_UNRECOVERABLE:
        return "unrecoverable position";
    }
    return "error";
}

static int error_status(enum api_error e) {
    switch (e) {
    case API_UNKNOWN_CHANNEL:
    case API_NOT_FOUND:
        return 404;
    case API_PERMISSION_DENIED:
        return 403;
    case API_BAD_REQUEST:
    case API_NOT_AVAILABLE:
        return 400;
    case API_UNRECOVERABLE:
        return 416;
    case API_INTERNAL:
        break;
    }
    return 500;
}

void api_add_error(struct buf *b, enum api_error e, const char *detail) {
    struct buf text = {0};
    buf_add_z(&text, error_message(e));
    if (detail)
        buf_printf(&text, ": %s", detail);
    buf_printf(b, "{\"code\":%d,\"message\":", (int)e);
    json_add_string(b, buf_str(&text));
    buf_add_char(b, '}');
    buf_fini(&text);
}

void api_add_answer(struct buf *b, const struct api_command *c, struct str name) {
    buf_add_char(b, '{');
    json_add_string(b, c->error ? STR("error") : name);
    buf_add_char(b, ':');
    if (c->error)
        api_add_error(b, c->error, c->detail);
    else
        buf_add(b, c->result.n ? buf_str(&c->result) : STR("{}"));
    buf_add_char(b, '}');
}

void api_done(struct api_command *c) {
    c->done(c);
}

void api_fail(struct api_command *c, enum api_error e) {
    c->error = e;
    c->done(c);
}

void api_refuse(struct api_command *c, const char *why) {
    c->detail = why;
    api_fail(c, API_BAD_REQUEST);
}

static void respond(const struct api_call *call, struct http_response *r) {
    const struct api_command *c = &call->command;
    http_response_json(r, 200, STR_NONE);
    if (c->status)
        r->status = c->status;
    else if (c->error && call->is_transport_mode)
        r->status = error_status(c->error);
    api_add_answer(&r->body, c, STR("result"));
}

static void destroy(struct api_call *call) {
    buf_fini(&call->command.result);
    mem_free(call);
}

static void done(struct api_command *c) {
    struct api_call *call = list_entry(c, struct api_call, command);
    assert(!call->is_done);
    call->is_done = true;
    if (call->is_running)
        return;
    if (call->later.answer) {
        struct http_response r = {0};
        respond(call, &r);
        call->later.answer(call->later.to, &r);
        buf_fini(&r.body);
    }
    destroy(call);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Centrifugo, too, answers with a status and a text what it cannot read. */
static bool read_body(const struct api_context *x, bool needs_no_body, struct json_value *params) {
    struct json_fault fault;
    struct str body = x->request->body;
    char text[160];
    if (body.n == 0 && needs_no_body)
        body = STR("{}");
    if (!json_scan_all(body, params, &fault)) {
        snprintf(text, sizeof(text), "the body is not valid JSON: %s at byte %zu", fault.what,
                 fault.at);
        http_response_text(x->response, 400, text);
        return false;
    }
    if (params->kind != JSON_KIND_OBJECT) {
        http_response_text(x->response, 400, "the body must be a JSON object");
        return false;
    }
    return true;
}

struct api_call *api_run(const struct api_context *x, const struct api_method *method,
                         const struct api_caller *caller) {
    struct json_value params;
    if (!read_body(x, method->needs_no_body, &params))
        return NULL;
    struct api_call *call = mem_zalloc(sizeof(*call));
    call->caller = *caller;
    call->command = (struct api_command){.sessions = x->sessions,
                                         .node = x->node,
                                         .caller = &call->caller,
                                         .room_bytes = API_ANSWER_MAX_BYTES,
                                         .done = done};
    call->later = x->later;
    call->is_transport_mode = str_equal_nocase(x->request->error_mode, STR("transport"));
    call->is_running = true;
    method->run(&call->command, params);
    call->is_running = false;
    if (!call->is_done)
        return call;
    respond(call, x->response);
    destroy(call);
    return NULL;
}
