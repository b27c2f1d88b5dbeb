/* What concerns all nodes: the method info, and the words for a call that not all of them did.
 *
 * Figures travel as texts name and version, then u64 clients, users, subscriptions, channels,
 * uptime in seconds, CPU time in ms, resident bytes; a newer node may add more.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/api_figures.h"
#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/base/pack.h"
#include "server/base/version.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED_MAX = 20, TEXT_MAX_BYTES = 255 };

/* --- not done everywhere ---------------------------------------------------------------------- */

static const char *status_words(enum cluster_status status) {
    switch (status) {
    case CLUSTER_DONE:
        return "done";
    case CLUSTER_UNKNOWN_OP:
        return "it does not know this operation";
    case CLUSTER_BAD_REQUEST:
        return "it refuses the request";
    case CLUSTER_FAILED:
        return "it failed";
    case CLUSTER_SILENT:
        break;
    }
    return "no answer in time";
}

/* "name" (uid): why */
static void add_node_words(struct buf *b, const struct cluster_node *n) {
    if (*n->name)
        buf_printf(b, "\"%s\" (%s): %s", n->name, n->uid, status_words(n->status));
    else
        buf_printf(b, "%s: %s", n->uid, status_words(n->status));
}

static void add_failed(struct buf *b, const struct cluster_call *call) {
    size_t failed_count = 0;
    for (size_t i = 0; i < call->count; i++)
        failed_count += call->nodes[i].status != CLUSTER_DONE;
    buf_printf(b, "done on %zu of %zu nodes; not on ", call->count - failed_count, call->count);
    size_t named_count = 0;
    for (size_t i = 0; i < call->count && named_count < NAMED_MAX; i++) {
        if (call->nodes[i].status == CLUSTER_DONE)
            continue;
        if (named_count++)
            buf_add_z(b, ", ");
        add_node_words(b, &call->nodes[i]);
    }
    if (failed_count > named_count)
        buf_printf(b, ", and %zu more", failed_count - named_count);
}

static bool is_done_everywhere(const struct cluster_call *call) {
    if (call->reply.result != BROKER_OK)
        return false;
    for (size_t i = 0; i < call->count; i++)
        if (call->nodes[i].status != CLUSTER_DONE)
            return false;
    return true;
}

/* The words lie where the result would. */
bool api_is_done_everywhere(struct api_command *c, const struct cluster_call *call) {
    struct broker *broker = c->node->broker;
    const char *trouble = broker->ops->trouble(broker);
    struct buf *b = &c->result;
    if (is_done_everywhere(call))
        return true;
    buf_clear(b);
    if (call->reply.result == BROKER_OK)
        add_failed(b, call);
    else if (call->reply.result == BROKER_UNKNOWN)
        buf_add_z(b, "the engine did not answer in time; it may or may not have been done");
    else
        buf_printf(b, "nothing was done: %s",
                   trouble ? trouble : "too much is under way, or the request is too large");
    buf_add_char(b, '\0');
    c->detail = b->p;
    api_fail(c, API_INTERNAL);
    return false;
}

/* --- figures of a node ------------------------------------------------------------------------ */

struct figures {
    struct str name, version;
    uint64_t clients, users, subscriptions, channels, uptime_s, cpu_ms, rss_bytes;
};

struct numbers {
    uint64_t *list[7];
};

static struct numbers numbers_of(struct figures *f) {
    return (struct numbers){{&f->clients, &f->users, &f->subscriptions, &f->channels, &f->uptime_s,
                             &f->cpu_ms, &f->rss_bytes}};
}

static void run_info(void *arg, struct cluster_request *q, void *reader) {
    const struct api_node *node = arg;
    const struct sessions *s = reader;
    struct figures f = {
        .clients = api_sum(node, METRIC_CLIENTS),
        .users = users_count(s->users),
        .subscriptions = api_sum(node, METRIC_SUBSCRIPTIONS),
        .channels = fanout_channel_count(s->fanout),
        .uptime_s = (clock_now_ms() - node->started_ms) / 1000,
        .cpu_ms = (uint64_t)(api_cpu_s() * 1e3),
        .rss_bytes = api_rss_bytes(),
    };
    struct numbers numbers = numbers_of(&f);
    struct buf b = {0};
    pack_str(&b, str_of(node->config->node_name));
    pack_str(&b, STR(CARILLON_VERSION));
    for (size_t i = 0; i < 7; i++)
        pack_u64(&b, *numbers.list[i]);
    cluster_answer(q, CLUSTER_DONE, buf_str(&b));
    buf_fini(&b);
}

