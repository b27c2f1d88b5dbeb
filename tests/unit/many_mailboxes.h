/* One mailbox for each of many workers, as tables that are shared by workers want them.
 *
 * Include once, behind an enum with WORKERS. Thread: one starts and ends them. Owns: the mailboxes.
 */
#ifndef CARILLON_TESTS_MANY_MAILBOXES_H
#define CARILLON_TESTS_MANY_MAILBOXES_H

#include "channels/mailbox.h"

static struct mailbox boxes[WORKERS];
static struct mailbox *box_list[WORKERS];

static void no_wake(void *arg) {
    (void)arg;
}

static inline void boxes_init(void) {
    for (uint32_t i = 0; i < WORKERS; i++) {
        mailbox_init(&boxes[i], SIZE_MAX, no_wake, NULL);
        box_list[i] = &boxes[i];
    }
}

static inline void boxes_fini(void) {
    for (uint32_t i = 0; i < WORKERS; i++)
        mailbox_fini(&boxes[i]);
}

#endif
