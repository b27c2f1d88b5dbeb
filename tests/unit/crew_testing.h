/* Some workers without loops and sockets, for tests of what goes from one to the others: each has a
 * struct sessions with its mailbox and hub, all share a table of users.
 *
 * Include once, after <cmocka.h>. Thread: one. Owns: the crew.
 */
#ifndef CARILLON_TESTS_CREW_TESTING_H
#define CARILLON_TESTS_CREW_TESTING_H

#include "server/session/sessions.h"
#include "tests/unit/fake_clock.h"

enum { CREW = 3 };

static struct crew {
    struct config config;
    struct metrics metrics[CREW];
    struct mailbox boxes[CREW];
    struct mailbox *box_list[CREW];
    struct users *users;
    struct sessions sessions[CREW];
} crew;

static inline void crew_wake(void *arg) {
    (void)arg;
}

static inline int crew_start(void **state) {
    (void)state;
    crew = (struct crew){0};
    for (uint32_t i = 0; i < CREW; i++) {
        mailbox_init(&crew.boxes[i], SIZE_MAX, crew_wake, NULL);
        crew.box_list[i] = &crew.boxes[i];
    }
    crew.users = users_create(crew.box_list, CREW);
    for (uint32_t i = 0; i < CREW; i++) {
        crew.sessions[i] = (struct sessions){.config = &crew.config,
                                             .worker = i,
                                             .mailbox = &crew.boxes[i],
                                             .users = crew.users,
                                             .metrics = &crew.metrics[i]};
        sessions_init(&crew.sessions[i]);
    }
    return 0;
}

/* One worker reads its mail; false: it had none. */
static inline bool crew_read(uint32_t worker) {
    struct mail mail;
    bool was_any = false;
    while (mailbox_take(&crew.boxes[worker], &mail)) {
        sessions_take(&crew.sessions[worker], mail);
        was_any = true;
    }
    return was_any;
}

/* Everybody does, until there is nothing left. */
static inline void crew_settle(void) {
    for (bool was_any = true; was_any;) {
        was_any = false;
        for (uint32_t i = 0; i < CREW; i++)
            was_any |= crew_read(i);
    }
}

static inline int crew_stop(void **state) {
    (void)state;
    crew_settle();
    for (uint32_t i = 0; i < CREW; i++) {
        sessions_fini(&crew.sessions[i]);
        mailbox_fini(&crew.boxes[i]);
    }
    users_destroy(crew.users);
    return 0;
}

#endif
