/* Rules: which names are fine, which namespace they belong to, who may subscribe, publish and read
 * presence and history. Tables of names and actors; the verdicts are Centrifugo's.
 *
 * Thread: one. Owns: nothing.
 */
#include "channels/rules.c"

#include "server/base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

/* One namespace per permission that is looked at. */
static struct channel_options namespaces[] = {
    {.name = "chat", .allow_subscribe_for_client = true, .allow_publish_for_subscriber = true},
    {.name = "open",
     .allow_subscribe_for_client = true,
     .allow_subscribe_for_anonymous = true,
     .allow_publish_for_client = true,
     .allow_publish_for_anonymous = true,
     .allow_presence_for_client = true,
     .allow_presence_for_anonymous = true,
     .allow_history_for_client = true,
     .allow_history_for_anonymous = true},
    {.name = "anon",
     .allow_subscribe_for_anonymous = true,
     .allow_publish_for_anonymous = true,
     .allow_presence_for_anonymous = true,
     .allow_history_for_anonymous = true},
    {.name = "user", .allow_user_limited_channels = true},
    {.name = "both",
     .allow_user_limited_channels = true,
     .allow_subscribe_for_client = true,
     .allow_subscribe_for_anonymous = true},
    {.name = "pubs",
     .allow_publish_for_client = true,
     .allow_presence_for_client = true,
     .allow_history_for_client = true},
    {.name = "subs",
     .allow_publish_for_subscriber = true,
     .allow_publish_for_anonymous = true,
     .allow_presence_for_subscriber = true,
     .allow_presence_for_anonymous = true,
     .allow_history_for_subscriber = true,
     .allow_history_for_anonymous = true},
    {.name = "pres", .allow_presence_for_subscriber = true},
    {.name = "hist", .allow_history_for_subscriber = true},
    {.name = "none"},
    {.name = "a.b-c_9", .allow_subscribe_for_client = true},
};

static struct rules make_rules(void) {
    return (struct rules){
        .without_namespace = {.allow_subscribe_for_client = true},
        .namespaces = namespaces,
        .namespace_count = sizeof(namespaces) / sizeof(namespaces[0]),
        .name_max_bytes = 255,
        .private_prefix = "$",
        .namespace_boundary = ":",
        .user_boundary = "#",
        .user_separator = ",",
    };
}

/* ---- names ---- */

#define WITHOUT "" /* the options without a namespace */

static void expect_namespace(const struct rules *r, struct str channel, const char *expected,
                             enum rules_verdict verdict) {
    const struct channel_options *const untouched = (const void *)r;
    const struct channel_options *options = untouched;
    enum rules_verdict found = rules_find(r, channel, &options);
    if (found != verdict)
        print_error("\"%.*s\"\n", STR_ARG(channel));
    assert_int_equal(found, verdict);
    if (verdict != RULES_OK)
        assert_ptr_equal(options, untouched);
    else if (*expected)
        assert_string_equal(options->name, expected);
    else
        assert_ptr_equal(options, &r->without_namespace);
}

static void a_name_belongs_to_the_namespace_before_its_first_boundary(void **state) {
    static const struct {
        const char *channel, *name;
        enum rules_verdict verdict;
    } rows[] = {
        {"news", WITHOUT, RULES_OK},
        {"chat", WITHOUT, RULES_OK}, /* a namespace's name alone is in none */
        {"chat:", "chat", RULES_OK},
        {"chat:1", "chat", RULES_OK},
        {"chat:a:b", "chat", RULES_OK},
        {"chat::", "chat", RULES_OK},
        {"a.b-c_9:x", "a.b-c_9", RULES_OK},
        {"$chat:1", "chat", RULES_OK},
        {"$news", WITHOUT, RULES_OK},
        {"$", WITHOUT, RULES_OK},
        {":news", WITHOUT, RULES_OK},
        {"$:news", WITHOUT, RULES_OK},
        {":", WITHOUT, RULES_OK},
        {"#alice", WITHOUT, RULES_OK},
        {"user:#alice", "user", RULES_OK},
        {"user:x#alice,bob", "user", RULES_OK},
        {"with space", WITHOUT, RULES_OK},
        {" ", WITHOUT, RULES_OK},
        {"~", WITHOUT, RULES_OK},
        {"\"\\{}[]<>&%", WITHOUT, RULES_OK},
        {"Chat:1", "", RULES_UNKNOWN_NAMESPACE},
        {"cha:1", "", RULES_UNKNOWN_NAMESPACE},
        {"chats:1", "", RULES_UNKNOWN_NAMESPACE},
        {"$$chat:1", "", RULES_UNKNOWN_NAMESPACE}, /* only one prefix is taken off */
        {" chat:1", "", RULES_UNKNOWN_NAMESPACE},
        {"#user:1", "", RULES_UNKNOWN_NAMESPACE},
        {"x#chat:1", "", RULES_UNKNOWN_NAMESPACE},
        {"b\xc3\xbc"
         "cher",
         "", RULES_BAD_NAME},
        {"chat:\xff", "", RULES_BAD_NAME},
        {"a\x7f", "", RULES_BAD_NAME},
        {"a\x1f", "", RULES_BAD_NAME},
        {"a\n", "", RULES_BAD_NAME},
        {"\t", "", RULES_BAD_NAME},
        {"nope:\x01", "", RULES_BAD_NAME}, /* before the namespace is looked at */
        {"nope:\xff", "", RULES_BAD_NAME},
        {"nope:\xc3\xbc", "", RULES_UNKNOWN_NAMESPACE}, /* it could allow such names */
        {"chat:\xc3\xbc", "", RULES_BAD_NAME},
    };
    struct rules r = make_rules();
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_namespace(&r, str_of(rows[i].channel), rows[i].name, rows[i].verdict);
    expect_namespace(&r, (struct str){"a\0b", 3}, "", RULES_BAD_NAME);
    expect_namespace(&r, STR_NONE, WITHOUT, RULES_OK);
}

