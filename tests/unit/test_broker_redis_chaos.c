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
 * channel with a long history may be told anything; wildly, all of it.
 *
 *     CARILLON_TEST_SEED=n    the chance of one run; the order of events, not their time
 *     CARILLON_TEST_RUNS=n    so many seeds from there, each gently and wildly
 *     CARILLON_TEST_ROUNDS=n  from calm to calm, per run
 *
 * Thread: main, and the brokers' own. Owns: a redis-server and nodes per run.
 */
#include "server/session/client_sync.c"

#include "channels/broker_redis.h"
#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "tests/unit/redis_testing.h"

#include "tests/unit/chaos_book.h"
#include "tests/unit/chaos_seats.h"

#include <time.h>

enum { NODES = 3, STEPS_PER_ROUND = 250, ROUNDS = 2, PROBES_MAX = 100 };

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

/* --- the redis-server ------------------------------------------------------------------------- */

static struct trouble {
    enum { RUNNING, FROZEN, DOWN } state;
    uint64_t until_ms;
    uint64_t saved_seq; /* 0: there is no snapshot */
    uint64_t lost_seq;  /* when Redis last lost something */
    uint64_t calm_seq;  /* the last time when all was well */
    uint64_t counts[16];
} trouble;

static bool can_ask(void) {
    return trouble.state == RUNNING;
}

static void unlink_snapshot(void) {
    char file[96];
    snprintf(file, sizeof(file), "%s/dump.rdb", server.folder);
    unlink(file);
}

static void thaw(void) {
    if (trouble.state == FROZEN)
        redis_server_signal(&server, SIGCONT);
    else if (trouble.state == DOWN)
        redis_server_start(&server);
    if (trouble.state != RUNNING)
        note("redis is there again");
    trouble.state = RUNNING;
}

static void freeze(uint32_t ms) {
    if (trouble.state != RUNNING)
        return;
    note("redis stops for %u ms", ms);
    redis_server_signal(&server, SIGSTOP);
    trouble.state = FROZEN;
    trouble.until_ms = clock_now_ms() + ms;
}

static void kill_redis(bool is_total, uint32_t ms) {
    if (trouble.state == DOWN)
        return;
    if (is_total) {
        unlink_snapshot();
        trouble.saved_seq = 0;
    }
    note("redis is killed for %u ms, %s", ms,
         is_total ? "all is lost" : "what was not saved is lost");
    redis_server_kill(&server);
    note_loss(trouble.saved_seq);
    trouble.lost_seq = next_seq();
    trouble.state = DOWN;
    trouble.until_ms = clock_now_ms() + ms;
}

static void save(void) {
    if (!can_ask())
        return;
    note("redis saves");
    redis_server_do(&server, "SAVE");
    trouble.saved_seq = next_seq();
}

/* Cuts links of a node: those whose name ends so. */
static void cut(uint32_t node, const char *which) {
    char wanted[48], *end = NULL;
    if (!can_ask())
        return;
    note("node %u loses %s", node, *which ? which : "both links");
    redisReply *list = redis_server_ask(&server, "CLIENT LIST");
    snprintf(wanted, sizeof(wanted), " name=carillon-node-%u-%s", node, which);
    for (char *line = strtok_r(list->str, "\n", &end); line; line = strtok_r(NULL, "\n", &end))
        if (strstr(line, wanted))
            redis_server_do(&server, "CLIENT KILL ID %d", atoi(line + strlen("id=")));
    freeReplyObject(list);
}

static void limit_buffers(const char *limit) {
    if (can_ask())
        redis_server_do(&server, "CONFIG SET client-output-buffer-limit %s", limit);
}

/* Where Redis stands with a channel; false: nowhere. */
static bool top_in_redis(const struct channel *c, struct position *out) {
    redisReply *r = redis_server_ask(&server, "HMGET %s%s e s", TEST_BASE "meta:", c->name);
    bool is_there = r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
                    r->element[0]->type == REDIS_REPLY_STRING &&
                    r->element[1]->type == REDIS_REPLY_STRING;
    *out = (struct position){0};
    if (is_there) {
        memcpy(out->epoch, r->element[0]->str, EPOCH_BYTES);
        out->offset = strtoull(r->element[1]->str, NULL, 10);
    }
    freeReplyObject(r);
    return is_there;
}

/* --- publishers ------------------------------------------------------------------------------- */

struct pub_call {
    struct reply reply;
    struct channel *channel;
    uint32_t number;
};

static struct pub_call *refused[100000]; /* to be repeated */
static uint32_t refused_count;

