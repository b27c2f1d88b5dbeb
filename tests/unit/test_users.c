/* The table of users: who is where, against a model; names that stay; four threads at once.
 *
 * Thread: main; the last test also in four threads. Owns: nothing.
 */
#include "channels/users.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { WORKERS = USERS_WORKERS_MAX, NAMES = 40, STEPS = 200000, THREADS = 4 };

#include "tests/unit/many_mailboxes.h"

static struct users *users;

static int start(void **state) {
    (void)state;
    boxes_init();
    users = users_create(box_list, WORKERS);
    return 0;
}

static int stop(void **state) {
    (void)state;
    users_destroy(users);
    boxes_fini();
    return 0;
}

static void a_user_is_where_its_connections_are(void **state) {
    (void)state;
    assert_int_equal(users_workers(users, STR("ann")), 0);
    users_join(users, STR("ann"), 3);
    users_join(users, STR("ann"), 3);
    users_join(users, STR("ann"), 63);
    users_join(users, STR_NONE, 0); /* anonymous is a user, too */
    assert_int_equal(users_workers(users, STR("ann")), UINT64_C(1) << 3 | UINT64_C(1) << 63);
    assert_int_equal(users_connections(users, STR("ann")), 3);
    assert_int_equal(users_workers(users, STR_NONE), 1);
    assert_int_equal(users_count(users), 2);
    users_leave(users, STR("ann"), 3, false);
    assert_int_equal(users_workers(users, STR("ann")), UINT64_C(1) << 3 | UINT64_C(1) << 63);
    users_leave(users, STR("ann"), 3, true);
    assert_int_equal(users_workers(users, STR("ann")), UINT64_C(1) << 63);
    users_leave(users, STR("ann"), 63, true);
    users_leave(users, STR_NONE, 0, true);
    assert_int_equal(users_count(users), 0);
}

static void each_number_is_above_the_one_before(void **state) {
    (void)state;
    for (uint64_t last = 0, i = 0; i < 10; i++) {
        uint64_t next = users_next_number(users);
        assert_true(next > last);
        last = next;
    }
}

static void a_name_stays_while_somebody_has_it(void **state) {
    (void)state;
    char text[] = "ann";
    struct str name = users_join(users, (struct str){text, 3}, 0);
    struct str same = users_join(users, STR("ann"), 1);
    memset(text, 'x', 3);
    assert_ptr_equal(name.p, same.p);
    users_leave(users, STR("ann"), 0, true);
    assert_string_equal(same.p, "ann");
    users_leave(users, same, 1, true); /* by the name itself */
    assert_int_equal(users_count(users), 0);
}

/* --- a model ---------------------------------------------------------------------------------- */

static struct str user_name(uint32_t i, char text[16]) {
    int n = snprintf(text, 16, "%.*s%u", (int)(i % 9), "user-----", i);
    return (struct str){text, (size_t)n};
}

static void it_agrees_with_a_model(void **state) {
    (void)state;
    static uint32_t model[NAMES][WORKERS];
    uint32_t seed = 1;
    char text[16];
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t i = (seed >> 8) % NAMES, w = (seed >> 16) % WORKERS, total = 0, there = 0;
        uint64_t bits = 0;
        struct str user = user_name(i, text);
        if ((seed >> 30 & 1) && model[i][w]) {
            model[i][w]--;
            users_leave(users, user, w, model[i][w] == 0);
        } else {
            model[i][w]++;
            users_join(users, user, w);
        }
        for (uint32_t k = 0; k < WORKERS; k++) {
            total += model[i][k];
            bits |= model[i][k] ? UINT64_C(1) << k : 0;
        }
        assert_int_equal(users_connections(users, user), total);
        assert_true(users_workers(users, user) == bits);
        for (uint32_t k = 0; step % 1000 == 0 && k < NAMES; k++)
            there += users_connections(users, user_name(k, text)) > 0;
        if (step % 1000 == 0)
            assert_int_equal(users_count(users), there);
    }
    for (uint32_t i = 0; i < NAMES; i++)
        for (uint32_t w = 0; w < WORKERS; w++)
            while (model[i][w]-- > 0)
                users_leave(users, user_name(i, text), w, model[i][w] == 0);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void *come_and_go(void *arg) {
    uint32_t worker = (uint32_t)(uintptr_t)arg, here[NAMES] = {0}, seed = worker + 1;
    char text[16];
    for (int step = 0; step < STEPS / 4; step++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t i = (seed >> 8) % NAMES;
        struct str user = user_name(i, text);
        if ((seed >> 30 & 1) && here[i]) {
            here[i]--;
            users_leave(users, user, worker, here[i] == 0);
        } else {
            struct str name = users_join(users, user, worker);
            assert(str_equal(name, user));
            here[i]++;
        }
        assert((users_workers(users, user) >> worker & 1) == (here[i] > 0));
    }
    for (uint32_t i = 0; i < NAMES; i++)
        while (here[i]-- > 0)
            users_leave(users, user_name(i, text), worker, here[i] == 0);
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(users_count(users), 0);
}

#define USERS_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        USERS_TEST(a_user_is_where_its_connections_are),
        USERS_TEST(each_number_is_above_the_one_before),
        USERS_TEST(a_name_stays_while_somebody_has_it),
        USERS_TEST(it_agrees_with_a_model),
        USERS_TEST(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