static bool read_figures(struct str bytes, struct figures *f) {
    struct unpack u = {.rest = bytes};
    struct numbers numbers = numbers_of(f);
    f->name = unpack_str(&u, TEXT_MAX_BYTES);
    f->version = unpack_str(&u, TEXT_MAX_BYTES);
    for (size_t i = 0; i < 7; i++)
        *numbers.list[i] = unpack_u64(&u);
    return !u.is_bad && str_is_utf8(f->name) && str_is_utf8(f->version);
}

/* --- info ------------------------------------------------------------------------------------- */

static void add_figures(struct buf *b, const struct cluster_node *n, const struct figures *f) {
    buf_add_z(b, "{\"uid\":");
    json_add_string(b, str_of(n->uid));
    buf_add_z(b, ",\"name\":");
    json_add_string(b, f->name);
    buf_add_z(b, ",\"version\":");
    json_add_string(b, f->version);
    buf_printf(b,
               ",\"num_clients\":%llu,\"num_users\":%llu,\"num_subs\":%llu,\"num_channels\":%llu,"
               "\"uptime\":%llu,\"process\":{\"cpu\":%.3f,\"rss\":%llu}}",
               (unsigned long long)f->clients, (unsigned long long)f->users,
               (unsigned long long)f->subscriptions, (unsigned long long)f->channels,
               (unsigned long long)f->uptime_s, (double)f->cpu_ms / 1e3,
               (unsigned long long)f->rss_bytes);
}

static void add_missing(struct buf *b, const struct cluster_node *n) {
    buf_add_z(b, "{\"uid\":");
    json_add_string(b, str_of(n->uid));
    buf_add_z(b, ",\"name\":");
    json_add_string(b, str_of(n->name));
    buf_add_z(b, ",\"reason\":");
    json_add_string(b, str_of(status_words(n->status)));
    buf_add_char(b, '}');
}

static int compare_nodes(const void *a, const void *b) {
    const struct cluster_node *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->uid, y->uid);
}

static void add_nodes(struct buf *b, struct cluster_call *call) {
    size_t shown_count = 0, missing_count = 0;
    qsort(call->nodes, call->count, sizeof(*call->nodes), compare_nodes);
    buf_add_z(b, "{\"nodes\":[");
    for (size_t i = 0; i < call->count; i++) {
        struct cluster_node *n = &call->nodes[i];
        struct figures f;
        if (n->status == CLUSTER_DONE && !read_figures(buf_str(&n->body), &f))
            n->status = CLUSTER_FAILED;
        if (n->status != CLUSTER_DONE)
            continue;
        if (shown_count++)
            buf_add_char(b, ',');
        add_figures(b, n, &f);
    }
    buf_add_char(b, ']');
    for (size_t i = 0; i < call->count; i++) {
        if (call->nodes[i].status == CLUSTER_DONE)
            continue;
        buf_add_z(b, missing_count++ ? "," : ",\"missing\":[");
        add_missing(b, &call->nodes[i]);
    }
    buf_add_z(b, missing_count ? "]}" : "}");
}

static void answer_info(void *arg, struct cluster_call *call) {
    struct api_command *c = arg;
    if (call->reply.result == BROKER_OK) {
        add_nodes(&c->result, call);
        api_done(c);
    } else {
        api_is_done_everywhere(c, call);
    }
}

void api_info(struct api_command *c, struct json_value params) {
    (void)params;
    node_call_start(c->sessions, NODE_INFO, STR_NONE, answer_info, c);
}

void api_nodes_register(struct cluster *cluster, struct api_node *node) {
    cluster_handle(cluster, NODE_INFO, run_info, node);
}
