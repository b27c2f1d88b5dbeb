/* carillon-bench: the load generator. See carillon_bench.h for how it works.
 *
 * Main reads the options, notes the server's memory, starts the workers, waits until all are
 * subscribed, notes the memory again, lets the flows run, notes deliveries and the server's CPU
 * time at the beginning and at the end of the measured interval, waits until every message has
 * arrived everywhere, and prints KEY=VALUE lines on stdout. It sleeps while there is load.
 *
 * Exit status: 0, 1 if the server broke a promise or something failed, 2 for wrong options.
 *
 * Owns: flows and workers, until the process ends. Thread: main; it reads the workers' atomics, and
 * their histograms only when nothing is under way.
 */
#include "tests/bench/carillon_bench.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECT_LIMIT_MS 120000
#define PORTS_PER_SOURCE 25000 /* of the 28,232 that the kernel gives by default */
#define NS_PER_MS 1000000ull

enum option_kind { OPTION_NUMBER, OPTION_MS, OPTION_TEXT };

/* `--seconds 1.5` is kept as 1500 ms; min and max are in the unit that is typed. */
struct option_row {
    const char *name;
    enum option_kind kind;
    size_t field;
    double min, max, standard;
    const char *text_standard;
    const char *help;
};

#define NUMBER(name, min, max, standard, help)                                                     \
    { #name, OPTION_NUMBER, offsetof(struct options, name), min, max, standard, NULL, help }
#define SECONDS(name, standard, help)                                                              \
    { #name, OPTION_MS, offsetof(struct options, name##_ms), 0, 3600, standard, NULL, help }
#define TEXT(name, standard, help)                                                                 \
    { #name, OPTION_TEXT, offsetof(struct options, name), 0, 0, 0, standard, help }

static const struct option_row rows[] = {
    TEXT(mode, "fanout", "connect, idle, fanout or witness"),
    TEXT(host, "127.0.0.1", "IPv4 address of the server"),
    NUMBER(port, 1, 65535, 8000, "its port"),
    TEXT(path, "/connection/websocket", "its WebSocket endpoint"),
    NUMBER(pid, 1, 4194304, 0, "its process, for CPU time and memory"),
    {"publish-port", OPTION_NUMBER, offsetof(struct options, publish_port), 1, 65535, 0, NULL,
     "port of another node, for the publishers of the main flow (0: the same)"},
    {"publish-pid", OPTION_NUMBER, offsetof(struct options, publish_pid), 1, 4194304, 0, NULL,
     "its process, for CPU time"},
    {"broker-pid", OPTION_NUMBER, offsetof(struct options, broker_pid), 1, 4194304, 0, NULL,
     "the process between the nodes, for CPU time"},
    TEXT(channel, "bench", "channel of the main flow"),
    NUMBER(subscribers, 1, 1000000, 1000, "connections that subscribe to it"),
    NUMBER(publishers, 1, 255, 1, "further connections that publish to it"),
    {"size", OPTION_NUMBER, offsetof(struct options, size_bytes), PAYLOAD_MIN_BYTES, 1048576, 128,
     NULL, "bytes of the payload"},
    NUMBER(window, 0, 65536, 1, "closed loop: messages in flight of each publisher"),
    NUMBER(rate, 0, 10000000, 0, "open loop instead: messages per second"),
    {"witness-rate", OPTION_NUMBER, offsetof(struct options, witness_rate), 1, 100000, 200, NULL,
     "mode witness: messages per second of the other channel"},
    SECONDS(warmup, 0.5, "load before the measurement"),
    SECONDS(seconds, 5, "length of the measurement"),
    SECONDS(hold, 1, "silence before memory is measured"),
    SECONDS(patience, 10, "how long the last messages may take to arrive"),
    NUMBER(concurrency, 1, 10000, 256, "connections on their way at the same time"),
    NUMBER(threads, 1, 64, 1, "threads of the main flow"),
    NUMBER(sources, 0, 250, 0, "source addresses 127.0.0.2 and up (0: as many as needed)"),
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void usage(FILE *to) {
    fprintf(to, "usage: carillon-bench [--OPTION VALUE]...\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == OPTION_TEXT)
            fprintf(to, "  --%-14s %s (%s)\n", rows[i].name, rows[i].help, rows[i].text_standard);
        else
            fprintf(to, "  --%-14s %s (%g)\n", rows[i].name, rows[i].help, rows[i].standard);
    }
}

__attribute__((noreturn)) static void refuse(const char *what, const char *value) {
    fprintf(stderr, "carillon-bench: %s: %s\n", what, value);
    exit(2);
}

static void option_set(struct options *o, const struct option_row *row, double value) {
    uint64_t *field = (uint64_t *)((char *)o + row->field);
    *field = (uint64_t)(row->kind == OPTION_MS ? value * 1000 + 0.5 : value);
}

static void option_parse(struct options *o, const struct option_row *row, const char *value) {
    char *end;
    if (row->kind == OPTION_TEXT) {
        *(const char **)((char *)o + row->field) = value;
        return;
    }
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !(number >= row->min && number <= row->max)) {
        char what[128];
        snprintf(what, sizeof(what), "--%s must be %g to %g, not", row->name, row->min, row->max);
        refuse(what, value);
    }
    option_set(o, row, number);
}

static void options_parse(struct options *o, int argc, char **argv) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == OPTION_TEXT)
            option_parse(o, &rows[i], rows[i].text_standard);
        else
            option_set(o, &rows[i], rows[i].standard);
    }
    for (int i = 1; i < argc; i += 2) {
        size_t r = 0;
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            exit(0);
        }
        while (r < ROW_COUNT && (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, rows[r].name)))
            r++;
        if (r == ROW_COUNT)
            refuse("unknown option (--help lists them)", argv[i]);
        if (i + 1 == argc)
            refuse("a value is missing after", argv[i]);
        option_parse(o, &rows[r], argv[i + 1]);
    }
}