static void every_byte_outside_printable_ascii_is_refused(void **state) {
    struct rules r = make_rules();
    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[3] = {'x', (char)c, 'y'};
        const struct channel_options *options;
        bool is_good = c >= 0x20 && c <= 0x7e && c != ':';
        if (c == ':')
            continue; /* an unknown namespace */
        assert_int_equal(rules_find(&r, (struct str){name, 3}, &options),
                         is_good ? RULES_OK : RULES_BAD_NAME);
    }
}

static void a_name_is_at_most_as_long_as_the_limit(void **state) {
    struct rules r = make_rules();
    char name[256];
    (void)state;
    memset(name, 'x', sizeof(name));
    expect_namespace(&r, (struct str){name, 255}, WITHOUT, RULES_OK);
    expect_namespace(&r, (struct str){name, 256}, "", RULES_BAD_NAME);
    r.name_max_bytes = 1;
    expect_namespace(&r, STR("x"), WITHOUT, RULES_OK);
    expect_namespace(&r, STR("xy"), "", RULES_BAD_NAME);
}

/* With this pattern in the options o. */
static void expect_names(struct rules *r, struct channel_options *o, const char *source,
                         const char *const *names, enum rules_verdict verdict) {
    const char *why = NULL;
    o->pattern = pattern_create(str_of(source), &why);
    assert_non_null(o->pattern);
    for (; *names; names++) {
        const struct channel_options *found = NULL;
        if (rules_find(r, str_of(*names), &found) != verdict)
            fail_msg("\"%s\" and %s", *names, source);
        assert_ptr_equal(found, verdict == RULES_OK ? o : NULL);
    }
    pattern_destroy(o->pattern);
    o->pattern = NULL;
}

#define NAMES(...)                                                                                 \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

static void a_pattern_is_held_against_what_follows_the_namespace(void **state) {
    struct channel_options re = {.name = "re"};
    struct rules r = make_rules();
    (void)state;
    r.namespaces = &re;
    r.namespace_count = 1;
    expect_names(&r, &re, "^[a-z]+$", NAMES("re:abc", "$re:abc"), RULES_OK);
    expect_names(&r, &re, "^[a-z]+$", NAMES("re:", "re:a1", "re:a:b", "re::a", "$re:1"),
                 RULES_BAD_NAME);
    expect_names(&r, &re, "b", NAMES("re:abc"), RULES_OK); /* some part */
    r.namespace_count = 0;
    expect_names(&r, &r.without_namespace, "^[a-z]+$", NAMES("abc", ":abc", "$:abc"), RULES_OK);
    expect_names(&r, &r.without_namespace, "^[a-z]+$", NAMES("$abc", "a b"), RULES_BAD_NAME);
    expect_names(&r, &r.without_namespace, "^\\$[a-z]+$", NAMES("$abc"), RULES_OK);
}