static void publish(struct pub_call *call, uint32_t node);

static void acked(struct channel *c, uint32_t number, const struct position *at) {
    struct publication *p = publication_at(c, number);
    p->state = PUB_ACKED;
    p->acked_seq = next_seq();
    if (!at->offset)
        violation("%s: publication %u got no offset", c->name, number);
    enter_place(c, number, at);
}

static void pub_done(struct reply *r) {
    struct pub_call *call = list_entry(r, struct pub_call, reply);
    struct publication *p = publication_at(call->channel, call->number);
    if (r->result == BROKER_OK) {
        acked(call->channel, call->number, &r->position);
        mem_free(call);
        return;
    }
    p->state = PUB_REFUSED;
    p->may_be_done |= r->result == BROKER_UNKNOWN;
    if (!p->may_be_done && p->seen.offset)
        violation("%s: publication %u came, but its publisher is told that nothing was done",
                  call->channel->name, call->number);
    assert_true(refused_count < sizeof(refused) / sizeof(*refused));
    refused[refused_count++] = call;
}

static void publish(struct pub_call *call, uint32_t node) {
    struct channel *c = call->channel;
    struct publication *p = publication_at(c, call->number);
    struct broker *b = test_nodes[node].broker;
    char key[32];
    int n = snprintf(key, sizeof(key), "%s-%u", c->name, call->number);
    const struct publish_options o = {
        .keep = c->profile->keep, .makes_delta = c->index % 2, .idempotency_key = {key, (size_t)n}};
    p->state = PUB_OPEN;
    p->attempts++;
    call->reply = reply_to(node, call->number % WORKERS);
    call->reply.done = pub_done;
    call_begins(&call->reply, "publish");
    b->ops->publish(b,
                    msg_create(&(struct msg_parts){.channel = str_of(c->name),
                                                   .data = payload_of(c, call->number)}),
                    &o, &call->reply);
}

static void publish_new(struct channel *c, uint32_t node) {
    struct pub_call *call = mem_zalloc(sizeof(*call));
    call->channel = c;
    call->number = add_publication(c);
    publish(call, node);
}

/* Those that are not certain, once more, on whichever node works. */
static void publish_again(void) {
    uint32_t count = refused_count;
    struct pub_call **calls = mem_array(count + 1, sizeof(*calls));
    memcpy(calls, refused, count * sizeof(*calls));
    refused_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node =
            (calls[i]->number + publication_at(calls[i]->channel, calls[i]->number)->attempts) %
            NODES;
        if (trouble_of(node))
            refused[refused_count++] = calls[i];
        else
            publish(calls[i], node);
    }
    mem_free(calls);
}

/* Has a node met this run of Redis? Only then may its script be called. */
static bool is_met(void) {
    redisReply *info = redis_server_ask(&server, "INFO server");
    redisReply *era = redis_server_ask(&server, "GET %s", TEST_BASE "era");
    const char *id = strstr(info->str, "run_id:");
    bool is_same = id && era->type == REDIS_REPLY_STRING && era->len >= 40 &&
                   !memcmp(id + strlen("run_id:"), era->str, 40);
    freeReplyObject(info);
    freeReplyObject(era);
    return is_same;
}

/* Numbered and kept, but nobody hears of it. */
static void publish_unheard(struct channel *c) {
    static const char mute[] = "local real = redis\n"
                               "local redis = {call = function(name, ...)\n"
                               "  if name ~= 'PUBLISH' then return real.call(name, ...) end\n"
                               "end}\n";
    const struct keep *k = &c->profile->keep;
    struct buf envelope = {0}, script = {0};
    char epoch[EPOCH_BYTES + 1] = "", tail[REDIS_PLACE_TAIL_BYTES];
    struct position at = {0};
    if (!can_ask() || !is_met())
        return;
    uint32_t number = add_publication(c);
    for (int i = 0; i < EPOCH_BYTES; i++)
        epoch[i] = (char)('a' + draw(26));
    buf_add_z(&script, mute);
    buf_add(&script, redis_script_text(SCRIPT_PUBLISH));
    buf_add_char(&script, 0);
    redis_envelope_add(&envelope, &(struct msg_parts){.data = payload_of(c, number)});
    redis_place_tail(0, k->ttl_ms, k->size, tail);
    redisReply *r =
        redis_server_ask(&server, "EVAL %s 0 %s uid %s %s %u %u %u %b %b %s 0 %s", script.p,
                         TEST_BASE, c->name, epoch, k->size, (unsigned)k->ttl_ms,
                         (unsigned)(k->meta_ttl_ms > k->ttl_ms ? k->meta_ttl_ms : k->ttl_ms), tail,
                         sizeof(tail), envelope.p, envelope.n, "", "");
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2)
        violation("the script says %s", r->str ? r->str : "nonsense");
    memcpy(at.epoch, r->element[1]->str, EPOCH_BYTES);
    at.offset = strtoull(r->element[1]->str + EPOCH_BYTES + 1, NULL, 10);
    note("nobody hears of %s %.8s/%llu", c->name, at.epoch, (unsigned long long)at.offset);
    acked(c, number, &at);
    freeReplyObject(r);
    buf_fini(&envelope);
    buf_fini(&script);
}

