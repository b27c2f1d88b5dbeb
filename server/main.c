/* The program: options -> config -> workers -> wait for a signal -> drain -> stop.
 *
 * SIGTERM drains: not ready, no new connections, clients are told to come back, paced; then, or
 * after shutdown.timeout, everything stops. SIGINT, or a second SIGTERM, stops at once. SIGHUP
 * reads http_api.keys_file again.
 *
 * Thread: main. It makes all workers' libwebsockets contexts, and everything the threads share.
 */
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/version.h"
#include "server/config/config.h"
#include "server/doctor/doctor.h"
#include "server/engine.h"
#include "server/key_cli.h"
#include "server/net/health_check.h"
#include "server/net/listener.h"
#include "server/net/worker.h"
#include "server/session/node_calls.h"
#include "server/token_cli.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DRAIN_POLL_MS = 20, DRAIN_REPORT_MS = 5000 };
enum { SPARE_DESCRIPTORS = 32, DESCRIPTORS_PER_WORKER = 16 };
/* libwebsockets takes 16 bytes per possible descriptor and worker, so "unlimited" must not be
 * believed. */
enum { DESCRIPTORS_MAX = 262144 };

extern char **environ;

struct program {
    struct config *config;
    struct server server;
    struct listeners listeners;
    struct worker **workers;
    struct mailbox **mailboxes;
    struct sessions **sessions;
    struct api_keyring *keyring;
};

/* Raises the soft limit; gives how many connections it allows. */
static uint32_t connections_allowed(const struct config *c) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t wanted = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    if (limit.rlim_cur != wanted) {
        limit.rlim_cur = wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    uint32_t reserved = SPARE_DESCRIPTORS + DESCRIPTORS_PER_WORKER * c->workers;
    uint32_t allowed = limit.rlim_cur > reserved ? (uint32_t)limit.rlim_cur - reserved : 1;
    if (c->client_connection_limit > allowed)
        log_warn("client.connection_limit cannot be reached limit=%u descriptors_allow=%u",
                 c->client_connection_limit, allowed);
    return c->client_connection_limit && c->client_connection_limit < allowed
               ? c->client_connection_limit
               : allowed;
}

static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void make_uid(char uid[CLIENT_ID_BYTES + 1]) {
    uint8_t random[16];
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(uid, CLIENT_ID_BYTES + 1, random, sizeof(random));
}

static bool write_pid_file(const char *path) {
    if (!path || !*path)
        return true;
    FILE *f = fopen(path, "we");
    if (f)
        fprintf(f, "%ld\n", (long)getpid());
    if (f && fclose(f) == 0)
        return true;
    log_error("cannot write pid_file path=\"%s\" error=\"%s\"", path, strerror(errno));
    return false;
}

/* At the start, and again on SIGHUP: then keys that cannot be read leave those in use. */
static bool load_api_keys(struct program *p) {
    const char *path = p->config->http_api_keys_file, *exposure = NULL;
    struct buf why = {0};
    if (!*path)
        return true;
    struct api_keys *keys = config_read_api_keys(path, &exposure, &why);
    if (keys) {
        log_info("API keys read count=%zu path=\"%s\"", api_keys_count(keys), path);
        api_keyring_replace(p->keyring, keys);
    } else {
        log_error("API keys not read, those before stay path=\"%s\" fault=\"%.*s\"", path,
                  STR_ARG(buf_str(&why)));
    }
    if (exposure)
        log_warn("API keys: %s path=\"%s\"", exposure, path);
    buf_fini(&why);
    return keys != NULL;
}

static bool create_workers(struct program *p) {
    uint32_t count = p->config->workers;
    p->workers = mem_array(count, sizeof(struct worker *));
    p->mailboxes = mem_array(count, sizeof(struct mailbox *));
    p->sessions = mem_array(count, sizeof(struct sessions *));
    worker_log_while_created(true);
    for (uint32_t i = 0; i < count; i++) {
        p->workers[i] = worker_create(&p->server, i, p->listeners.fds[i]);
        if (!p->workers[i])
            return false;
        p->listeners.fds[i] = -1;
        p->mailboxes[i] = worker_mailbox(p->workers[i]);
        p->sessions[i] = worker_sessions(p->workers[i]);
    }
    worker_log_while_created(false);
    return true;
}

/* Sets of keys that are fetched; the config ends their threads. */
static bool start_keys(struct config *c) {
    if (jwks_cache_start(c->client_token_keys.jws.jwks) &&
        jwks_cache_start(c->client_subscription_token_keys.jws.jwks))
        return true;
    log_error("cannot start error=\"no thread or descriptor to fetch keys\"");
    return false;
}

static bool start(struct program *p) {
    struct config *c = p->config;
    struct server *s = &p->server;
    s->config = s->node.config = c;
    s->limits.max_count = s->node.connections_max = connections_allowed(c);
    p->keyring = s->node.keyring = *c->http_api_keys_file ? api_keyring_create() : NULL;
    if (!start_keys(c) || !load_api_keys(p) || !listeners_open(&p->listeners, c, c->workers) ||
        !create_workers(p) || !write_pid_file(c->pid_file))
        return false;
    make_uid(s->node.uid);
    s->fanout = fanout_create(p->mailboxes, c->workers);
    s->users = users_create(p->mailboxes, c->workers);
    s->revocations = revocations_create();
    s->cluster = cluster_create(s->node.uid, c->node_name, p->mailboxes, c->workers);
    node_calls_register(s->cluster);
    api_nodes_register(s->cluster, &s->node);
    s->broker = engine_create(s);
    if (!s->broker)
        return false;
    cluster_set_broker(s->cluster, s->broker);
    s->node.sessions = p->sessions;
    s->node.worker_count = c->workers;
    s->node.broker = s->broker;
    s->node.cluster = s->cluster;
    s->node.started_ms = clock_now_ms();
    for (uint32_t i = 0; i < c->workers; i++)
        worker_start(p->workers[i]);
    log_info("carillon ready version=" CARILLON_VERSION " address=%s port=%u engine=%s workers=%u "
             "connections_max=%u",
             *c->http_server_address ? c->http_server_address : "*", p->listeners.port,
             s->broker->ops->name, c->workers, s->limits.max_count);
    return true;
}