static bool mode_is(const struct options *o, const char *mode) {
    return strcmp(o->mode, mode) == 0;
}

static bool mode_publishes(const struct options *o) {
    return mode_is(o, "fanout") || mode_is(o, "witness");
}

static void options_check(struct options *o) {
    struct in_addr a;
    uint64_t connections = o->subscribers + o->publishers + 2;
    struct rlimit files;
    if (!mode_publishes(o) && !mode_is(o, "connect") && !mode_is(o, "idle"))
        refuse("--mode must be connect, idle, fanout or witness, not", o->mode);
    if (inet_pton(AF_INET, o->host, &a) != 1)
        refuse("--host must be an IPv4 address, not", o->host);
    if (strlen(o->channel) > 64 || strpbrk(o->channel, "\"\\"))
        refuse("--channel must be at most 64 plain characters, not", o->channel);
    if (mode_publishes(o) && o->window == 0 && o->rate == 0)
        refuse("--window and --rate cannot both be", "0");
    if (mode_is(o, "witness") && o->rate == 0)
        o->rate = 100;
    if (o->sources == 0 && connections > PORTS_PER_SOURCE)
        o->sources = (connections + PORTS_PER_SOURCE - 1) / PORTS_PER_SOURCE;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        bench_die("getrlimit failed");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_max < connections + 32 + 3 * o->threads)
        bench_die("%llu connections need a higher limit of open files than %llu (ulimit -Hn)",
                  (unsigned long long)connections, (unsigned long long)files.rlim_max);
}

/* ---- flows ---- */

struct flow_plan {
    const char *channel;
    uint32_t subscribers, publishers, threads;
    uint64_t rate, publish_port;
};

static struct sockaddr_in address_of(const struct options *o, uint64_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, o->host, &a.sin_addr);
    return a;
}

