/* History over several nodes and one redis-server when everything goes wrong by chance: no hole in
 * silence, and nothing doubled.
 *
 * Publishers repeat until they are certain; subscribers (chaos_seats.h) come, go and recover; Redis
 * forgets its scripts, stops, is killed and comes back without its last writes or with nothing;
 * links are cut, streams deleted, messages lost on the way. Now and then it becomes calm: then
 * every subscriber must stand where Redis does, and have, or have been told of, every publication
 * that was acknowledged (chaos_book.h).
 *
 * Two ways of going wrong: gently, nothing that Redis has acknowledged is lost, so nobody of a
 * channel with a long history may be told anything; wildly, all of it. And two sorts of seeds: with
 * an even one silent channels are compared with Redis soon; with an odd one they are not, so what a
 * cut link has lost must be found when it is back.
 *
 *     CARILLON_TEST_SEED=n    the chance of all runs; the order of events, not their time. 0: any
 *     CARILLON_TEST_ROUNDS=n  from calm to calm, per run
 *     CARILLON_TEST_LOG=1     what the brokers log
 *
 * Thread: main, and the brokers' own. Owns: a redis-server and nodes per run.
 */
#include "server/session/client_sync.c"

#include "channels/broker_redis.h"
#include "server/base/log.h"
#include "tests/unit/redis_testing.h"

#include "tests/unit/chaos_book.h"
#include "tests/unit/chaos_calls.h"
#include "tests/unit/chaos_redis.h"
#include "tests/unit/chaos_seats.h"

#include <time.h>

enum { STEPS_PER_ROUND = 200, ROUNDS = 2, PROBES_MAX = 100 };

static struct profile long_one = {"long", {1000, 60000, 60000}, false, true};
static struct profile one = {"one", {1, 60000, 60000}, false, false};
static struct profile ten_of_them = {"ten", {10, 60000, 60000}, false, false};
static struct profile brief = {"brief", {100, 300, 60000}, false, false};
static struct profile forgetful = {"forgetful", {100, 400, 1500}, false, false};
static struct profile big = {"big", {20, 60000, 60000}, true, false};
static const struct profile *const profiles[CHANNELS] = {
    &long_one,    &long_one,    &long_one,  &long_one,  &long_one, &long_one, &long_one,
    &long_one,    &one,         &one,       &one,       &brief,    &brief,    &ten_of_them,
    &ten_of_them, &ten_of_them, &forgetful, &forgetful, &big,      &big,
};

/* --- what happens ----------------------------------------------------------------------------- */

/* To another node, whose messages may travel faster or slower. */
static void move(struct seat *t, uint32_t how) {
    t->node = how % node_count;
    t->worker = how / node_count % WORKERS;
}

static void come_or_go(struct seat *t, uint32_t how) {
    if (t->wants_in && t->in && t->in->sub.state == SUBSCRIPTION_SYNCING && how % 4)
        return;
    if (t->in)
        leave_seat(t);
    if (t->wants_in && how % 4 == 1) { /* at once again, elsewhere */
        move(t, how / 8);
        return;
    }
    t->wants_in = !t->wants_in;
    move(t, how / 8);
    if (t->wants_in && how % 8 == 0)
        t->is_fresh = true;
}

static void many_come_back(struct channel *c, uint32_t how) {
    note("all of %s come back", c->name);
    for (uint32_t i = c->index; i < SEATS; i += CHANNELS) {
        struct seat *t = &hall.seats[i];
        if (is_live(t))
            leave_seat(t);
        if (!t->in && how % 2)
            move(t, how / 8 + i);
        t->wants_in = true;
    }
}

static void check_one(struct seat *t) {
    if (is_live(t))
        sync_check(&t->in->sub, clock_now_ms());
}

static void vandalize(struct channel *c, uint32_t node, uint32_t how) {
    if (book.is_gentle && c->profile->is_safe)
        return;
    if (how % 4 == 0 && book.seed % 2 == 0)
        delete_key(c, "meta");
    else if (how % 4 == 1)
        delete_key(c, "stream");
    else
        remove_history(c, node);
}

static void break_links(uint32_t node, uint32_t how) {
    static const char *const names[] = {"messages", "messages", "commands", ""};
    cut(node, names[how % 4]);
    for (uint32_t i = 0; i < how / 4 % CHANNELS; i++) /* which this node does not hear */
        publish_new(&book.channels[(i * 7 + how) % CHANNELS], (node + 1) % node_count);
}

static void forget_scripts(void) {
    if (!can_ask())
        return;
    note("redis forgets its scripts");
    redis_server_do(&server, "SCRIPT FLUSH");
}

