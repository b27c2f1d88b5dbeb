/* Nodes for tests of brokers: any number of them in one process, on any broker.
 *
 * A node is a fanout, two workers' mailboxes and a broker. Nothing here sleeps: a worker waits for
 * its mailbox to be woken, and fails when that takes longer than a generous bound.
 *
 * Include once. Thread: main, and publishers of a test. Owns: the nodes.
 */
#ifndef CARILLON_TESTS_BROKER_TESTING_H
#define CARILLON_TESTS_BROKER_TESTING_H

#include "channels/broker.h"
#include "channels/fanout.h"
#include "server/base/list.h"
#include "server/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define KEEP_ANNOUNCE (MEMBER_KEEP | MEMBER_ANNOUNCE)

enum { WORKERS = 2, NODES_MAX_IN_TEST = 3, PATIENCE_S = 30 };

struct worker_box {
    struct mailbox mailbox;
    pthread_mutex_t lock;
    pthread_cond_t has_mail;
    bool is_woken;       /* guarded by lock */
    struct list waiting; /* struct stored: taken, but not what the test asked for yet */
};

struct stored {
    struct list link;
    struct mail mail;
};

struct test_node {
    struct worker_box workers[WORKERS];
    struct mailbox *boxes[WORKERS];
    struct fanout *fanout;
    struct broker *broker;
};

/* Of the test file: makes a broker that works. */
static struct broker *make_broker(struct fanout *fanout, uint32_t node);

static struct test_node test_nodes[NODES_MAX_IN_TEST];
static uint32_t node_count;

/* What listen_on() began and nobody ended, because a test failed. */
static struct listening {
    uint32_t node, worker;
    char channel[40]; /* empty: a free place */
} listenings[32];

/* --- nodes ------------------------------------------------------------------------------------ */

static inline void box_wake(void *arg) {
    struct worker_box *w = arg;
    pthread_mutex_lock(&w->lock);
    w->is_woken = true;
    pthread_cond_signal(&w->has_mail);
    pthread_mutex_unlock(&w->lock);
}

static inline void open_box(struct worker_box *w) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->has_mail, &attr);
    pthread_condattr_destroy(&attr);
    list_init(&w->waiting);
    w->is_woken = false;
    mailbox_init(&w->mailbox, SIZE_MAX, box_wake, w);
}

static inline void drop_mail(struct mail mail) {
    if (mail.kind == MAIL_MSG)
        msg_unref(mail.msg);
    else if (mail.kind == MAIL_REPLY && mail.reply->done)
        mail.reply->done(mail.reply);
}

static inline void close_box(struct worker_box *w) {
    struct mail mail;
    list_for_each_safe(l, &w->waiting) {
        struct stored *s = list_entry(l, struct stored, link);
        drop_mail(s->mail);
        list_remove(l);
        mem_free(s);
    }
    while (mailbox_take(&w->mailbox, &mail))
        drop_mail(mail);
    mailbox_fini(&w->mailbox);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->has_mail);
}

static inline void start_node(uint32_t node) {
    struct test_node *n = &test_nodes[node];
    for (int i = 0; i < WORKERS; i++) {
        open_box(&n->workers[i]);
        n->boxes[i] = &n->workers[i].mailbox;
    }
    n->fanout = fanout_create(n->boxes, WORKERS);
    n->broker = make_broker(n->fanout, node);
    assert_non_null(n->broker);
}

static inline struct listening *find_listening(uint32_t node, uint32_t worker,
                                               const char *channel) {
    for (size_t i = 0; i < sizeof(listenings) / sizeof(*listenings); i++) {
        struct listening *l = &listenings[i];
        if (!strcmp(l->channel, channel) && (!*channel || (l->node == node && l->worker == worker)))
            return l;
    }
    fail_msg("not listening on, or too many: %s", channel);
    return NULL;
}

static inline void stop_node(uint32_t node) {
    struct test_node *n = &test_nodes[node];
    n->broker->ops->stop(n->broker);
    for (size_t i = 0; i < sizeof(listenings) / sizeof(*listenings); i++) {
        struct listening *l = &listenings[i];
        if (l->node != node || !*l->channel)
            continue;
        fanout_remove(n->fanout, str_of(l->channel), l->worker);
        *l->channel = 0;
    }
    n->broker->ops->destroy(n->broker);
    for (int i = 0; i < WORKERS; i++)
        close_box(&n->workers[i]);
    fanout_destroy(n->fanout);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static inline bool wait_for_mail(struct worker_box *w) {
    struct timespec end;
    int failed = 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&w->lock);
    while (!w->is_woken && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&w->has_mail, &w->lock, &end);
    w->is_woken = false;
    pthread_mutex_unlock(&w->lock);
    return failed != ETIMEDOUT;
}

static inline bool take_stored(struct worker_box *w, enum mail_kind kind, struct mail *mail) {
    list_for_each(l, &w->waiting) {
        struct stored *s = list_entry(l, struct stored, link);
        if (s->mail.kind != kind)
            continue;
        *mail = s->mail;
        list_remove(&s->link);
        mem_free(s);
        return true;
    }
    return false;
}

static inline void store_all(struct worker_box *w) {
    struct mail mail;
    while (mailbox_take(&w->mailbox, &mail)) {
        struct stored *s = mem_zalloc(sizeof(*s));
        s->mail = mail;
        list_append(&w->waiting, &s->link);
    }
}