static void flow_init(struct flow *f, const struct options *o, struct flow_plan plan) {
    uint32_t threads = plan.threads < plan.subscribers ? plan.threads : plan.subscribers;
    *f = (struct flow){.options = o,
                       .channel = plan.channel,
                       .subscribers = plan.subscribers,
                       .window = plan.rate ? 0 : (uint32_t)o->window,
                       .period_ns = plan.rate ? 1000000000ull / plan.rate : 0,
                       .publisher_count = plan.publishers,
                       .worker_count = threads};
    f->workers = calloc(threads, sizeof(*f->workers));
    f->publishers = calloc(plan.publishers + 1, sizeof(*f->publishers));
    f->payload = malloc(o->size_bytes);
    if (!f->workers || !f->publishers || !f->payload)
        bench_die("out of memory");
    payload_template(f->payload, o->size_bytes);
    for (uint32_t i = 0; i < threads; i++) {
        struct worker *w = &f->workers[i];
        uint32_t first = (uint32_t)((uint64_t)plan.subscribers * i / threads);
        uint32_t end = (uint32_t)((uint64_t)plan.subscribers * (i + 1) / threads);
        w->concurrency = (uint32_t)((o->concurrency + threads - 1) / threads);
        w->source_count = (uint32_t)o->sources;
        w->server = address_of(o, o->port);
        w->publish_server = address_of(o, plan.publish_port ? plan.publish_port : o->port);
        worker_init(w, f, first, end - first);
    }
}

static void flow_start_threads(struct flow *f) {
    for (uint32_t i = 0; i < f->worker_count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker_run, &f->workers[i]) != 0)
            bench_die("cannot start a thread");
        pthread_detach(thread);
    }
}

static uint32_t flow_live(const struct flow *f) {
    uint32_t live = 0;
    for (uint32_t i = 0; i < f->worker_count; i++)
        live += atomic_load(&f->workers[i].live_count);
    return live;
}

static uint64_t flow_deliveries(const struct flow *f) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < f->worker_count; i++)
        count += atomic_load_explicit(&f->workers[i].deliveries, memory_order_acquire);
    return count;
}

static void flow_start(struct flow *f, uint64_t start_ns) {
    f->intended_ns = start_ns;
    f->from_ns = start_ns + f->options->warmup_ms * NS_PER_MS;
    f->until_ns = f->from_ns + f->options->seconds_ms * NS_PER_MS;
    atomic_store_explicit(&f->is_running, true, memory_order_release);
    worker_wake(f->workers);
}

/* All that was published has arrived everywhere, and each publish has its reply. */
static bool flow_is_drained(const struct flow *f) {
    if (!atomic_load(&f->is_done))
        return false;
    uint64_t published = atomic_load(&f->published);
    return flow_deliveries(f) == published * f->subscribers &&
           atomic_load(&f->replies) == published;
}

/* Nothing is measured while this polls. */
static void flow_wait_drained(const struct flow *f) {
    uint64_t deadline = now_ns() + f->options->patience_ms * NS_PER_MS;
    while (!flow_is_drained(f)) {
        if (now_ns() > deadline)
            bench_die("lost: channel %s: of %lu published messages, %lu were answered, and %llu of "
                      "%llu deliveries came",
                      f->channel, atomic_load(&f->published), atomic_load(&f->replies),
                      (unsigned long long)flow_deliveries(f),
                      (unsigned long long)atomic_load(&f->published) * f->subscribers);
        sleep_until(now_ns() + 5 * NS_PER_MS);
    }
}

static void flow_latency(const struct flow *f, struct histogram *out) {
    for (uint32_t i = 0; i < f->worker_count; i++)
        histogram_merge(out, &f->workers[i].latency);
}

/* ---- phases ---- */

struct snapshot {
    uint64_t time_ns, deliveries, server_cpu_ns, publish_cpu_ns, broker_cpu_ns, own_cpu_ns;
};