static void stop_redis(uint32_t how) {
    if (how % 8 == 0)
        freeze(IO_MS + how / 16 % slowly(200));
    else
        freeze(1 + how / 16 % slowly(60));
}

static void happen(void) {
    uint32_t kind = draw(1000), how = draw(1u << 30), node = draw(node_count);
    struct channel *c = &book.channels[draw(CHANNELS)];
    struct seat *t = &hall.seats[draw(SEATS)];
    if (kind < 500)
        publish_new(c, node);
    else if (kind < 560)
        for (uint32_t i = 0; i < how % (c->profile->is_big ? 8 : 60); i++)
            publish_new(c, (node + i * how) % node_count);
    else if (kind < 760)
        come_or_go(t, how);
    else if (kind < 780)
        many_come_back(c, how);
    else if (kind < 840)
        for (uint32_t i = 0; i < 1 + how % PROBES_MAX; i++)
            ask_history(c, node, how * (i + 1));
    else if (kind < 880 && book.seed % 2 == 0)
        publish_unheard(c);
    else if (kind < 900)
        check_one(t);
    else if (kind < 930)
        break_links(node, how);
    else if (kind < 937)
        forget_scripts();
    else if (kind < 945)
        stop_redis(how);
    else if (kind < 950)
        limit_buffers(how % 2 ? "pubsub 32mb 8mb 60" : "pubsub 300kb 200kb 1");
    else if (kind < 980)
        vandalize(c, node, how);
    else if (kind < 990 && !book.is_gentle)
        save();
    else if (kind < 994 && !book.is_gentle)
        kill_redis(how % 4 == 0, how % slowly(50));
}

static void pass_time(uint64_t ms) {
    uint64_t end_ms = clock_now_ms() + ms;
    do {
        if (trouble.state != RUNNING && clock_now_ms() >= trouble.until_ms)
            thaw();
        if (!take_mail() && ms)
            nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    } while (clock_now_ms() < end_ms);
    publish_again();
    take_seats();
}

/* --- calm ------------------------------------------------------------------------------------- */

static bool is_settled(void) {
    for (uint32_t i = 0; i < node_count; i++)
        if (trouble_of(i))
            return false;
    for (uint32_t i = 0; i < SEATS; i++)
        if (hall.seats[i].wants_in && !is_live(&hall.seats[i]))
            return false;
    return hall.open_count == 0 && refused_count == 0;
}

/* NULL, or one who does not stand where Redis does. */
static const struct seat *find_astray(struct standing *s) {
    for (uint32_t i = 0; i < CHANNELS; i++) {
        *s = standing_in_redis(&book.channels[i]);
        for (uint32_t k = i; k < SEATS; k += CHANNELS)
            if (is_live(&hall.seats[k]) && !is_at_top(s, &hall.seats[k].position))
                return &hall.seats[k];
    }
    return NULL;
}

static void become_calm(const char *when) {
    uint64_t end_ms = clock_now_ms() + slowly(8000);
    const struct seat *astray = NULL;
    struct standing s = {0};
    for (;;) {
        pass_time(2);
        bool is_still = is_settled();
        astray = is_still ? find_astray(&s) : NULL;
        if (is_still && !astray && !take_mail())
            return;
        if (clock_now_ms() < end_ms)
            continue;
        if (astray)
            violation("%s, a hole in silence: seat %u of %s (%s) on %u.%u is at %.8s/%llu, redis "
                      "at %.8s/%llu",
                      when, astray->index, astray->channel->name, astray->channel->profile->name,
                      astray->node, astray->worker, astray->position.epoch,
                      (unsigned long long)astray->position.offset, s.top.epoch,
                      (unsigned long long)s.top.offset);
        violation("%s, it does not become calm: %u calls, %u publications, %s", when,
                  hall.open_count, refused_count, trouble_of(0) ? trouble_of(0) : "up");
    }
}

/* Whoever was there all the time has it, or was told. */
static void check_publication(struct channel *c, uint32_t number) {
    const struct publication *p = publication_at(c, number);
    for (uint32_t k = c->index; k < SEATS; k += CHANNELS) {
        const struct seat *t = &hall.seats[k];
        if (!is_live(t) || t->run_seq > p->sent_seq || (number < t->has_capacity && t->has[number]))
            continue;
        if (p->may_be_lost && t->back_seq > p->sent_seq)
            continue;
        violation("seat %u of %s on %u.%u never got publication %u (%.8s/%llu, of %llu)", t->index,
                  c->name, t->node, t->worker, number, p->seen.epoch,
                  (unsigned long long)p->seen.offset, (unsigned long long)p->sent_seq);
    }
}