static void a_pattern_opens_other_characters_but_no_control_characters(void **state) {
    struct rules r = make_rules();
    struct channel_options *o = &r.without_namespace;
    (void)state;
    expect_names(&r, o, "",
                 NAMES("b\xc3\xbc"
                       "cher",
                       "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a b"),
                 RULES_OK);
    expect_names(
        &r, o, "",
        NAMES("\xff", "a\xc3", "\xed\xa0\x80", "a\nb", "\x1b[m", "a\x7f", "\xc2\x80", "\xc2\x9f"),
        RULES_BAD_NAME);
    r.name_max_bytes = 3; /* bytes, not characters */
    expect_names(&r, o, "", NAMES("\xe2\x82\xac"), RULES_OK);
    expect_names(&r, o, "", NAMES("\xf0\x9f\x98\x80"), RULES_BAD_NAME);
}

static void expect_personal(const struct rules *r, const char *user, const char *expected) {
    struct buf name = {0};
    rules_personal_channel(r, str_of(user), &name);
    assert_true(str_equal(buf_str(&name), str_of(expected)));
    buf_fini(&name);
}

static void a_user_has_a_personal_channel(void **state) {
    struct rules r = make_rules();
    (void)state;
    r.personal_namespace = "";
    expect_personal(&r, "7", "");
    r.has_personal_channels = true;
    expect_personal(&r, "7", "#7");
    expect_personal(&r, "", "");
    r.personal_namespace = "ns";
    expect_personal(&r, "7", "ns:#7");
    r.namespace_boundary = "::";
    r.user_boundary = "@";
    expect_personal(&r, "al", "ns::@al");
}

static void boundaries_can_be_changed_and_switched_off(void **state) {
    struct rules r = make_rules();
    struct rules_actor alice = {.user = STR("alice")};
    (void)state;
    r.namespace_boundary = "::";
    expect_namespace(&r, STR("chat::1"), "chat", RULES_OK);
    expect_namespace(&r, STR("chat:1"), WITHOUT, RULES_OK);
    expect_namespace(&r, STR("chat:::1"), "chat", RULES_OK);
    r.namespace_boundary = "";
    expect_namespace(&r, STR("nope:1"), WITHOUT, RULES_OK);
    r = make_rules();
    r.private_prefix = "";
    expect_namespace(&r, STR("$chat:1"), "", RULES_UNKNOWN_NAMESPACE);
    assert_true(rules_may_subscribe(&r, &r.without_namespace, STR("$news"), &alice));
    r.private_prefix = "private-";
    assert_false(rules_may_subscribe(&r, &r.without_namespace, STR("private-x"), &alice));
    assert_true(rules_may_subscribe(&r, &r.without_namespace, STR("private"), &alice));
    expect_namespace(&r, STR("private-chat:1"), "chat", RULES_OK);
}

static void user_lists_follow_their_separators(void **state) {
    struct rules r = make_rules();
    struct channel_options o = {.allow_user_limited_channels = true};
    struct rules_actor alice = {.user = STR("alice")}, both = {.user = STR("alice,bob")};
    (void)state;
    r.user_separator = "";
    assert_true(rules_may_subscribe(&r, &o, STR("x#alice"), &alice));
    assert_false(rules_may_subscribe(&r, &o, STR("x#alice,bob"), &alice));
    assert_true(rules_may_subscribe(&r, &o, STR("x#alice,bob"), &both));
    r.user_separator = "--";
    assert_true(rules_may_subscribe(&r, &o, STR("x#bob--alice"), &alice));
    assert_false(rules_may_subscribe(&r, &o, STR("x#bob-alice"), &alice));
    r.user_boundary = "##";
    assert_false(rules_may_subscribe(&r, &o, STR("x#alice"), &alice));
    assert_true(rules_may_subscribe(&r, &o, STR("x##alice"), &alice));
    o.allow_subscribe_for_client = true;
    assert_true(rules_may_subscribe(&r, &o, STR("x#bob"), &alice)); /* no boundary in it */
    assert_false(rules_may_subscribe(&r, &o, STR("x##bob"), &alice));
    r.user_boundary = "";
    assert_true(rules_may_subscribe(&r, &o, STR("x##bob"), &alice));
}

/* ---- permissions ---- */

struct row {
    const char *channel, *user; /* user "": anonymous */
    bool is_subscribed;
    bool may; /* what is asked */
    bool may_insecure;
};

typedef bool (*ask_fn)(const struct rules *r, const struct channel_options *o, struct str channel,
                       const struct rules_actor *actor);