static struct snapshot snapshot_take(const struct flow *f) {
    return (struct snapshot){.time_ns = now_ns(),
                             .deliveries = flow_deliveries(f),
                             .server_cpu_ns = process_cpu_ns((pid_t)f->options->pid),
                             .publish_cpu_ns = process_cpu_ns((pid_t)f->options->publish_pid),
                             .broker_cpu_ns = process_cpu_ns((pid_t)f->options->broker_pid),
                             .own_cpu_ns = process_cpu_ns(getpid())};
}

static void connect_all(struct flow *flows, uint32_t flow_count) {
    static struct histogram opening; /* too big for the stack */
    uint32_t wanted = 0, live = 0;
    uint64_t start_ns = now_ns(), last_ns = 0;
    for (uint32_t i = 0; i < flow_count; i++) {
        wanted += flows[i].subscribers + flows[i].publisher_count;
        flow_start_threads(&flows[i]);
    }
    while (live < wanted) {
        if (now_ns() > start_ns + CONNECT_LIMIT_MS * NS_PER_MS)
            bench_die("only %u of %u connections were subscribed after %d s", live, wanted,
                      CONNECT_LIMIT_MS / 1000);
        sleep_until(now_ns() + 5 * NS_PER_MS);
        live = 0;
        for (uint32_t i = 0; i < flow_count; i++)
            live += flow_live(&flows[i]);
    }
    for (uint32_t i = 0; i < flow_count; i++) {
        for (uint32_t j = 0; j < flows[i].worker_count; j++) {
            uint64_t ns = atomic_load(&flows[i].workers[j].last_live_ns);
            last_ns = ns > last_ns ? ns : last_ns;
            histogram_merge(&opening, &flows[i].workers[j].opening);
        }
    }
    printf("connections=%u\nconnect_s=%.3f\nconnects_per_s=%.0f\n", wanted,
           (double)(last_ns - start_ns) / 1e9, wanted / ((double)(last_ns - start_ns) / 1e9));
    histogram_report(&opening, "connect");
}

/* Silence, in which nothing may happen but pings; then the memory they all cost. */
static void hold(const struct options *o, const struct flow *f, uint64_t rss_before) {
    pid_t pid = (pid_t)o->pid;
    struct snapshot before = snapshot_take(f);
    sleep_until(now_ns() + o->hold_ms * NS_PER_MS);
    struct snapshot after = snapshot_take(f);
    if (!pid)
        return;
    uint64_t rss = process_rss_bytes(pid);
    printf("rss_before_bytes=%llu\nrss_bytes=%llu\nbytes_per_connection=%.0f\n",
           (unsigned long long)rss_before, (unsigned long long)rss,
           ((double)rss - (double)rss_before) / (double)(f->subscribers + f->publisher_count));
    printf("idle_cpu_percent=%.2f\n", 100.0 * (double)(after.server_cpu_ns - before.server_cpu_ns) /
                                          (double)(after.time_ns - before.time_ns));
}

/* Over the whole load: how many messages came with one recv(), which is how well sends are joined.
 */
static double deliveries_per_read(const struct flow *f) {
    double deliveries = (double)flow_deliveries(f), reads = 0;
    for (uint32_t i = 0; i < f->worker_count; i++)
        reads += (double)f->workers[i].read_count;
    return deliveries / reads;
}

/* Nothing, if it has no pid. */
static void report_cpu(const char *who, uint64_t pid, uint64_t cpu_ns, double seconds,
                       double messages) {
    if (pid)
        printf("%s_cpu_us_per_message=%.4f\n%s_cpu_percent=%.1f\n", who,
               (double)cpu_ns / messages / 1e3, who, (double)cpu_ns / seconds / 1e7);
}

/* One message is a delivery to each subscriber. */
static void report_nodes(const struct flow *f, const struct snapshot *a, const struct snapshot *b) {
    const struct options *o = f->options;
    double seconds = (double)(b->time_ns - a->time_ns) / 1e9;
    double messages = (double)(b->deliveries - a->deliveries) / f->subscribers;
    report_cpu("subscribe_node", o->pid, b->server_cpu_ns - a->server_cpu_ns, seconds, messages);
    report_cpu("publish_node", o->publish_pid, b->publish_cpu_ns - a->publish_cpu_ns, seconds,
               messages);
    report_cpu("broker", o->broker_pid, b->broker_cpu_ns - a->broker_cpu_ns, seconds, messages);
}