/* --- those who only ask ----------------------------------------------------------------------- */

struct probe {
    struct history_reply history;
    struct channel *channel;
    uint32_t node, worker;
    struct position heard; /* by the worker, when it was asked */
    uint64_t seq;
};

/* Is the answer to one who has all up to `since` as it should be? */
static void check_completeness(const struct probe *p) {
    const struct history_reply *h = &p->history;
    const struct channel *c = p->channel;
    bool is_known = h->since.offset <= h->top.offset && !h->is_other_epoch;
    uint64_t missed = h->top.offset - h->since.offset;
    if (!book.is_gentle || !c->profile->is_safe || !h->has_since || h->is_reverse || !h->limit)
        return;
    if (!is_known)
        violation("%s: %.8s/%llu is called unknown", c->name, h->since.epoch,
                  (unsigned long long)h->since.offset);
    if (missed > c->profile->keep.size)
        return;
    if (h->count && h->items[0]->position.offset != h->since.offset + 1)
        violation("%s: from %llu on comes %llu", c->name, (unsigned long long)h->since.offset,
                  (unsigned long long)h->items[0]->position.offset);
    if (!h->is_cut && h->count != (missed < h->limit ? missed : h->limit))
        violation("%s: %u of %u are there", c->name, h->count, (unsigned)missed);
}

static void check_answer(const struct probe *p) {
    const struct history_reply *h = &p->history;
    struct channel *c = p->channel;
    int step = h->is_reverse ? -1 : 1;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct position *at = &h->items[i]->position;
        enter_msg(c, h->items[i]);
        if (!is_epoch_of(at, h->top.epoch) || at->offset > h->top.offset)
            violation("%s: %.8s/%llu is above %.8s/%llu", c->name, at->epoch,
                      (unsigned long long)at->offset, h->top.epoch,
                      (unsigned long long)h->top.offset);
        if (i && at->offset != h->items[i - 1]->position.offset + (uint64_t)step)
            violation("%s: a hole in an answer at %llu", c->name, (unsigned long long)at->offset);
        if (h->has_since && !h->is_reverse && at->offset <= h->since.offset)
            violation("%s: an answer begins too early", c->name);
    }
    if (h->count > h->limit || (h->is_other_epoch && h->count))
        violation("%s: an answer has too much", c->name);
    if (h->count && !h->is_reverse && !h->is_cut && h->count < h->limit &&
        h->items[h->count - 1]->position.offset != h->top.offset)
        violation("%s: an answer ends before the top", c->name);
    if (is_epoch_of(&p->heard, h->top.epoch) && h->top.offset < p->heard.offset &&
        p->seq > trouble.lost_seq)
        violation("%s: node %u answers %llu, but has posted %llu before", c->name, p->node,
                  (unsigned long long)h->top.offset, (unsigned long long)p->heard.offset);
    check_completeness(p);
}

static void probe_done(struct reply *r) {
    struct history_reply *h = list_entry(r, struct history_reply, reply);
    struct probe *p = list_entry(h, struct probe, history);
    if (r->result == BROKER_OK && p->seq > trouble.lost_seq)
        check_answer(p);
    history_reply_fini(h);
    mem_free(p);
}

static void ask_history(struct channel *c, uint32_t node, uint32_t how) {
    struct probe *p = mem_zalloc(sizeof(*p));
    struct history_reply *h = &p->history;
    struct epoch *e = c->epoch_count ? &c->epochs[c->epoch_count - 1] : NULL;
    *p = (struct probe){.channel = c, .node = node, .worker = how % WORKERS, .seq = next_seq()};
    p->heard = hall.booths[node][p->worker].heard[c->index].last;
    h->reply = reply_to(node, p->worker);
    h->reply.done = probe_done;
    h->has_since = e && how % 8 != 1;
    h->is_reverse = how % 16 == 1 || how % 32 == 2;
    h->limit = how % 8 == 3 ? 0 : how % 8 == 4 ? 1 + how % 300 : how % 16 == 1 ? 1 : UINT32_MAX - 1;
    h->max_bytes = how % 8 == 5 ? 1000 + how % 100000 : 0;
    if (h->has_since) {
        memcpy(h->since.epoch, e->name, EPOCH_BYTES);
        h->since.offset = e->top - (how >> 8) % (e->top < 300 ? e->top + 1 : 300);
    }
    proxy_history(&hall.booths[node][p->worker].proxy, str_of(c->name), h);
}

