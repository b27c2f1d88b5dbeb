/* What OAuth scopes permit, and what a line of the table may be.
 *
 * Thread: main. Owns: nothing.
 */
#include "auth/scopes.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void lines_row_by_row(void **state) {
    (void)state;
    static const struct {
        const char *line;
        bool is_good;
    } rows[] = {
        {"chat.read=sub+hst=chat:*", true},
        {"https://a.example/chat=sub=*", true},
        {"a=sub+pub+prs+hst=a=b", true},
        {"a=sub+sub=a", true},
        {"", false},
        {"a", false},
        {"a=sub", false},
        {"a=sub=", false},
        {"=sub=a", false},
        {"a==a", false},
        {"a=all=a", false},
        {"a=sub+=a", true}, /* nothing behind the last + */
        {"a=+sub=a", false},
        {"a=SUB=a", false},
        {"a=sub=[a", false},
        {"a b=sub=a", false},
        {"a\"=sub=a", false},
        {"\xc3\xa9=sub=a", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (scopes_check(str_of(rows[i].line)) != rows[i].is_good)
            fail_msg("%s", rows[i].line);
}

static void scopes_permit_what_their_lines_say(void **state) {
    (void)state;
    char *lines[] = {"read=sub+hst=chat:*", "write=pub=chat:*", "read=sub=news", "all=prs=*"};
    static const struct {
        const char *scope, *channel;
        unsigned permissions;
    } rows[] = {
        {"read", "chat:a", PERMIT_SUBSCRIBE | PERMIT_HISTORY},
        {"read write", "chat:a", PERMIT_SUBSCRIBE | PERMIT_HISTORY | PERMIT_PUBLISH},
        {"write", "chat:a", PERMIT_PUBLISH},
        {"openid read profile", "news", PERMIT_SUBSCRIBE},
        {"read", "newsx", 0},
        {"read all", "other", PERMIT_PRESENCE},
        {"  all  ", "other", PERMIT_PRESENCE},
        {"READ", "news", 0},
        {"reader", "news", 0},
        {"rea", "news", 0},
        {"read,all", "news", 0},
        {"", "news", 0},
    };
    struct scopes *s = scopes_create(lines, 4);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t found = scopes_find(s, str_of(rows[i].scope));
        if (scopes_in(s, found, str_of(rows[i].channel)) != rows[i].permissions)
            fail_msg("%s in %s", rows[i].scope, rows[i].channel);
    }
    scopes_destroy(s);
}

static void sixty_four_lines_are_told_apart(void **state) {
    (void)state;
    char texts[SCOPES_MAX][32];
    char *lines[SCOPES_MAX];
    for (int i = 0; i < SCOPES_MAX; i++) {
        lines[i] = texts[i];
        snprintf(texts[i], sizeof(texts[i]), "s%d=sub=c%d", i, i);
    }
    struct scopes *s = scopes_create(lines, SCOPES_MAX);
    assert_int_equal(scopes_in(s, scopes_find(s, STR("s63")), STR("c63")), PERMIT_SUBSCRIBE);
    assert_int_equal(scopes_in(s, scopes_find(s, STR("s63")), STR("c0")), 0);
    assert_int_equal(scopes_in(s, scopes_find(s, STR("s0 s31")), STR("c31")), PERMIT_SUBSCRIBE);
    scopes_destroy(s);
    assert_null(scopes_create(NULL, 0));
    assert_int_equal(scopes_in(NULL, UINT64_MAX, STR("a")), 0);
    scopes_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_row_by_row),
        cmocka_unit_test(scopes_permit_what_their_lines_say),
        cmocka_unit_test(sixty_four_lines_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
