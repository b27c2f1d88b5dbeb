/* What the tests of the HTTP side share: a request as net/ would hand it over, and the response to
 * it.
 *
 * Include after <cmocka.h>. Thread: one. Owns: the response until the next request.
 */
#ifndef CARILLON_TESTS_API_TESTING_H
#define CARILLON_TESTS_API_TESTING_H

#include "server/api/api.h"
#include "tests/unit/plain_protocol.h"

static struct api_node node;
static struct sessions *node_sessions[1];
static struct http_response response;
static unsigned answer_count; /* late answers */

static inline void forget_response(void) {
    buf_fini(&response.body);
    response = (struct http_response){0};
}

/* Everybody may call the API; tests change options in bench.config. */
static inline void api_start(struct broker *(*create)(struct fanout *)) {
    bench_start(create);
    bench.config->http_api_insecure = true;
    node_sessions[0] = &bench.sessions;
    node.config = bench.config;
    node.sessions = node_sessions;
    node.worker_count = 1;
    node.broker = bench.broker;
    node.cluster = bench.cluster;
    api_nodes_register(bench.cluster, &node);
    node.started_ms = clock_now_ms();
    node.is_draining = false;
    memcpy(node.uid, "0123456789abcdef", 17);
    answer_count = 0;
}

static inline void api_stop(void) {
    forget_response();
    bench_stop();
}

/* Fixtures of cmocka. */
static inline int api_setup_stub(void **state) {
    (void)state;
    api_start(stub_broker_create);
    return 0;
}

static inline int api_setup_memory(void **state) {
    (void)state;
    api_start(broker_memory_create);
    return 0;
}

static inline int api_teardown(void **state) {
    (void)state;
    api_stop();
    return 0;
}

/* What a refused request is answered. */
#define ERROR(code, message) "{\"error\":{\"code\":" code ",\"message\":\"" message "\"}}"
#define REFUSED(why) ERROR("107", "bad request: " why)

static void keep_answer(void *to, struct http_response *r) {
    assert_ptr_equal(to, &answer_count);
    forget_response();
    response = *r;
    response.body = (struct buf){0};
    buf_add(&response.body, buf_str(&r->body));
    answer_count++;
}

/* As net/ does it: the check first, the rest only when it allows that. */
static inline struct api_call *request_as(const struct http_request *q) {
    forget_response();
    if (api_precheck(&bench.sessions, &node, q, &response))
        return NULL;
    return api_handle(&bench.sessions, &node, q, &response,
                      (struct api_answer){keep_answer, &answer_count});
}

static inline struct api_call *request(const char *method, const char *path) {
    return request_as(&(struct http_request){.method = str_of(method), .path = str_of(path)});
}

/* The body in a heap block of its own, so that reading behind it is noticed. */
static inline struct api_call *post_bytes(const char *path, struct str body) {
    char *copy = mem_alloc(body.n);
    note_received(body);
    if (body.n)
        memcpy(copy, body.p, body.n);
    struct api_call *call = request_as(&(struct http_request){
        .method = STR("POST"), .path = str_of(path), .body = {copy, body.n}});
    mem_free(copy);
    return call;
}

static inline struct api_call *post(const char *path, const char *body) {
    return post_bytes(path, str_of(body));
}

static inline void expect_response(int status, const char *body) {
    if (response.status != status || !str_equal(buf_str(&response.body), str_of(body)))
        print_error("to %s\nit answered %d:\n%.*s\nexpected %d:\n%s\n", last_received,
                    response.status, STR_ARG(buf_str(&response.body)), status, body);
    assert_int_equal(response.status, status);
    assert_true(str_equal(buf_str(&response.body), str_of(body)));
}

static inline bool response_has(const char *text) {
    return response.body.n && memmem(response.body.p, response.body.n, text, strlen(text));
}

#endif