static void report_load(const struct flow *f, const struct snapshot *a, const struct snapshot *b) {
    double seconds = (double)(b->time_ns - a->time_ns) / 1e9;
    double deliveries = (double)(b->deliveries - a->deliveries);
    double cpu_ns = (double)(b->server_cpu_ns - a->server_cpu_ns);
    if (deliveries == 0)
        bench_die("no message arrived in the measured interval");
    printf("loop=%s\nwindow=%u\nseconds=%.3f\n", f->window ? "closed" : "open", f->window, seconds);
    printf("published=%lu\ndeliveries=%.0f\ndeliveries_per_s=%.0f\n", atomic_load(&f->published),
           deliveries, deliveries / seconds);
    if (cpu_ns > 0)
        printf("server_cpu_us_per_delivery=%.4f\nserver_cpu_percent=%.1f\n",
               cpu_ns / deliveries / 1e3, cpu_ns / seconds / 1e7);
    printf("deliveries_per_read=%.2f\n", deliveries_per_read(f));
    double own_ns = (double)(b->own_cpu_ns - a->own_cpu_ns);
    printf("client_cpu_us_per_delivery=%.4f\nclient_cpu_percent=%.1f\n", own_ns / deliveries / 1e3,
           own_ns / seconds / 1e7);
}

static void run_load(struct flow *flows, uint32_t flow_count) {
    static struct histogram latency, witness; /* too big for the stack */
    uint64_t start_ns = now_ns();
    for (uint32_t i = 0; i < flow_count; i++)
        flow_start(&flows[i], start_ns);
    sleep_until(flows[0].from_ns);
    struct snapshot begin = snapshot_take(&flows[0]);
    sleep_until(flows[0].until_ns);
    struct snapshot end = snapshot_take(&flows[0]);
    for (uint32_t i = 0; i < flow_count; i++)
        flow_wait_drained(&flows[i]);
    report_load(&flows[0], &begin, &end);
    report_nodes(&flows[0], &begin, &end);
    flow_latency(&flows[0], &latency);
    histogram_report(&latency, "latency");
    if (!flows[0].window)
        histogram_report(&flows[0].workers[0].lateness, "lateness");
    if (flow_count > 1) {
        flow_latency(&flows[1], &witness);
        histogram_report(&witness, "witness");
    }
}

int main(int argc, char **argv) {
    struct options o = {0};
    static struct flow flows[2]; /* threads use them until the process ends */
    options_parse(&o, argc, argv);
    options_check(&o);
    uint32_t flow_count = mode_is(&o, "witness") ? 2 : 1;
    uint32_t publishers = mode_publishes(&o) ? (uint32_t)o.publishers : 0;
    flow_init(&flows[0], &o,
              (struct flow_plan){o.channel, (uint32_t)o.subscribers, publishers,
                                 (uint32_t)o.threads, o.rate, o.publish_port});
    if (flow_count > 1)
        flow_init(&flows[1], &o, (struct flow_plan){"witness", 1, 1, 1, o.witness_rate, 0});
    uint64_t rss_before = process_rss_bytes((pid_t)o.pid);
    printf("mode=%s\nsubscribers=%llu\nsize=%llu\n", o.mode, (unsigned long long)o.subscribers,
           (unsigned long long)o.size_bytes);
    connect_all(flows, flow_count);
    if (!mode_is(&o, "fanout"))
        hold(&o, &flows[0], rss_before);
    if (mode_publishes(&o))
        run_load(flows, flow_count);
    fflush(stdout);
    _exit(0); /* the workers never return; the kernel closes the connections */
}
