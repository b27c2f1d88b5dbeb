/* Capabilities: what the claim may be, and what it permits where.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/capabilities.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct capabilities *read_text(struct str text, const char **fault) {
    struct json_value v;
    struct json_fault ignored;
    *fault = NULL;
    assert_true(json_scan_all(text, &v, &ignored));
    return capabilities_read(v, fault);
}

static const char claim[] =
    "[{\"channels\":[\"news\",\"cha\\u0074\"],\"allow\":[\"sub\",\"hst\"]},"
    "{\"channels\":[\"news:*\",\"r?\"],\"match\":\"wildcard\",\"allow\":[\"sub\"]},"
    "{\"channels\":[\"^l[0-9]+$\",\"part\"],\"match\":\"regex\",\"allow\":[\"pub\"],\"x\":1},"
    "{\"channels\":[\"news:a\",\"*\"],\"match\":\"\",\"allow\":[\"prs\"]},"
    "{\"channels\":[\"news:b\"],\"match\":null}]";

static void what_matches_is_united(void **state) {
    (void)state;
    static const struct {
        const char *channel;
        unsigned permissions;
    } rows[] = {
        {"news", PERMIT_SUBSCRIBE | PERMIT_HISTORY},
        {"chat", PERMIT_SUBSCRIBE | PERMIT_HISTORY},
        {"News", 0},
        {"newsx", 0},
        {"news:", PERMIT_SUBSCRIBE},
        {"news:a", PERMIT_SUBSCRIBE | PERMIT_PRESENCE},
        {"news:a:b", PERMIT_SUBSCRIBE},
        {"news:b", PERMIT_SUBSCRIBE},
        {"xnews:a", 0},
        {"r1", PERMIT_SUBSCRIBE},
        {"r\xc3\xa9", PERMIT_SUBSCRIBE}, /* one character */
        {"r", 0},
        {"r12", 0},
        {"l1", PERMIT_PUBLISH},
        {"l12", PERMIT_PUBLISH},
        {"l", 0},
        {"xl1", 0},
        {"a part of it", PERMIT_PUBLISH}, /* no ^, no $ */
        {"*", PERMIT_PRESENCE},           /* exactly so */
        {"anything", 0},
        {"", 0},
    };
    const char *fault;
    struct capabilities *c = read_text(str_of(claim), &fault);
    assert_true(c && !fault);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (capabilities_in(c, str_of(rows[i].channel)) != rows[i].permissions)
            fail_msg("%s", rows[i].channel);
    capabilities_destroy(c);
}

static void nothing_permits_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {"null", "[]", "[{\"channels\":[]}]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *fault;
        assert_null(read_text(str_of(texts[i]), &fault));
        assert_null(fault);
    }
    assert_int_equal(capabilities_in(NULL, STR("news")), 0);
    capabilities_destroy(NULL);
}

static void bad_claims_row_by_row(void **state) {
    (void)state;
    static const char *const texts[] = {
        "1",
        "{}",
        "\"*\"",
        "[1]",
        "[[]]",
        "[null]",
        "[{}]",
        "[{\"channels\":null,\"allow\":[\"sub\"]}]",
        "[{\"channels\":\"news\",\"allow\":[\"sub\"]}]",
        "[{\"channels\":[1]}]",
        "[{\"channels\":[null]}]",
        "[{\"channels\":[\"\"]}]",
        "[{\"channels\":[\"a\"],\"channels\":[\"b\"]}]",
        "[{\"channels\":[\"a\"],\"allow\":\"sub\"}]",
        "[{\"channels\":[\"a\"],\"allow\":[\"\"]}]",
        "[{\"channels\":[\"a\"],\"allow\":[\"SUB\"]}]",
        "[{\"channels\":[\"a\"],\"allow\":[\"sub\",\"all\"]}]",
        "[{\"channels\":[\"a\"],\"allow\":[7]}]",
        "[{\"channels\":[\"a\"],\"match\":\"exact\"}]",
        "[{\"channels\":[\"a\"],\"match\":\"Wildcard\"}]",
        "[{\"channels\":[\"a\"],\"match\":true}]",
        "[{\"channels\":[\"[a\"],\"match\":\"wildcard\"}]",
        "[{\"channels\":[\"a{b,c}\"],\"match\":\"wildcard\"}]",
        "[{\"channels\":[\"(a\"],\"match\":\"regex\"}]",
        "[{\"channels\":[\"a\"]},{\"channels\":[\"[\"],\"match\":\"regex\"}]",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *fault;
        if (read_text(str_of(texts[i]), &fault) || !fault)
            fail_msg("taken: %s", texts[i]);
    }
}

/* A list of names of one letter, so many of them; or of one name so long. */
static struct capabilities *read_many(unsigned count, unsigned bytes, const char *match,
                                      const char **fault) {
    struct buf text = {0};
    buf_add_z(&text, "[{\"allow\":[\"sub\"],\"match\":\"");
    buf_add_z(&text, match);
    buf_add_z(&text, "\",\"channels\":[");
    for (unsigned i = 0; i < count; i++) {
        buf_add_z(&text, i ? ",\"" : "\"");
        for (unsigned k = 0; k < bytes; k++)
            buf_add_char(&text, 'a');
        buf_add_char(&text, '"');
    }
    buf_add_z(&text, "]}]");
    struct capabilities *c = read_text(buf_str(&text), fault);
    buf_fini(&text);
    return c;
}

static void the_work_of_a_match_is_bounded(void **state) {
    (void)state;
    static const struct {
        unsigned count, bytes;
        const char *match;
        bool is_good;
    } rows[] = {{256, 1, "", true},       {257, 1, "", false},      {256, 3, "regex", true},
                {256, 4, "regex", false}, {1, 1000, "regex", true}, {1, 1001, "regex", false},
                {1, 5000, "", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault;
        struct capabilities *c = read_many(rows[i].count, rows[i].bytes, rows[i].match, &fault);
        assert_true(!c == !rows[i].is_good && !fault == rows[i].is_good);
        capabilities_destroy(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches_is_united),
        cmocka_unit_test(nothing_permits_nothing),
        cmocka_unit_test(bad_claims_row_by_row),
        cmocka_unit_test(the_work_of_a_match_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