/* The next message, or the next reply: these two have no order between them. */
static inline struct mail next_mail(uint32_t node, uint32_t worker, enum mail_kind kind) {
    struct worker_box *w = &test_nodes[node].workers[worker];
    struct mail mail;
    for (;;) {
        store_all(w);
        if (take_stored(w, kind, &mail))
            return mail;
        if (!wait_for_mail(w))
            fail_msg("worker %u of node %u waits in vain", worker, node);
    }
}

static inline struct msg *next_msg(uint32_t node, uint32_t worker) {
    return next_mail(node, worker, MAIL_MSG).msg;
}

static inline void expect_result(uint32_t node, uint32_t worker, struct reply *r,
                                 enum broker_result result) {
    struct mail mail = next_mail(node, worker, MAIL_REPLY);
    assert_ptr_equal(mail.reply, r);
    assert_int_equal(r->result, result);
}

static inline void expect_msg(uint32_t node, uint32_t worker, enum msg_kind kind,
                              const char *text) {
    struct msg *m = next_msg(node, worker);
    struct str got = kind == MSG_PUBLICATION ? m->parts.data : m->parts.client;
    assert_int_equal(m->parts.kind, kind);
    if (!str_equal(got, str_of(text)))
        fail_msg("expected %s, got %.*s", text, STR_ARG(got));
    msg_unref(m);
}

/* --- calls ------------------------------------------------------------------------------------ */

static inline struct reply reply_to(uint32_t node, uint32_t worker) {
    return (struct reply){.to = test_nodes[node].boxes[worker], .result = BROKER_UNKNOWN};
}

static inline void listen_on(uint32_t node, uint32_t worker, const char *channel) {
    struct test_node *n = &test_nodes[node];
    struct reply r = reply_to(node, worker);
    struct listening *l = find_listening(0, 0, "");
    *l = (struct listening){node, worker, ""};
    snprintf(l->channel, sizeof(l->channel), "%s", channel);
    fanout_add(n->fanout, str_of(channel), worker);
    n->broker->ops->attach(n->broker, str_of(channel), &r);
    expect_result(node, worker, &r, BROKER_OK);
}

static inline void stop_listening(uint32_t node, uint32_t worker, const char *channel) {
    struct test_node *n = &test_nodes[node];
    *find_listening(node, worker, channel)->channel = 0;
    fanout_remove(n->fanout, str_of(channel), worker);
    n->broker->ops->detach(n->broker, str_of(channel));
}

static inline void send_text(uint32_t node, const char *channel, const char *data,
                             struct reply *r) {
    struct broker *b = test_nodes[node].broker;
    b->ops->publish(
        b, msg_create(&(struct msg_parts){.channel = str_of(channel), .data = str_of(data)}), NULL,
        r);
}

/* Published by worker 0 of the node and answered. */
static inline void publish_ok(uint32_t node, const char *channel, const char *data) {
    struct reply r = reply_to(node, 0);
    send_text(node, channel, data, &r);
    expect_result(node, 0, &r, BROKER_OK);
}

static inline struct msg *member_msg(const char *channel, const char *client, const char *user,
                                     enum msg_kind kind) {
    return msg_create(&(struct msg_parts){.kind = kind,
                                          .channel = str_of(channel),
                                          .user = str_of(user),
                                          .client = str_of(client),
                                          .conn_info = STR("{\"name\":\"\xc3\xa9\"}"),
                                          .chan_info = STR("[1]")});
}

static inline void join_as(uint32_t node, const char *channel, const char *client, const char *user,
                           unsigned flags) {
    struct broker *b = test_nodes[node].broker;
    b->ops->join(b, member_msg(channel, client, user, MSG_JOIN),
                 &(struct member_options){flags, 0});
}

static inline void leave_as(uint32_t node, const char *channel, const char *client,
                            const char *user, unsigned flags) {
    struct broker *b = test_nodes[node].broker;
    b->ops->leave(b, member_msg(channel, client, user, MSG_LEAVE),
                  &(struct member_options){flags, 0});
}

/* The same, announced only while there are at most so many. */
static inline void join_limited(uint32_t node, const char *channel, const char *client,
                                uint32_t max_members) {
    struct broker *b = test_nodes[node].broker;
    b->ops->join(b, member_msg(channel, client, "u", MSG_JOIN),
                 &(struct member_options){KEEP_ANNOUNCE, max_members});
}

static inline void leave_limited(uint32_t node, const char *channel, const char *client,
                                 uint32_t max_members) {
    struct broker *b = test_nodes[node].broker;
    b->ops->leave(b, member_msg(channel, client, "u", MSG_LEAVE),
                  &(struct member_options){KEEP_ANNOUNCE, max_members});
}

static inline void expect_counts(uint32_t node, const char *channel, uint32_t clients,
                                 uint32_t users) {
    struct broker *b = test_nodes[node].broker;
    for (int wants = 0; wants < 2; wants++) {
        struct presence_reply p = {.reply = reply_to(node, 0), .wants_members = wants};
        b->ops->presence(b, str_of(channel), &p);
        expect_result(node, 0, &p.reply, BROKER_OK);
        assert_int_equal(p.client_count, clients);
        assert_int_equal(p.user_count, users);
        presence_reply_fini(&p);
    }
}

#endif