struct removal {
    struct reply reply;
};

static void removal_done(struct reply *r) {
    mem_free(list_entry(r, struct removal, reply));
}

static void remove_history(struct channel *c, uint32_t node) {
    struct broker *b = test_nodes[node].broker;
    struct removal *r = mem_zalloc(sizeof(*r));
    note("node %u removes the history of %s", node, c->name);
    r->reply = reply_to(node, 0);
    r->reply.done = removal_done;
    call_begins(&r->reply, "history_remove");
    b->ops->history_remove(b, str_of(c->name), &r->reply);
}

static void delete_key(struct channel *c, const char *kind) {
    if (!can_ask())
        return;
    note("%s of %s is deleted", kind, c->name);
    redis_server_do(&server, "DEL %s%s:%s", TEST_BASE, kind, c->name);
}

/* --- what happens ----------------------------------------------------------------------------- */

static void come_or_go(struct seat *t, uint32_t how) {
    if (t->wants_in && t->in && t->in->sub.state == SUBSCRIPTION_SYNCING && how % 4)
        return;
    t->wants_in = !t->wants_in;
    if (!t->wants_in && t->in)
        leave_seat(t);
    if (t->wants_in && how % 8 == 0)
        t->is_fresh = true;
}

static void many_come_back(struct channel *c) {
    note("all of %s come back", c->name);
    for (uint32_t i = c->index; i < SEATS; i += CHANNELS) {
        struct seat *t = &hall.seats[i];
        if (is_live(t))
            leave_seat(t);
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
    if (how % 4 == 0)
        delete_key(c, "meta");
    else if (how % 4 == 1)
        delete_key(c, "stream");
    else
        remove_history(c, node);
}

static void break_links(uint32_t node, uint32_t how) {
    static const char *const names[] = {"messages", "messages", "commands", ""};
    cut(node, names[how % 4]);
}

static void forget_scripts(void) {
    if (!can_ask())
        return;
    note("redis forgets its scripts");
    redis_server_do(&server, "SCRIPT FLUSH");
}

static void stop_redis(uint32_t how) {
    if (how % 16 == 0)
        freeze(IO_MS + how / 16 % slowly(200));
    else
        freeze(1 + how / 16 % slowly(60));
}

static void happen(void) {
    uint32_t kind = draw(1000), how = draw(1u << 30), node = draw(NODES);
    struct channel *c = &book.channels[draw(CHANNELS)];
    struct seat *t = &hall.seats[draw(SEATS)];
    if (kind < 500)
        publish_new(c, node);
    else if (kind < 560)
        for (uint32_t i = 0; i < how % (c->profile->is_big ? 8 : 60); i++)
            publish_new(c, (node + i * how) % NODES);
    else if (kind < 760)
        come_or_go(t, how);
    else if (kind < 780)
        many_come_back(c);
    else if (kind < 840)
        for (uint32_t i = 0; i < 1 + how % PROBES_MAX; i++)
            ask_history(c, node, how * (i + 1));
    else if (kind < 880)
        publish_unheard(c);
    else if (kind < 900)
        check_one(t);
    else if (kind < 925)
        break_links(node, how);
    else if (kind < 935)
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
    for (uint32_t i = 0; i < NODES; i++)
        if (trouble_of(i))
            return false;
    for (uint32_t i = 0; i < SEATS; i++)
        if (hall.seats[i].wants_in && !is_live(&hall.seats[i]))
            return false;
    return hall.open_count == 0 && refused_count == 0;
}

/* NULL, or one who does not stand where Redis does. */
static const struct seat *find_astray(struct position *top) {
    for (uint32_t i = 0; i < CHANNELS; i++) {
        bool is_there = top_in_redis(&book.channels[i], top);
        for (uint32_t k = i; k < SEATS; k += CHANNELS)
            if (is_live(&hall.seats[k]) &&
                (!is_there || !is_same_place(&hall.seats[k].position, top)))
                return &hall.seats[k];
    }
    return NULL;
}

static void become_calm(const char *when) {
    uint64_t end_ms = clock_now_ms() + slowly(8000);
    const struct seat *astray = NULL;
    struct position top = {0};
    for (;;) {
        pass_time(2);
        bool is_still = is_settled();
        astray = is_still ? find_astray(&top) : NULL;
        if (is_still && !astray && !take_mail())
            return;
        if (clock_now_ms() < end_ms)
            continue;
        if (astray)
            violation("%s, a hole in silence: seat %u of %s (%s) on %u.%u is at %.8s/%llu, redis "
                      "at %.8s/%llu",
                      when, astray->index, astray->channel->name, astray->channel->profile->name,
                      astray->node, astray->worker, astray->position.epoch,
                      (unsigned long long)astray->position.offset, top.epoch,
                      (unsigned long long)top.offset);
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
    note("it becomes calm");
    become_calm("in the end");
    for (uint32_t i = 0; i < CHANNELS; i++)
        publish_new(&book.channels[i], i % NODES);
    become_calm("after one more");
    check_publications();
    trouble.calm_seq = next_seq();
}

/* --- runs ------------------------------------------------------------------------------------- */

static uint32_t setting(const char *name, uint32_t otherwise) {
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void report(uint64_t seed) {
    uint64_t gaps = 0, refilled = 0, lost = 0, reads = 0, reconnects = 0, published = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        gaps += counters_of(i)->gaps;
        refilled += counters_of(i)->refilled;
        lost += counters_of(i)->lost;
        reads += counters_of(i)->history_reads;
        reconnects += counters_of(i)->reconnects;
    }
    for (uint32_t i = 0; i < CHANNELS; i++)
        published += book.channels[i].count;
    print_message("seed %llu %s: %llu published, %llu received, %llu of them recovered; %llu told "
                  "(%llu of long histories), %llu lost; %llu reconnects, %llu gaps, %llu refilled, "
                  "%llu gone, %llu readings; %llu calls, slowest %llu ms\n",
                  (unsigned long long)seed, book.is_gentle ? "gently" : "wildly",
                  (unsigned long long)published, (unsigned long long)hall.received,
                  (unsigned long long)hall.recovered, (unsigned long long)hall.told,
                  (unsigned long long)hall.told_safe, (unsigned long long)hall.told_lost,
                  (unsigned long long)reconnects, (unsigned long long)gaps,
                  (unsigned long long)refilled, (unsigned long long)lost, (unsigned long long)reads,
                  (unsigned long long)hall.calls, (unsigned long long)hall.answers_max_ms);
}

static void run(uint64_t seed, bool is_gentle) {
    memset(&trouble, 0, sizeof(trouble));
    refused_count = 0;
    print_message("seed %llu %s\n", (unsigned long long)seed, is_gentle ? "gently" : "wildly");
    open_book(seed, is_gentle, profiles);
    open_hall();
    for (uint32_t i = 0; i < setting("CARILLON_TEST_ROUNDS", ROUNDS); i++)
        round_of_chaos();
    report(seed);
    close_hall();
    close_book();
}

static uint64_t seed_or(uint64_t otherwise) {
    const char *text = getenv("CARILLON_TEST_SEED");
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t random_seed(void) {
    return seed_or((uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000);
}

static int start_chaos(void **state) {
    (void)state;
    broker_quiet_ms = slowly(300);
    brief.keep.ttl_ms = slowly(300);
    forgetful.keep.ttl_ms = slowly(400);
    forgetful.keep.meta_ttl_ms = slowly(1500);
    return start_all(NODES);
}

/* Of a test that failed, too. */
static int stop_chaos(void **state) {
    unlink_snapshot();
    return stop_all(state);
}

static void gently_nobody_is_told_for_no_reason(void **state) {
    (void)state;
    run(seed_or(20261124), true);
}

static void wildly_everybody_has_all_or_is_told(void **state) {
    (void)state;
    run(seed_or(20261124), false);
}

static void the_same_gently_by_another_chance(void **state) {
    (void)state;
    run(random_seed(), true);
}

static void the_same_wildly_by_another_chance(void **state) {
    (void)state;
    run(random_seed(), false);
}

#define CHAOS_TEST(f) cmocka_unit_test_setup_teardown(f, start_chaos, stop_chaos)

int main(void) {
    const struct CMUnitTest tests[] = {
        CHAOS_TEST(gently_nobody_is_told_for_no_reason),
        CHAOS_TEST(wildly_everybody_has_all_or_is_told),
        CHAOS_TEST(the_same_gently_by_another_chance),
        CHAOS_TEST(the_same_wildly_by_another_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
