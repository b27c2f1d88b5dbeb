/* See doctor.h: the order of the checks.
 *
 * Thread: main.
 */
#include "server/doctor/doctor.h"

#include "server/base/mem.h"
#include "server/doctor/checks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

extern char **environ;

/* --- the URL ---------------------------------------------------------------------------------- */

/* ws:// and wss:// are what SDKs are given, http:// and https:// what the rest of us types. */
static char *as_http(const char *url) {
    struct buf b = {0};
    struct str s = str_of(url);
    if (str_starts(s, STR("ws://")) || str_starts(s, STR("wss://"))) {
        buf_add_z(&b, "http");
        s = str_slice(s, 2, s.n);
    }
    buf_add(&b, s);
    buf_add_char(&b, '\0');
    return b.p;
}

static bool ends_with(struct str s, struct str end) {
    return s.n >= end.n && str_equal(str_slice(s, s.n - end.n, s.n), end);
}

char *doctor_path(const struct doctor *d, const char *handler_prefix) {
    struct buf b = {0};
    buf_add(&b, d->prefix);
    buf_add_z(&b, handler_prefix);
    buf_add_char(&b, '\0');
    return b.p;
}

/* A path that ends as the WebSocket's does is that of the WebSocket; else, with ws:, it is an
 * endpoint of another name, and with http: what stands before all of them. */
static void split_path(struct doctor *d) {
    struct str path = str_slice(d->target.url.target, 0, str_find(d->target.url.target, '?'));
    struct str preset = str_of(d->config->websocket_handler_prefix);
    bool is_ws = str_starts(str_of(d->ask->url), STR("ws"));
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (ends_with(path, preset)) {
        d->prefix = str_slice(path, 0, path.n - preset.n);
    } else if (is_ws && path.n) {
        d->websocket_path = mem_strndup(path.p, path.n);
        return;
    } else {
        d->prefix = path;
    }
    d->websocket_path = doctor_path(d, d->config->websocket_handler_prefix);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void check_all(struct doctor *d) {
    if (!check_network(d) || !check_identity(d)) {
        report_add(&d->report, VERDICT_SKIP, "the rest", NULL, "it needs what failed");
        return;
    }
    check_upgrade(d);
    check_origin(d);
    check_claims(d);
    check_connect(d);
    check_streams(d);
    check_host(d);
    check_idle(d);
}

static int examine(const struct doctor_options *ask, const struct config *config) {
    struct doctor d = {.ask = ask, .config = config, .report = {.is_json = ask->is_json}};
    int status = EXIT_USAGE;
    d.url_text = as_http(ask->url);
    if (http_url_parse(str_of(d.url_text), &d.target.url)) {
        d.target.ca_file = ask->ca_file;
        d.target.is_insecure = ask->is_insecure;
        d.target.timeout_ms = ask->timeout_ms;
        split_path(&d);
        check_all(&d);
        status = report_end(&d.report);
    } else {
        fputs(
            "carillon doctor: the URL must be ws://, wss://, http:// or https://HOST[:PORT][/PATH]"
            "\n",
            stderr);
    }
    mem_free(d.websocket_path);
    mem_free(d.url_text);
    report_fini(&d.report);
    return status;
}

static int run(const struct doctor_options *ask) {
    struct config *config = NULL;
    char *nothing[] = {NULL}, *words[] = {"carillon", "--config", NULL, NULL};
    words[2] = (char *)(uintptr_t)ask->config_file;
    enum config_action action =
        config_load(ask->config_file ? 3 : 1, words, ask->config_file ? environ : nothing, &config);
    config_wipe_env(environ);
    int status = action == CONFIG_RUN ? examine(ask, config) : EXIT_USAGE;
    config_destroy(config);
    return status;
}

int doctor_command(int argc, char **argv) {
    struct doctor_options ask;
    int status = EXIT_USAGE;
    signal(SIGPIPE, SIG_IGN);
    if (!doctor_options_read(&ask, argc, argv))
        status = EXIT_USAGE;
    else if (ask.wants_help)
        status = fputs(doctor_usage, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    else
        status = run(&ask);
    doctor_options_fini(&ask);
    return status;
}
