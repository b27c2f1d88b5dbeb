/* What presence costs when one channel has many members: CPU time of a join, a leave and a read of
 * the counts, each through the memory engine, its message and its answer included.
 *
 *   bench-presence [MEMBERS [ROUNDS]]      default: 100000 5
 *
 * Calls are timed in blocks, so that the growing of a table shows. Exits with 1 when a block took
 * more than 10 us per call.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/broker_memory.h"
#include "server/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TARGET_NS = 10000, BLOCK = 1000, USERS_SHARE = 4 };

static uint32_t members = 100000, rounds = 5;
static struct mailbox box;
static struct broker *broker;
static const struct member_options options = {MEMBER_KEEP | MEMBER_ANNOUNCE, UINT32_MAX};

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Each fourth member is of the same user as the three before it. */
static struct msg *message(enum msg_kind kind, uint32_t i) {
    char client[40], user[16];
    int client_n =
        snprintf(client, sizeof(client), "%08x-0000-4000-8000-%012x", i * 2654435761u, i);
    int user_n = snprintf(user, sizeof(user), "user%u", i / USERS_SHARE);
    return msg_create(&(struct msg_parts){.kind = kind,
                                          .channel = STR("bench:room"),
                                          .user = {user, (size_t)user_n},
                                          .client = {client, (size_t)client_n},
                                          .conn_info = STR("{\"name\":\"somebody\"}")});
}

static void join(uint32_t i) {
    broker->ops->join(broker, message(MSG_JOIN, i), &options);
}

static void leave(uint32_t i) {
    broker->ops->leave(broker, message(MSG_LEAVE, i), &options);
}

static void leave_and_join(uint32_t i) {
    leave(i);
    join(i);
}

static struct presence_reply read_presence(bool wants_members) {
    struct presence_reply r = {.reply = {.to = &box}, .wants_members = wants_members};
    struct mail mail;
    broker->ops->presence(broker, STR("bench:room"), &r);
    if (!mailbox_take(&box, &mail) || mail.reply != &r.reply)
        abort();
    return r;
}

static void read_counts(uint32_t i) {
    (void)i;
    if (read_presence(false).client_count != members)
        abort();
}

static void read_members(uint32_t i) {
    struct presence_reply r = read_presence(true);
    (void)i;
    presence_reply_fini(&r);
}

/* Nanoseconds per call, over all blocks of all rounds. */
struct times {
    const char *what;
    void (*call)(uint32_t);
    uint64_t *blocks;
    size_t count;
};

static void measure(struct times *t, uint32_t calls, uint32_t block) {
    for (uint32_t i = 0; i < calls;) {
        uint32_t end = i + block < calls ? i + block : calls, start = i;
        uint64_t start_ns = cpu_ns();
        for (; i < end; i++)
            t->call(i);
        t->blocks = mem_realloc(t->blocks, (t->count + 1) * sizeof(uint64_t));
        t->blocks[t->count++] = (cpu_ns() - start_ns) / (end - start);
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Gives the slowest. */
static uint64_t report(struct times *t) {
    qsort(t->blocks, t->count, sizeof(uint64_t), compare);
    uint64_t slowest = t->blocks[t->count - 1];
    printf("%-32s %9llu %9llu %9llu\n", t->what, (unsigned long long)t->blocks[0],
           (unsigned long long)t->blocks[t->count / 2], (unsigned long long)slowest);
    mem_free(t->blocks);
    return slowest;
}

static bool run(void) {
    struct times all[] = {
        {.what = "join, the channel grows", .call = join},
        {.what = "read the counts", .call = read_counts},
        {.what = "leave and join, two calls", .call = leave_and_join},
        {.what = "leave, the channel shrinks", .call = leave},
    };
    struct times list = {.what = "read all members", .call = read_members};
    bool is_good = true;
    for (uint32_t round = 0; round < rounds; round++)
        for (int i = 0; i < 4; i++) {
            measure(&all[i], members, BLOCK);
            if (i == 1)
                measure(&list, 5, 1);
        }
    printf("%u members, ns per call         %9s %9s %9s\n", members, "fastest", "median",
           "slowest");
    for (int i = 0; i < 4; i++)
        is_good = report(&all[i]) <= TARGET_NS * (i == 2 ? 2u : 1u) && is_good;
    report(&list);
    return is_good;
}

static void wake(void *arg) {
    (void)arg;
}

int main(int argc, char **argv) {
    struct mailbox *boxes[] = {&box};
    if (argc > 1)
        members = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        rounds = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3 || !members || !rounds) {
        fprintf(stderr, "usage: bench-presence [MEMBERS [ROUNDS]]\n");
        return 2;
    }
    mailbox_init(&box, SIZE_MAX, wake, NULL);
    struct fanout *fanout = fanout_create(boxes, 1);
    broker = broker_memory_create(fanout);
    bool is_good = run();
    broker->ops->stop(broker);
    broker->ops->destroy(broker);
    fanout_destroy(fanout);
    mailbox_fini(&box);
    return is_good ? 0 : 1;
}