static void run_rows(ask_fn ask, const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int insecure = 0; insecure < 2; insecure++) {
            const struct row *row = &rows[i];
            struct rules r = make_rules();
            struct rules_actor actor = {str_of(row->user), row->is_subscribed, 0};
            const struct channel_options *options = &r.without_namespace;
            r.is_insecure = insecure;
            assert_int_equal(rules_find(&r, str_of(row->channel), &options), RULES_OK);
            bool expected = insecure ? row->may_insecure : row->may;
            if (ask(&r, options, str_of(row->channel), &actor) != expected)
                fail_msg("\"%s\" by \"%s\" should be %s%s", row->channel, row->user,
                         expected ? "allowed" : "refused", insecure ? " when insecure" : "");
        }
    }
}

static void subscribing_follows_name_and_options(void **state) {
    static const struct row rows[] = {
        {"news", "alice", 0, true, true},
        {"news", "", 0, false, true},
        {"chat:1", "alice", 0, true, true},
        {"chat:1", "", 0, false, true},
        {"open:1", "alice", 0, true, true},
        {"open:1", "", 0, true, true},
        {"anon:1", "alice", 0, false, true}, /* _for_anonymous alone allows nobody */
        {"anon:1", "", 0, false, true},
        {"none:1", "alice", 0, false, true},
        {"pubs:1", "alice", 0, false, true},
        {"subs:1", "alice", 1, false, true},
        /* private: a token only, whatever the options, insecure too */
        {"$news", "alice", 0, false, false},
        {"$chat:1", "alice", 0, false, false},
        {"$open:1", "", 0, false, false},
        {"$user:#alice", "alice", 0, false, false},
        {"$", "alice", 0, false, false},
        /* user-limited */
        {"user:#alice", "alice", 0, true, true},
        {"user:x#alice", "alice", 0, true, true},
        {"user:x#alice,bob", "alice", 0, true, true},
        {"user:x#alice,bob", "bob", 0, true, true},
        {"user:x#alice,bob", "carol", 0, false, true},
        {"user:x#alice,bob", "", 0, false, true},
        {"user:x#alice,bob", "alice,bob", 0, false, true},
        {"user:x#alice,bob", "ali", 0, false, true},
        {"user:x#alice,bob", "alice2", 0, false, true},
        {"user:x#alice,bob", "Alice", 0, false, true},
        {"user:x#alice ,bob", "alice", 0, false, true},
        {"user:x#", "", 0, false, true}, /* an empty list is not a list of anonymous */
        {"user:x#", "alice", 0, false, true},
        {"user:x#,", "", 0, false, true},
        {"user:x#,alice", "alice", 0, true, true},
        {"user:x#alice,", "alice", 0, true, true},
        {"user:x#bob#alice", "alice", 0, true, true}, /* the last boundary counts */
        {"user:x#bob#alice", "bob", 0, false, true},
        {"user:x#alice#", "alice", 0, false, true},
        {"user:x#alice:bob", "alice:bob", 0, true, true},
        {"user:alice", "alice", 0, false, true}, /* no boundary, not for clients */
        {"both:x#alice", "alice", 0, true, true},
        {"both:x#alice", "bob", 0, false, true}, /* for_client does not open it */
        {"both:x#alice", "", 0, false, true},
        {"both:x", "bob", 0, true, true},
        {"both:x", "", 0, true, true},
        /* where they are off, the boundary is a character like others */
        {"chat:x#alice", "bob", 0, true, true},
        {"#alice", "bob", 0, true, true},
        {"none:x#alice", "alice", 0, false, true},
    };
    (void)state;
    run_rows(rules_may_subscribe, rows, sizeof(rows) / sizeof(rows[0]));
}

/* As if allow_..._for_client and _for_anonymous were on: private channels and those of other users
 * stay closed. */
static void a_token_permits_like_the_options(void **state) {
    static const struct {
        const char *channel, *user;
        bool may_subscribe;
    } rows[] = {
        {"none:1", "alice", true},       {"none:1", "", true},
        {"$none:1", "alice", false},     {"user:x#bob", "alice", false},
        {"user:x#alice", "alice", true}, {"user:x#", "", false},
    };
    const struct channel_options *o = NULL;
    struct rules r = make_rules();
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rules_actor actor = {str_of(rows[i].user), false, PERMIT_SUBSCRIBE};
        assert_int_equal(rules_find(&r, str_of(rows[i].channel), &o), RULES_OK);
        assert_int_equal(rules_may_subscribe(&r, o, str_of(rows[i].channel), &actor),
                         rows[i].may_subscribe);
        for (unsigned set = 0; set < 16; set++) {
            actor.permitted = set;
            assert_int_equal(rules_may_publish(&r, o, &actor), (set & PERMIT_PUBLISH) != 0);
            assert_int_equal(rules_may_read_presence(&r, o, &actor), (set & PERMIT_PRESENCE) != 0);
            assert_int_equal(rules_may_read_history(&r, o, &actor), (set & PERMIT_HISTORY) != 0);
        }
    }
}

