/* carillon-bench: what its files share.
 *
 * A bench has one or two flows. A flow is one channel with its subscribers and publishers and the
 * rule by which messages are published: in a closed loop (a window: the next message goes out when
 * every subscriber has got one) or in an open loop (a rate: each message has an intended time, and
 * latency counts from that, so a server that stalls cannot hide it by slowing the load down). The
 * second flow is the witness: another channel's client, which must not suffer while the first flow
 * is busy. Publishers may have a server of their own: another node, with a broker in between.
 *
 * A flow is worked by one or more threads (struct worker), each with its own epoll, connections and
 * histogram; all publishers live on the flow's first worker. Main connects, waits, takes the
 * measurements and reports.
 *
 * Every subscriber checks every message: no loss, no repeat, the publisher's order, the payload
 * byte for byte. The first broken promise ends the program with one line and status 1 (bench_die).
 *
 * Owns: see each struct. Thread: each field says it, or belongs to its worker.
 */
#ifndef CARILLON_BENCH_H
#define CARILLON_BENCH_H

#include "tests/bench/bytes.h"
#include "tests/bench/ws_wire.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct options {
    const char *mode;
    const char *host;
    const char *path;
    const char *channel;
    uint64_t port, publish_port;
    uint64_t pid, publish_pid, broker_pid;
    uint64_t subscribers, publishers, threads, sources, concurrency;
    uint64_t size_bytes, window, rate, witness_rate;
    uint64_t seconds_ms, warmup_ms, hold_ms, patience_ms;
};

/* ---- carillon_bench_measure.c ---- */

/* Log-linear: 128 steps per power of two, so a value is off by less than 1 %. */
#define HISTOGRAM_STEPS 128
#define HISTOGRAM_POWERS 36
struct histogram {
    uint64_t counts[HISTOGRAM_STEPS * HISTOGRAM_POWERS];
    uint64_t count, max_ns;
};
void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);
uint64_t histogram_at(const struct histogram *h, double quantile);
/* Prints PREFIX_count, _p50_us, _p99_us, _p999_us, _max_us. */
void histogram_report(const struct histogram *h, const char *prefix);

uint64_t now_ns(void);
void sleep_until(uint64_t ns);
/* CPU time of all threads of the process, living and dead; nanoseconds. 0 without a pid. */
uint64_t process_cpu_ns(pid_t pid);
/* VmRSS; 0 without a pid. */
uint64_t process_rss_bytes(pid_t pid);

__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

/* ---- carillon_bench_conn.c ---- */

enum conn_state { CONN_OPENING, CONN_UPGRADING, CONN_CONNECTING, CONN_SUBSCRIBING, CONN_LIVE };

struct conn {
    int fd;
    enum conn_state state;
    bool is_publisher;
    bool wants_out;       /* waits for EPOLLOUT */
    bool is_fragmented;   /* message holds the first fragments of one */
    uint32_t number;      /* subscriber or publisher number in its flow */
    uint64_t started_ns;  /* when it was opened */
    struct bytes in;      /* the start of a frame that has not come whole */
    struct bytes message; /* the fragments of a message that has not come whole */
    struct bytes out;
    uint64_t *next; /* per publisher: the sequence number this subscriber must get next */
};

struct worker;
/* Opens the connection of a conn that is all zero but for number, is_publisher and next. */
void conn_open(struct worker *w, struct conn *c);
/* Handles what epoll reported. */
void conn_event(struct worker *w, struct conn *c, uint32_t events);
/* Queues one masked text frame; conn_flush sends all that is queued. */
void conn_queue(struct worker *w, struct conn *c, const void *text, size_t n);
void conn_flush(struct worker *w, struct conn *c);
/* "subscriber 12 of channel bench", in a buffer of the thread. */
const char *conn_name(const struct worker *w, const struct conn *c);

/* ---- carillon_bench_payload.c ---- */

/* {"b":"PPSSSSSSSSSSSSTTTTTTTTTTTTTTTT","x":"..."}: publisher, sequence number, send time, in hex.
 */
#define PAYLOAD_MIN_BYTES 48
#define PAYLOAD_MARK "{\"b\":\""
#define PAYLOAD_MARK_BYTES 6
#define PAYLOAD_FIXED_BYTES 36 /* from here on all payloads are the same */
struct payload {
    uint32_t publisher;
    uint64_t sequence, time_ns;
};
void payload_template(char *out, size_t size_bytes);
void payload_write(char *out, const struct payload *p);
/* False if these are not digits. */
bool payload_read(const char *in, struct payload *p);

/* ---- carillon_bench_load.c ---- */

struct publisher {
    struct conn *conn;
    uint64_t sequence;     /* of the next message */
    uint32_t command_id;   /* of the last command */
    bool is_queued;        /* something was queued that must be flushed */
    atomic_uint credits;   /* closed loop: messages that may go out now; any worker adds */
    atomic_uint *received; /* closed loop: by sequence % window, how many subscribers got it */
};

struct flow {
    const struct options *options;
    const char *channel;
    uint32_t subscribers;
    uint32_t window;      /* closed loop if not 0 */
    uint64_t period_ns;   /* open loop: between two messages */
    uint64_t intended_ns; /* open loop: of the next message */
    struct publisher *publishers;
    uint32_t publisher_count, publisher_next;
    struct worker *workers;
    uint32_t worker_count;
    char *payload;              /* the first worker writes the fixed places, all read the rest */
    struct bytes command;       /* the first worker's, reused */
    atomic_bool is_running;     /* main: publishing begins; publishing ends by itself at until_ns */
    atomic_bool is_done;        /* first worker: nothing will be published any more */
    uint64_t from_ns, until_ns; /* the measured interval; written before is_running */
    atomic_ulong published, replies;
};

#define WORKER_READ_BYTES (256 * 1024)
struct worker {
    struct flow *flow;
    int epoll, wake, timer;
    struct conn *conns;
    uint32_t conn_count, opened, live, concurrency;
    uint32_t source_count;
    struct sockaddr_in server, publish_server; /* the same, unless there are two nodes */
    uint8_t *buffer;                           /* of WORKER_READ_BYTES */
    uint64_t now_ns;                           /* of the last recv */
    struct bytes prefix; /* what stood before the payload in the last push: most are alike */
    uint64_t random;
    uint64_t read_count; /* recv() calls by subscribers while there is load */
    struct histogram latency, opening;
    struct histogram lateness; /* open loop: how long after its time a message was sent */
    atomic_ulong deliveries;
    atomic_uint live_count;    /* = live, for main */
    atomic_ulong last_live_ns; /* when the last connection got its subscribe reply */
};

/* Makes conns (the worker's share of subscribers; on a first worker also all publishers). */
void worker_init(struct worker *w, struct flow *f, uint32_t first_subscriber, uint32_t subscribers);
/* Thread body; runs until the process ends. */
void *worker_run(void *worker);
/* Makes the worker's first round start: to connect, or to publish. Thread: any. */
void worker_wake(struct worker *w);
/* One JSON object from the server. */
void load_line(struct worker *w, struct conn *c, const char *line, size_t n);

#endif
