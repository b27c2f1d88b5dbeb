/* What the server says about itself: /ready knows about Redis, /metrics about descriptors. From
 * outside they are often, and rightly, not to be seen.
 *
 * Thread: main.
 */
#include "server/base/mem.h"
#include "server/doctor/checks.h"

#include "server/base/json_scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DESCRIPTORS_FEW = 4096, FULL_PERCENT = 90 };

static const char from_inside[] =
    "run this on the host of the node, such as `carillon doctor http://127.0.0.1:8000`";

static bool ask(struct doctor *d, const char *handler_prefix, size_t max_bytes,
                struct exchange *x) {
    char *path = doctor_path(d, handler_prefix);
    const struct request q = {
        .method = "GET", .path = path, .headers = {"Connection: close\r\n", 19}};
    bool is_answered = exchange_whole(x, &d->target, &q, max_bytes);
    mem_free(path);
    return is_answered;
}

static const char raise_descriptors[] = "raise the descriptor limit (systemd: LimitNOFILE=, "
                                        "docker: --ulimit nofile=, shell: ulimit -n) "
                                        "and client.connection_limit, or add nodes";

/* --- /ready ----------------------------------------------------------------------------------- */

static const char *advice_for(struct str reason) {
    if (str_starts(reason, STR("draining")))
        return "the node is being stopped: clients go to the others; take it out of the load "
               "balancer by /ready";
    return "clients stay connected, but subscribing and publishing fail: start or fix Redis, and "
           "see "
           "engine.redis.* and the runbook";
}

/* {"ready":false,"reason":"..."}; false when it is something else. */
static bool read_ready(struct str body, bool *is_ready, struct str *reason) {
    struct json_value v;
    struct json_fault ignored;
    struct json_field f[] = {JSON_FIELD("ready"), JSON_FIELD("reason")};
    if (!json_scan_all(body, &v, &ignored) || v.kind != JSON_KIND_OBJECT ||
        !json_fields(v, f, 2, &ignored) || f[0].value.kind == JSON_KIND_MISSING)
        return false;
    *is_ready = f[0].value.kind == JSON_KIND_TRUE;
    *reason = f[1].value.kind == JSON_KIND_STRING
                  ? str_slice(f[1].value.text, 1, f[1].value.text.n - 1)
                  : STR_NONE;
    return true;
}

static void check_ready(struct doctor *d) {
    struct exchange x;
    struct str reason;
    bool is_ready;
    const char *path = d->config->health_ready_handler_prefix;
    if (!ask(d, path, DOCTOR_BODY_BYTES_MAX, &x) && !x.head.status)
        report_add(&d->report, VERDICT_FAIL, "ready", "see the node's log", "%s: %s", path,
                   x.fault);
    else if (!read_ready(buf_str(&x.body), &is_ready, &reason))
        report_add(&d->report, VERDICT_SKIP, "ready", from_inside,
                   "%s answers %d: not visible from here", path, x.head.status);
    else if (is_ready)
        report_add(&d->report, VERDICT_OK, "ready", NULL, "the node is ready, its engine is there");
    else
        report_add(&d->report, VERDICT_FAIL, "ready", advice_for(reason), "not ready: %.*s",
                   STR_ARG(reason));
    exchange_fini(&x);
}

/* --- /metrics --------------------------------------------------------------------------------- */

/* The value of a metric without labels. */
static bool find_metric(struct str text, struct str name, double *out) {
    struct str line;
    while (str_cut(&text, '\n', &line)) {
        char number[40];
        if (!str_starts(line, name) || line.n <= name.n || line.p[name.n] != ' ' ||
            line.n - name.n > sizeof(number))
            continue;
        memcpy(number, line.p + name.n + 1, line.n - name.n - 1);
        number[line.n - name.n - 1] = '\0';
        *out = strtod(number, NULL);
        return true;
    }
    return false;
}

static void judge_metrics(struct doctor *d, struct str text) {
    double files = 0, most = 0, open = 0;
    if (!find_metric(text, STR("process_max_fds"), &files) ||
        !find_metric(text, STR("carillon_node_connections_max"), &most) ||
        !find_metric(text, STR("carillon_node_num_clients"), &open)) {
        report_add(&d->report, VERDICT_SKIP, "limits", from_inside, "/metrics does not say");
        return;
    }
    bool is_full = open * 100 >= most * FULL_PERCENT, is_small = files < DESCRIPTORS_FEW;
    report_add(&d->report,
               is_full    ? VERDICT_FAIL
               : is_small ? VERDICT_WARN
                          : VERDICT_OK,
               "limits", is_full || is_small ? raise_descriptors : NULL,
               "%.0f of at most %.0f connections are open, %.0f descriptors are allowed", open,
               most, files);
}

static void check_limits(struct doctor *d) {
    struct exchange x;
    ask(d, d->config->prometheus_handler_prefix, DOCTOR_METRICS_BYTES_MAX, &x);
    if (x.head.status == 200 && x.body.n)
        judge_metrics(d, buf_str(&x.body));
    else
        report_add(&d->report, VERDICT_SKIP, "limits", from_inside,
                   "%s is not visible from here (prometheus.enabled)",
                   d->config->prometheus_handler_prefix);
    exchange_fini(&x);
}

/* What a server that is started from this shell could have; it raises its soft limit itself. */
static void check_shell(struct doctor *d) {
    struct rlimit limit = {0};
    uint32_t wanted = d->config->client_connection_limit;
    if (!d->ask->config_file || !wanted || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    bool is_enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted;
    report_add(
        &d->report, is_enough ? VERDICT_OK : VERDICT_WARN, "shell",
        is_enough ? NULL : raise_descriptors,
        "client.connection_limit is %u, a server started from here may have %llu descriptors",
        wanted, (unsigned long long)limit.rlim_max);
}

void check_host(struct doctor *d) {
    check_ready(d);
    check_limits(d);
    check_shell(d);
}
