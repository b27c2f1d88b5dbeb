/* The hub: joining and leaving against a naive model, growth and shrinkage, pins, and leaving while
 * subscribers are visited.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/hub.c"

#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { CHANNELS = 20, SUBS = 600 };

static struct hub hub;

static int start(void **state) {
    (void)state;
    hub_init(&hub);
    return 0;
}

static int stop(void **state) {
    (void)state;
    hub_fini(&hub);
    return 0;
}

static struct hub_channel *find(const char *name) {
    return hub_find(&hub, str_of(name), map_hash(str_of(name)));
}

/* Every subscriber's index points back to it, and each is there once. */
static void assert_is_sound(const struct hub_channel *c) {
    assert_true(c->sub_count <= c->sub_capacity);
    for (uint32_t i = 0; i < c->sub_count; i++) {
        assert_ptr_equal(c->subs[i]->channel, c);
        assert_int_equal(c->subs[i]->index, i);
    }
}

static void a_channel_exists_from_its_first_join(void **state) {
    (void)state;
    struct hub_sub a = {0}, b = {0};
    assert_null(find("news"));
    struct hub_channel *c = hub_join(&hub, STR("news"), &a);
    assert_ptr_equal(find("news"), c);
    assert_ptr_equal(a.channel, c);
    assert_int_equal(c->state, HUB_NEW);
    assert_true(str_equal(c->node.key, STR("news")));
    assert_ptr_equal(hub_join(&hub, STR("news"), &b), c);
    assert_int_equal(c->sub_count, 2);
    assert_int_equal(hub.sub_count, 2);
    assert_false(hub_leave(&hub, &a));
    assert_null(a.channel);
    assert_true(hub_leave(&hub, &b));
    assert_int_equal(hub.sub_count, 0);
    hub_forget(&hub, c);
    assert_null(find("news"));
}

static void a_name_is_copied_and_is_bytes(void **state) {
    (void)state;
    char name[] = "a\0b";
    struct hub_sub sub = {0}, other = {0};
    struct hub_channel *c = hub_join(&hub, (struct str){name, 3}, &sub);
    name[0] = 'x';
    assert_ptr_equal(hub_find(&hub, STR("a\0b"), map_hash(STR("a\0b"))), c);
    assert_null(find("a"));
    struct hub_channel *short_one = hub_join(&hub, STR("a"), &other);
    assert_ptr_not_equal(short_one, c);
    assert_true(hub_leave(&hub, &sub));
    assert_true(hub_leave(&hub, &other));
    hub_forget(&hub, c);
    hub_forget(&hub, short_one);
}

static void whoever_leaves_the_others_stay(void **state) {
    (void)state;
    for (uint32_t who = 0; who < 5; who++) {
        struct hub_sub subs[5] = {0};
        struct hub_channel *c = NULL;
        for (uint32_t i = 0; i < 5; i++)
            c = hub_join(&hub, STR("c"), &subs[i]);
        assert_false(hub_leave(&hub, &subs[who]));
        assert_is_sound(c);
        for (uint32_t i = 0; i < 5; i++)
            assert_true(i == who ? !subs[i].channel : subs[i].channel == c);
        for (uint32_t i = 0; i < 5; i++)
            if (i != who)
                hub_leave(&hub, &subs[i]);
        hub_forget(&hub, c);
    }
}

static void a_subscriber_may_join_again(void **state) {
    (void)state;
    struct hub_sub sub = {0};
    for (int i = 0; i < 3; i++) {
        struct hub_channel *c = hub_join(&hub, STR("c"), &sub);
        assert_true(hub_leave(&hub, &sub));
        hub_forget(&hub, c);
    }
    struct hub_channel *other = hub_join(&hub, STR("other"), &sub);
    assert_true(hub_leave(&hub, &sub));
    hub_forget(&hub, other);
}