static bool ask_publish(const struct rules *r, const struct channel_options *o, struct str channel,
                        const struct rules_actor *actor) {
    (void)channel;
    return rules_may_publish(r, o, actor);
}

static void publishing_follows_options_and_subscription(void **state) {
    static const struct row rows[] = {
        {"news", "alice", 1, false, true},      {"news", "", 1, false, true},
        {"chat:1", "alice", 0, false, true},    {"chat:1", "alice", 1, true, true},
        {"chat:1", "", 0, false, true},         {"chat:1", "", 1, false, true},
        {"open:1", "alice", 0, true, true},     {"open:1", "", 0, true, true},
        {"open:1", "", 1, true, true},          {"anon:1", "alice", 1, false, true},
        {"anon:1", "", 1, false, true},         {"pubs:1", "alice", 0, true, true},
        {"pubs:1", "", 0, false, true},         {"pubs:1", "", 1, false, true},
        {"subs:1", "alice", 0, false, true},    {"subs:1", "alice", 1, true, true},
        {"subs:1", "", 0, false, true},         {"subs:1", "", 1, true, true},
        {"none:1", "alice", 1, false, true},    {"$pubs:1", "alice", 0, true, true},
        {"pubs:x#bob", "alice", 0, true, true}, {"user:x#alice", "alice", 1, false, true},
    };
    (void)state;
    run_rows(ask_publish, rows, sizeof(rows) / sizeof(rows[0]));
}

/* Who may read is the same for presence and history, but for the namespaces that allow one of them.
 */
#define READERS                                                                                    \
    {"news", "alice", 1, false, true}, {"chat:1", "alice", 1, false, true},                        \
        {"open:1", "alice", 0, true, true}, {"open:1", "", 0, true, true},                         \
        {"anon:1", "", 1, false, true}, {"anon:1", "alice", 0, false, true},                       \
        {"pubs:1", "alice", 0, true, true}, {"pubs:1", "", 0, false, true},                        \
        {"subs:1", "alice", 0, false, true}, {"subs:1", "alice", 1, true, true},                   \
        {"subs:1", "", 0, false, true}, {                                                          \
        "subs:1", "", 1, true, true                                                                \
    }

static bool ask_presence(const struct rules *r, const struct channel_options *o, struct str channel,
                         const struct rules_actor *actor) {
    (void)channel;
    return rules_may_read_presence(r, o, actor);
}

static void presence_follows_options_and_subscription(void **state) {
    static const struct row rows[] = {
        READERS,
        {"pres:1", "alice", 1, true, true},
        {"pres:1", "alice", 0, false, true},
        {"pres:1", "", 1, false, true},
        {"none:1", "alice", 1, false, true},
    };
    (void)state;
    run_rows(ask_presence, rows, sizeof(rows) / sizeof(rows[0]));
}

static bool ask_history(const struct rules *r, const struct channel_options *o, struct str channel,
                        const struct rules_actor *actor) {
    (void)channel;
    return rules_may_read_history(r, o, actor);
}

static void history_follows_options_and_subscription(void **state) {
    static const struct row rows[] = {
        READERS,
        {"hist:1", "alice", 1, true, true},
        {"hist:1", "alice", 0, false, true},
        {"hist:1", "", 1, false, true},
        {"pres:1", "alice", 1, false, true},
    };
    (void)state;
    run_rows(ask_history, rows, sizeof(rows) / sizeof(rows[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_belongs_to_the_namespace_before_its_first_boundary),
        cmocka_unit_test(every_byte_outside_printable_ascii_is_refused),
        cmocka_unit_test(a_name_is_at_most_as_long_as_the_limit),
        cmocka_unit_test(a_pattern_is_held_against_what_follows_the_namespace),
        cmocka_unit_test(a_pattern_opens_other_characters_but_no_control_characters),
        cmocka_unit_test(a_user_has_a_personal_channel),
        cmocka_unit_test(boundaries_can_be_changed_and_switched_off),
        cmocka_unit_test(user_lists_follow_their_separators),
        cmocka_unit_test(subscribing_follows_name_and_options),
        cmocka_unit_test(a_token_permits_like_the_options),
        cmocka_unit_test(publishing_follows_options_and_subscription),
        cmocka_unit_test(presence_follows_options_and_subscription),
        cmocka_unit_test(history_follows_options_and_subscription),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
