/* The end of loading: values that follow from others, and checks between options
 * (config_loader.h).
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/config/config_checks.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MAX 64

static void refuse(struct config_loader *l, const char *option, const char *what) {
    config_loader_problem(l, config_loader_source(l, option), option, "%s", what);
}

static void warn(struct config_loader *l, const char *option, const char *what) {
    config_loader_warn(l, config_loader_source(l, option), option, "%s", what);
}

/* ---- computed values ---- */

static uint32_t core_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (uint32_t)count;
}

static void replace(char **field, char *text) {
    mem_free(*field);
    *field = text;
}

static void name_node(struct config *c) {
    char host[256] = "";
    struct buf name = {0};
    if (*c->node_name)
        return;
    if (gethostname(host, sizeof(host) - 1) != 0 || !*host)
        strcpy(host, "localhost");
    buf_printf(&name, "%s_%u", host, c->http_server_port);
    replace(&c->node_name, mem_strndup(name.p, name.n));
    buf_fini(&name);
}

static void compute(struct config *c) {
    if (c->workers == 0)
        c->workers = core_count();
    if (c->client_command_rate_burst == 0)
        c->client_command_rate_burst = 2 * c->client_command_rate_limit;
    if (c->client_bytes_rate_burst == 0)
        c->client_bytes_rate_burst = 2 * c->client_bytes_rate_limit;
    c->rules.is_insecure = c->client_insecure;
    name_node(c);
}

/* ---- checks ---- */

static void check_client(struct config_loader *l) {
    const struct config *c = l->config;
    if (c->client_pong_timeout_ms >= c->client_ping_interval_ms)
        refuse(l, "client.pong_timeout", "must be less than client.ping_interval");
}

static void check_insecure(struct config_loader *l) {
    const struct config *c = l->config;
    if (config_is_loopback(c->http_server_address))
        return;
    if (c->client_insecure)
        warn(l, "client.insecure",
             "everybody who reaches this address may read and write every channel");
    if (c->http_api_insecure && !c->http_api_disabled)
        warn(l, "http_api.insecure", "everybody who reaches this address may publish with the API");
}

static void check_prefixes(struct config_loader *l) {
    const struct config *c = l->config;
    const struct {
        const char *option, *prefix;
        bool is_served;
    } all[] = {
        {"http_api.handler_prefix", c->http_api_handler_prefix, !c->http_api_disabled},
        {"websocket.handler_prefix", c->websocket_handler_prefix, !c->websocket_disabled},
        {"plain_sse.handler_prefix", c->sse_plain_handler_prefix, c->sse_plain_enabled},
        {"sse.handler_prefix", c->sse_handler_prefix, c->sse_enabled},
        {"uni_sse.handler_prefix", c->uni_sse_handler_prefix, c->uni_sse_enabled},
        {"http_stream.handler_prefix", c->http_stream_handler_prefix, c->http_stream_enabled},
        {"emulation.handler_prefix", c->emulation_handler_prefix,
         c->sse_enabled || c->http_stream_enabled},
        {"prometheus.handler_prefix", c->prometheus_handler_prefix, c->prometheus_enabled},
        {"health.handler_prefix", c->health_handler_prefix, c->health_enabled},
        {"health.ready_handler_prefix", c->health_ready_handler_prefix, c->health_enabled},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (size_t j = 0; j < i; j++)
            if (all[i].is_served && all[j].is_served && !strcmp(all[i].prefix, all[j].prefix))
                config_loader_problem(l, config_loader_source(l, all[i].option), all[i].option,
                                      "is the same path as %s", all[j].option);
}

static void check_boundaries(struct config_loader *l) {
    const struct rules *r = &l->config->rules;
    const struct {
        const char *option, *text;
    } all[] = {
        {"channel.private_prefix", r->private_prefix},
        {"channel.namespace_boundary", r->namespace_boundary},
        {"channel.user_boundary", r->user_boundary},
        {"channel.user_separator", r->user_separator},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (size_t j = 0; j < i; j++)
            if (*all[i].text && !strcmp(all[i].text, all[j].text))
                config_loader_problem(l, config_loader_source(l, all[i].option), all[i].option,
                                      "is the same as %s", all[j].option);
}

static bool is_taken(const struct rules *r, uint32_t i) {
    for (uint32_t j = 0; j < i; j++)
        if (!strcmp(r->namespaces[i].name, r->namespaces[j].name))
            return true;
    return false;
}

static bool has_problem(const struct config_loader *l, const char *option) {
    for (size_t i = 0; i < l->problems.count; i++)
        if (!strcmp(l->problems.items[i].option, option))
            return true;
    return false;
}

static void check_namespaces(struct config_loader *l) {
    const struct rules *r = &l->config->rules;
    for (uint32_t i = 0; i < r->namespace_count; i++) {
        const char *name = r->namespaces[i].name;
        const char *fault = NULL;
        struct buf option = {0};
        buf_printf(&option, CONFIG_NAMESPACES "[%u].name", i);
        if (!*name && !has_problem(l, config_z(&option)))
            fault = "is missing";
        else if (*name && is_taken(r, i))
            fault = "is the name of another namespace, too";
        else if (*name && *r->namespace_boundary && strstr(name, r->namespace_boundary))
            fault = "has channel.namespace_boundary in it, so no channel could be in it";
        if (fault)
            config_loader_problem(l, l->namespaces_source, config_z(&option), "%s", fault);
        buf_fini(&option);
    }
}

void config_loader_finish(struct config_loader *l) {
    compute(l->config);
    check_client(l);
    check_insecure(l);
    check_prefixes(l);
    check_boundaries(l);
    check_namespaces(l);
    config_loader_keys(l);
    config_loader_claims(l);
    config_loader_secrets(l);
    config_loader_redis(l);
    config_loader_channels(l);
}