static void a_pin_keeps_an_empty_channel(void **state) {
    (void)state;
    struct hub_sub sub = {0};
    struct hub_channel *c = hub_join(&hub, STR("c"), &sub);
    c->state = HUB_ATTACHING;
    hub_pin(c);
    hub_pin(c);
    assert_false(hub_leave(&hub, &sub)); /* not idle: pinned */
    assert_ptr_equal(find("c"), c);
    assert_false(hub_unpin(c));
    /* Who joins meanwhile finds the same channel in the same state. */
    assert_ptr_equal(hub_join(&hub, STR("c"), &sub), c);
    assert_int_equal(c->state, HUB_ATTACHING);
    assert_false(hub_unpin(c)); /* not idle: somebody is in it */
    assert_true(hub_leave(&hub, &sub));
    hub_forget(&hub, c);
}

static void the_last_unpin_says_idle(void **state) {
    (void)state;
    struct hub_sub sub = {0};
    struct hub_channel *c = hub_join(&hub, STR("c"), &sub);
    hub_pin(c);
    hub_leave(&hub, &sub);
    assert_true(hub_unpin(c));
    hub_forget(&hub, c);
}

static void the_array_grows_and_shrinks(void **state) {
    (void)state;
    static struct hub_sub subs[10000];
    struct hub_channel *c = NULL;
    memset(subs, 0, sizeof(subs));
    for (uint32_t i = 0; i < 10000; i++) {
        c = hub_join(&hub, STR("c"), &subs[i]);
        assert_true(c->sub_capacity < 2 * c->sub_count + 1);
    }
    assert_is_sound(c);
    for (uint32_t i = 0; i < 9999; i++) {
        assert_false(hub_leave(&hub, &subs[i]));
        assert_true(c->sub_capacity <= 16 || c->sub_count >= c->sub_capacity / 4);
    }
    assert_is_sound(c);
    assert_true(c->sub_capacity <= 16);
    assert_true(hub_leave(&hub, &subs[9999]));
    hub_forget(&hub, c);
}

static void one_that_comes_and_goes_does_not_resize(void **state) {
    (void)state;
    static struct hub_sub subs[33];
    struct hub_channel *c = NULL;
    memset(subs, 0, sizeof(subs));
    for (uint32_t i = 0; i < 32; i++)
        c = hub_join(&hub, STR("c"), &subs[i]);
    hub_join(&hub, STR("c"), &subs[32]);
    uint32_t capacity = c->sub_capacity;
    for (int i = 0; i < 100; i++) {
        hub_leave(&hub, &subs[32]);
        assert_int_equal(c->sub_capacity, capacity);
        hub_join(&hub, STR("c"), &subs[32]);
        assert_int_equal(c->sub_capacity, capacity);
    }
    for (uint32_t i = 0; i < 33; i++)
        hub_leave(&hub, &subs[i]);
    hub_forget(&hub, c);
}

/* As a delivery does it. Whatever subset leaves, everybody who was there is visited once. */
static void the_visited_one_may_leave_when_visiting_from_the_end(void **state) {
    (void)state;
    static struct hub_sub subs[300];
    static uint32_t visits[300];
    struct random r = {7};
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t count = 1 + random_below(&r, 300), odds = random_below(&r, 11);
        struct hub_channel *c = NULL;
        memset(subs, 0, sizeof(subs));
        memset(visits, 0, sizeof(visits));
        for (uint32_t i = 0; i < count; i++)
            c = hub_join(&hub, STR("c"), &subs[i]);
        hub_pin(c);
        for (uint32_t i = c->sub_count; i-- > 0;) {
            struct hub_sub *sub = c->subs[i];
            visits[sub - subs]++;
            if (random_below(&r, 10) < odds)
                hub_leave(&hub, sub);
        }
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(visits[i], 1);
        assert_is_sound(c);
        for (uint32_t i = 0; i < count; i++)
            if (subs[i].channel)
                hub_leave(&hub, &subs[i]);
        assert_true(hub_unpin(c));
        hub_forget(&hub, c);
    }
}

/* --- against a model -------------------------------------------------------------------------- */

static struct hub_sub model_subs[SUBS];
static int in_channel[SUBS]; /* -1: in none */
static uint32_t pins[CHANNELS];

static const char *name_of(int channel) {
    static char name[32];
    snprintf(name, sizeof(name), "channel-%d", channel);
    return name;
}

