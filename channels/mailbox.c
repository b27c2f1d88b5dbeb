/* See mailbox.h. An array under a lock; the reader swaps it with its own empty one and reads that
 * without the lock, so the lock is held for a few instructions only and nothing is allocated once
 * the arrays have grown.
 *
 * Thread: see the header.
 */
#include "channels/mailbox.h"

#include "server/base/mem.h"

#include <assert.h>

void mailbox_init(struct mailbox *m, size_t mark_bytes, mailbox_wake_fn *wake, void *wake_arg) {
    *m = (struct mailbox){.mark_bytes = mark_bytes, .wake = wake, .wake_arg = wake_arg};
    pthread_mutex_init(&m->lock, NULL);
}

void mailbox_fini(struct mailbox *m) {
    struct mail mail;
    while (mailbox_take(m, &mail)) {
        assert(mail.kind == MAIL_MSG);
        msg_unref(mail.msg);
    }
    pthread_mutex_destroy(&m->lock);
    mem_free(m->items);
    mem_free(m->taken);
}

/* Called with the lock held; releases it. */
static void append_and_unlock(struct mailbox *m, struct mail mail) {
    bool was_empty = m->count == 0;
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 64;
        m->items = mem_realloc(m->items, m->capacity * sizeof(*m->items));
    }
    m->items[m->count++] = mail;
    pthread_mutex_unlock(&m->lock);
    if (was_empty)
        m->wake(m->wake_arg);
}

bool mailbox_post_msg(struct mailbox *m, struct msg *msg) {
    pthread_mutex_lock(&m->lock);
    if (m->msg_bytes >= m->mark_bytes) {
        m->dropped_count++;
        pthread_mutex_unlock(&m->lock);
        return false;
    }
    m->msg_bytes += msg->size_bytes;
    append_and_unlock(m, (struct mail){.kind = MAIL_MSG, .msg = msg_ref(msg)});
    return true;
}

void mailbox_post_reply(struct mailbox *m, struct reply *r) {
    pthread_mutex_lock(&m->lock);
    append_and_unlock(m, (struct mail){.kind = MAIL_REPLY, .reply = r});
}

void mailbox_post_control(struct mailbox *m, struct control *c) {
    pthread_mutex_lock(&m->lock);
    append_and_unlock(m, (struct mail){.kind = MAIL_CONTROL, .control = c});
}

/* Gives the arrays back to their size after a burst: a mailbox that once held a million mails must
 * not keep the memory. */
static void trim(struct mailbox *m) {
    if (m->taken_capacity > 4096) {
        mem_free(m->taken);
        m->taken = NULL;
        m->taken_capacity = 0;
    }
}

static bool refill(struct mailbox *m) {
    trim(m);
    pthread_mutex_lock(&m->lock);
    m->msg_bytes -= m->read_bytes;
    struct mail *spare = m->taken;
    size_t spare_capacity = m->taken_capacity;
    m->taken = m->items;
    m->taken_capacity = m->capacity;
    m->taken_count = m->count;
    m->items = spare;
    m->capacity = spare_capacity;
    m->count = 0;
    pthread_mutex_unlock(&m->lock);
    m->taken_at = 0;
    m->read_bytes = 0;
    return m->taken_count > 0;
}

bool mailbox_take(struct mailbox *m, struct mail *out) {
    if (m->taken_at == m->taken_count && !refill(m))
        return false;
    *out = m->taken[m->taken_at++];
    if (out->kind == MAIL_MSG)
        m->read_bytes += out->msg->size_bytes;
    return true;
}

bool mailbox_is_empty(struct mailbox *m) {
    if (m->taken_at < m->taken_count)
        return false;
    pthread_mutex_lock(&m->lock);
    bool is_empty = m->count == 0;
    pthread_mutex_unlock(&m->lock);
    return is_empty;
}

uint64_t mailbox_dropped_count(struct mailbox *m) {
    pthread_mutex_lock(&m->lock);
    uint64_t count = m->dropped_count;
    pthread_mutex_unlock(&m->lock);
    return count;
}