static bool all_drained(const struct program *p) {
    for (uint32_t i = 0; i < p->config->workers; i++)
        if (!worker_is_drained(p->workers[i]))
            return false;
    return true;
}

static void report_drain(const struct program *p, const char *what, uint64_t start_ms) {
    size_t clients = 0, requests = 0;
    for (uint32_t i = 0; i < p->config->workers; i++)
        worker_add_remaining(p->workers[i], &clients, &requests);
    log_info("%s clients=%zu http_connections=%zu after_ms=%llu", what, clients, requests,
             (unsigned long long)(clock_now_ms() - start_ms));
}

/* Until all clients are gone, the time is over, or another signal comes. */
static void drain(struct program *p, const sigset_t *signals) {
    const struct timespec poll = {.tv_nsec = DRAIN_POLL_MS * 1000000L};
    uint64_t start_ms = clock_now_ms(), end_ms = start_ms + p->config->shutdown_timeout_ms;
    uint64_t report_ms = start_ms + DRAIN_REPORT_MS;
    log_info("draining timeout_ms=%u", p->config->shutdown_timeout_ms);
    p->server.node.is_draining = true;
    for (uint32_t i = 0; i < p->config->workers; i++)
        worker_ask(p->workers[i], WORKER_DRAIN);
    while (!all_drained(p) && clock_now_ms() < end_ms) {
        int number = sigtimedwait(signals, NULL, &poll);
        if (number > 0 && number != SIGHUP)
            break;
        if (clock_now_ms() >= report_ms) {
            report_drain(p, "still draining", start_ms);
            report_ms += DRAIN_REPORT_MS;
        }
    }
    report_drain(p, all_drained(p) ? "drained" : "draining is over", start_ms);
}

static bool settle(struct program *p) {
    bool was_any = false;
    for (uint32_t i = 0; i < p->config->workers; i++)
        was_any |= worker_settle(p->workers[i]);
    return was_any;
}

static void stop(struct program *p) {
    struct broker *broker = p->server.broker;
    broker->ops->stop(broker);
    cluster_stop(p->server.cluster);
    for (uint32_t i = 0; i < p->config->workers; i++)
        worker_ask(p->workers[i], WORKER_STOP);
    for (uint32_t i = 0; i < p->config->workers; i++)
        worker_join(p->workers[i]);
    while (settle(p))
        continue;
    for (uint32_t i = 0; i < p->config->workers; i++)
        worker_destroy(p->workers[i]);
    broker->ops->destroy(broker);
    cluster_destroy(p->server.cluster);
    fanout_destroy(p->server.fanout);
    users_destroy(p->server.users);
    revocations_destroy(p->server.revocations);
    listeners_close(&p->listeners);
    api_keyring_destroy(p->keyring);
    if (p->config->pid_file && *p->config->pid_file)
        unlink(p->config->pid_file);
    mem_free(p->workers);
    mem_free(p->mailboxes);
    mem_free(p->sessions);
    log_info("carillon stopped");
}

static int serve(int argc, char **argv) {
    struct program p = {0};
    sigset_t signals;
    enum log_level level = LOG_INFO;
    enum config_action action = config_load(argc, argv, environ, &p.config);
    config_wipe_env(environ);
    if (action != CONFIG_RUN)
        return action == CONFIG_EXIT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    log_level_parse(p.config->log_level, &level);
    log_setup(level, strcmp(p.config->log_format, "json") == 0);
    block_signals(&signals);
    if (!start(&p)) {
        config_destroy(p.config);
        return EXIT_FAILURE;
    }
    int number = 0;
    while (sigwait(&signals, &number) != 0 || number == SIGHUP)
        if (number == SIGHUP)
            load_api_keys(&p);
    if (number == SIGTERM)
        drain(&p, &signals);
    stop(&p);
    config_destroy(p.config);
    return EXIT_SUCCESS;
}

static int config_command(int argc, char **argv) {
    const char *what = argc > 0 ? argv[0] : "";
    if (strcmp(what, "check") == 0 && argc == 2)
        return config_check(argv[1]);
    if (strcmp(what, "init") == 0 && argc == 1)
        return config_init();
    if (strcmp(what, "doc") == 0 && argc == 1)
        return config_doc();
    fprintf(stderr, "usage: carillon config check FILE | config init | config doc\n");
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *command = argc > 1 ? argv[1] : "";
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    if (strcmp(command, "config") == 0)
        return config_command(argc - 2, argv + 2);
    if (strcmp(command, "token") == 0)
        return token_command(argc - 2, argv + 2);
    if (strcmp(command, "key") == 0)
        return key_command(argc - 2, argv + 2);
    if (strcmp(command, "doctor") == 0)
        return doctor_command(argc - 2, argv + 2);
    if (strcmp(command, "health") == 0)
        return health_check(argc > 2 ? argv[2] : NULL);
    return serve(argc, argv);
}