static uint32_t members_of(int channel) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < SUBS; i++)
        count += in_channel[i] == channel;
    return count;
}

static void assert_is_like_the_model(void) {
    size_t channel_count = 0, sub_count = 0;
    for (int ch = 0; ch < CHANNELS; ch++) {
        uint32_t members = members_of(ch);
        struct hub_channel *c = find(name_of(ch));
        assert_int_equal(c != NULL, members > 0 || pins[ch] > 0);
        if (!c)
            continue;
        channel_count++;
        sub_count += members;
        assert_int_equal(c->sub_count, members);
        assert_int_equal(c->pin_count, pins[ch]);
        assert_is_sound(c);
    }
    assert_int_equal(hub.channels.count, channel_count);
    assert_int_equal(hub.sub_count, sub_count);
    for (uint32_t i = 0; i < SUBS; i++)
        assert_ptr_equal(model_subs[i].channel,
                         in_channel[i] < 0 ? NULL : find(name_of(in_channel[i])));
}

static void step_sub(uint32_t i, int channel) {
    struct hub_channel *c = model_subs[i].channel;
    if (in_channel[i] < 0) {
        hub_join(&hub, str_of(name_of(channel)), &model_subs[i]);
        in_channel[i] = channel;
        return;
    }
    int was_in = in_channel[i];
    in_channel[i] = -1;
    bool is_idle_now = hub_leave(&hub, &model_subs[i]);
    assert_int_equal(is_idle_now, members_of(was_in) == 0 && pins[was_in] == 0);
    if (is_idle_now)
        hub_forget(&hub, c);
}

static void step_pin(struct random *r, int channel) {
    struct hub_channel *c = find(name_of(channel));
    if (!c)
        return;
    if (pins[channel] == 0 || random_below(r, 3) == 0) {
        hub_pin(c);
        pins[channel]++;
        return;
    }
    pins[channel]--;
    bool is_idle_now = hub_unpin(c);
    assert_int_equal(is_idle_now, members_of(channel) == 0 && pins[channel] == 0);
    if (is_idle_now)
        hub_forget(&hub, c);
}

static void behaves_like_the_model(void **state) {
    (void)state;
    struct random r = {2024};
    memset(model_subs, 0, sizeof(model_subs));
    memset(pins, 0, sizeof(pins));
    for (uint32_t i = 0; i < SUBS; i++)
        in_channel[i] = -1;
    for (uint32_t step = 0; step < 40000; step++) {
        /* Few channels are popular, and all of it swells and ebbs. */
        int channel = (int)random_below(&r, random_below(&r, CHANNELS) + 1);
        uint32_t i = random_below(&r, SUBS);
        bool wants_in = random_below(&r, 10) < (step / 4000 % 2 ? 1u : 9u);
        if (random_below(&r, 10) == 0)
            step_pin(&r, channel);
        else if (wants_in == (in_channel[i] < 0))
            step_sub(i, channel);
        if (step % 500 == 0)
            assert_is_like_the_model();
    }
    assert_is_like_the_model();
    for (uint32_t i = 0; i < SUBS; i++)
        if (in_channel[i] >= 0)
            step_sub(i, 0);
    for (int ch = 0; ch < CHANNELS; ch++)
        for (; pins[ch] > 0; pins[ch]--)
            if (hub_unpin(find(name_of(ch))))
                hub_forget(&hub, find(name_of(ch)));
    assert_is_like_the_model();
}

#define HUB_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        HUB_TEST(a_channel_exists_from_its_first_join),
        HUB_TEST(a_name_is_copied_and_is_bytes),
        HUB_TEST(whoever_leaves_the_others_stay),
        HUB_TEST(a_subscriber_may_join_again),
        HUB_TEST(a_pin_keeps_an_empty_channel),
        HUB_TEST(the_last_unpin_says_idle),
        HUB_TEST(the_array_grows_and_shrinks),
        HUB_TEST(one_that_comes_and_goes_does_not_resize),
        HUB_TEST(the_visited_one_may_leave_when_visiting_from_the_end),
        HUB_TEST(behaves_like_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
