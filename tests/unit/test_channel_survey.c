/* The survey of channels: pages over several workers against a model.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/channel_survey.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/crew_testing.h"

enum { NAMES = 300, SUBS_MAX = 5 };

/* --- what there is ---------------------------------------------------------------------------- */

static struct hub_sub subs[CREW][NAMES][SUBS_MAX];
static uint32_t counts[NAMES]; /* the model: subscribers of channel i on all workers */
static uint32_t seed;

static uint32_t any(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 16) % below;
}

/* In the order of the numbers, and with lengths that differ. */
static struct str name_of(uint32_t i, char text[32]) {
    int n = snprintf(text, 32, "%c%03u%.*s", i % 2 ? 'b' : 'a', i, (int)(i % 7), "xxxxxxx");
    return (struct str){text, (size_t)n};
}

static void fill(void) {
    char text[32];
    memset(counts, 0, sizeof(counts));
    memset(subs, 0, sizeof(subs));
    for (uint32_t w = 0; w < CREW; w++)
        for (uint32_t i = 0; i < NAMES; i++)
            for (uint32_t k = any(4) ? any(SUBS_MAX + 1) : 0; k-- > 0; counts[i]++)
                hub_join(&crew.sessions[w].hub, name_of(i, text), &subs[w][i][k]);
}

static void empty(void) {
    for (uint32_t w = 0; w < CREW; w++)
        for (uint32_t i = 0; i < NAMES; i++)
            for (uint32_t k = 0; k < SUBS_MAX; k++) {
                struct hub_channel *hc = subs[w][i][k].channel;
                if (hc && hub_leave(&crew.sessions[w].hub, &subs[w][i][k]))
                    hub_forget(&crew.sessions[w].hub, hc);
            }
}

/* --- pages ------------------------------------------------------------------------------------ */

static struct {
    unsigned answers;
    enum broker_result result;
    bool has_more;
    size_t count;
    char last[32];
    char seen[NAMES][32];
    uint32_t client_counts[NAMES];
    size_t seen_count;
} page;

static void take(void *arg, enum broker_result result, const struct channel_counts *survey) {
    assert_ptr_equal(arg, &page);
    page.answers++;
    page.result = result;
    if (!survey)
        return;
    page.has_more = survey->has_more;
    page.count = survey->count;
    for (size_t i = 0; i < survey->count; i++, page.seen_count++) {
        const struct channel_count *one = &survey->items[i];
        assert_true(page.seen_count < NAMES && one->name.n < 32);
        snprintf(page.seen[page.seen_count], 32, "%.*s", STR_ARG(one->name));
        page.client_counts[page.seen_count] = one->client_count;
        snprintf(page.last, sizeof(page.last), "%.*s", STR_ARG(one->name));
    }
}

/* All pages, one after the other. */
static void read_all(const char *pattern, uint32_t limit) {
    memset(&page, 0, sizeof(page));
    do {
        channel_survey_start(&crew.sessions[1], str_of(pattern), str_of(page.last), limit, take,
                             &page);
        crew_settle();
        assert_int_equal(page.result, BROKER_OK);
        assert_true(page.count <= limit);
        assert_true(!page.has_more || page.count == limit);
    } while (page.has_more);
}

static void expect_letter(char letter) {
    char text[32];
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = (uint32_t)pass; i < NAMES; i += 2) {
            struct str name = name_of(i, text);
            if (!counts[i] || (letter && name.p[0] != letter))
                continue;
            assert_string_equal(page.seen[at], text);
            assert_int_equal(page.client_counts[at], counts[i]);
            at++;
        }
    assert_int_equal(page.seen_count, at);
}

static void every_channel_is_on_one_page_with_all_its_clients(void **state) {
    (void)state;
    static const uint32_t limits[] = {1, 2, 7, 64, 65, NAMES - 1, NAMES, CHANNEL_SURVEY_MAX};
    for (seed = 1; seed < 6; seed++) {
        uint32_t kept = seed;
        fill();
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            read_all("", limits[i]);
            expect_letter('\0');
            read_all("b*", limits[i]);
            expect_letter('b');
        }
        empty();
        seed = kept;
    }
}

static void where_nothing_is_the_page_is_empty(void **state) {
    (void)state;
    read_all("", 10);
    assert_int_equal(page.answers, 1);
    assert_int_equal(page.seen_count, 0);
}

static void who_waits_for_its_first_subscriber_is_no_channel(void **state) {
    (void)state;
    struct hub_sub sub = {0};
    struct hub *hub = &crew.sessions[0].hub;
    struct hub_channel *hc = hub_join(hub, STR("x"), &sub);
    hub_pin(hc);
    hub_leave(hub, &sub);
    read_all("", 10);
    assert_int_equal(page.seen_count, 0);
    assert_true(hub_unpin(hc));
    hub_forget(hub, hc);
}

static void without_all_workers_there_is_no_page(void **state) {
    (void)state;
    fill();
    memset(&page, 0, sizeof(page));
    channel_survey_start(&crew.sessions[1], STR_NONE, STR_NONE, 10, take, &page);
    crew_read(0);
    crew_read(1);
    crew.sessions[1].now_ms += BROKER_DEADLINE_MS;
    worker_calls_tick(&crew.sessions[1]);
    assert_int_equal(page.result, BROKER_UNKNOWN);
    crew_settle();
    assert_int_equal(page.answers, 1);
    assert_int_equal(page.seen_count, 0);
    empty();
}

#define SURVEY_TEST(f) cmocka_unit_test_setup_teardown(f, crew_start, crew_stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        SURVEY_TEST(every_channel_is_on_one_page_with_all_its_clients),
        SURVEY_TEST(where_nothing_is_the_page_is_empty),
        SURVEY_TEST(who_waits_for_its_first_subscriber_is_no_channel),
        SURVEY_TEST(without_all_workers_there_is_no_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