static void check_publications(void) {
    for (uint32_t i = 0; i < CHANNELS; i++)
        for (uint32_t n = book.channels[i].count; n > 0; n--) {
            if (publication_at(&book.channels[i], n)->sent_seq < trouble.calm_seq)
                break;
            check_publication(&book.channels[i], n);
        }
}

static void round_of_chaos(void) {
    for (int i = 0; i < STEPS_PER_ROUND; i++) {
        happen();
        pass_time(draw(5));
    }
    thaw();
    limit_buffers("pubsub 32mb 8mb 60");
    break_links(draw(node_count), 4 * (CHANNELS - 1) + draw(4)); /* and then silence */
    note("it becomes calm");
    become_calm("in the end");
    for (uint32_t i = 0; i < CHANNELS; i++)
        publish_new(&book.channels[i], i % node_count);
    become_calm("after one more");
    check_publications();
    trouble.calm_seq = next_seq();
}

/* --- runs ------------------------------------------------------------------------------------- */

static uint32_t setting(const char *name, uint32_t otherwise) {
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void report(void) {
    uint64_t gaps = 0, refilled = 0, gone = 0, reads = 0, reconnects = 0, published = 0;
    for (uint32_t i = 0; i < node_count; i++) {
        gaps += counters_of(i)->gaps;
        refilled += counters_of(i)->refilled;
        gone += counters_of(i)->lost;
        reads += counters_of(i)->history_reads;
        reconnects += counters_of(i)->reconnects;
    }
    for (uint32_t i = 0; i < CHANNELS; i++)
        published += book.channels[i].count;
#define N(number) (unsigned long long)(number)
    print_message("%llu published, %llu received, %llu of them recovered; %llu told (%llu of long "
                  "histories), %llu cannot recover; %llu reconnects, %llu gaps, %llu refilled, "
                  "%llu gone, %llu readings; %llu calls, slowest %llu ms\n",
                  N(published), N(hall.received), N(hall.recovered), N(hall.told),
                  N(hall.told_safe), N(hall.told_lost), N(reconnects), N(gaps), N(refilled),
                  N(gone), N(reads), N(hall.calls), N(hall.answers_max_ms));
#undef N
}

struct plan {
    uint64_t seed;
    bool is_gentle;
};

static uint64_t seed_of(const struct plan *plan) {
    const char *text = getenv("CARILLON_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : plan->seed;
    return seed ? seed : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
}

/* With an odd seed silence is not compared, so nothing gets lost but with a link. */
static int start_chaos(void **state) {
    const struct plan *plan = *state;
    uint64_t seed = seed_of(plan);
    log_setup(getenv("CARILLON_TEST_LOG") ? LOG_DEBUG : LOG_NONE, false);
    brief.keep.ttl_ms = slowly(300);
    forgetful.keep.ttl_ms = slowly(400);
    forgetful.keep.meta_ttl_ms = seed % 2 ? 60000 : slowly(1500);
    broker_quiet_ms = seed % 2 ? 0 : slowly(300);
    memset(&trouble, 0, sizeof(trouble));
    refused_count = 0;
    open_book(seed, plan->is_gentle, profiles);
    print_message("seed %llu\n", (unsigned long long)seed);
    start_all(NODES_MAX_IN_TEST);
    open_hall();
    return 0;
}

static int stop_chaos(void **state) {
    abandon_hall(); /* of a test that failed */
    close_book();
    unlink_snapshot();
    return stop_all(state);
}

static void run(void) {
    for (uint32_t i = 0; i < setting("CARILLON_TEST_ROUNDS", ROUNDS); i++)
        round_of_chaos();
    report();
    close_hall();
}

static void gently_nobody_is_told_for_no_reason(void **state) {
    (void)state;
    run();
}

static void wildly_everybody_has_all_or_is_told(void **state) {
    (void)state;
    run();
}

#define CHAOS_TEST(f, plan)                                                                        \
    { #f, f, start_chaos, stop_chaos, plan }

int main(void) {
    static struct plan gently = {20261125, true}, wildly = {20261124, false};
    static struct plan gently_compared = {20261126, true};   /* an even seed */
    static struct plan late_epochs = {1795547661583, false}; /* old ones came behind new ones */
    const struct CMUnitTest tests[] = {
        CHAOS_TEST(gently_nobody_is_told_for_no_reason, &gently),
        CHAOS_TEST(wildly_everybody_has_all_or_is_told, &wildly),
        CHAOS_TEST(gently_nobody_is_told_for_no_reason, &gently_compared),
        CHAOS_TEST(wildly_everybody_has_all_or_is_told, &late_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
