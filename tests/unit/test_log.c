/* The log: form of a line, what clients cannot forge, the cut at 2,048 bytes, repeated lines.
 *
 * stderr is a file in memory while a test runs, and the clock is ours: 2026-11-24T10:00:00.123Z.
 * Lines in JSON are judged by jansson.
 *
 * Thread: main. Owns: the file.
 */
#include "server/base/log.c"

#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <jansson.h>

#define HUMAN_TIME "2026-11-24T10:00:00.123Z "
#define JSON_TIME "{\"time\":\"2026-11-24T10:00:00.123Z\","

static uint64_t now_ms;
static int file = -1, real_stderr = -1;

uint64_t clock_now_ms(void) {
    return now_ms;
}

int64_t clock_wall_ms(void) {
    return 1795514400123;
}

static int redirect(void **state) {
    (void)state;
    now_ms = 5000;
    real_stderr = dup(STDERR_FILENO);
    file = memfd_create("log", MFD_CLOEXEC);
    return file < 0 || dup2(file, STDERR_FILENO) < 0;
}

static int restore(void **state) {
    (void)state;
    int failed = dup2(real_stderr, STDERR_FILENO) < 0;
    close(real_stderr);
    close(file);
    log_setup(LOG_INFO, false);
    return failed;
}

/* What was logged since the last call; valid until the next one. */
static const char *taken(void) {
    static char text[8192];
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    return text;
}

static json_t *taken_json(void) {
    const char *text = taken();
    json_error_t error;
    json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!tree)
        fail_msg("%s: %s", error.text, text);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    return tree;
}

static void assert_member(const json_t *tree, const char *key, const char *want) {
    const char *got = json_string_value(json_object_get(tree, key));
    assert_non_null(got);
    assert_string_equal(got, want);
}

static void a_line_is_time_level_words_and_pairs(void **state) {
    (void)state;
    log_setup(LOG_DEBUG, false);
    log_info("client closed id=%s bytes=%zu", "c1", (size_t)12);
    assert_string_equal(taken(), HUMAN_TIME "INFO  client closed id=c1 bytes=12\n");
    log_debug("x");
    assert_string_equal(taken(), HUMAN_TIME "DEBUG x\n");
    log_warn("x");
    assert_string_equal(taken(), HUMAN_TIME "WARN  x\n");
    log_error("100%% of a=b");
    assert_string_equal(taken(), HUMAN_TIME "ERROR 100% of a=b\n");
}

static void the_same_call_gives_json(void **state) {
    (void)state;
    log_setup(LOG_DEBUG, true);
    log_info("client closed id=%s reason=\"%s\" n.max=%d", "c1", "no pong", 5);
    assert_string_equal(taken(),
                        JSON_TIME "\"level\":\"info\",\"message\":\"client closed\","
                                  "\"id\":\"c1\",\"reason\":\"no pong\",\"n.max\":\"5\"}\n");
    log_debug("only words");
    assert_string_equal(taken(), JSON_TIME "\"level\":\"debug\",\"message\":\"only words\"}\n");
    log_warn("id=%d", 1);
    assert_string_equal(taken(), JSON_TIME "\"level\":\"warn\",\"message\":\"\",\"id\":\"1\"}\n");
    log_error("%s", "");
    assert_string_equal(taken(), JSON_TIME "\"level\":\"error\",\"message\":\"\"}\n");
}

static void quotes_are_put_where_needed(void **state) {
    (void)state;
    log_info("m a=%s b=\"%s\" c=%s d=%s e=%s f=\"x=1 y=2\" g=", "two words", "one", "a\"b", "\\",
             "k=v");
    assert_string_equal(taken(), HUMAN_TIME "INFO  m a=\"two words\" b=\"one\" c=\"a\\\"b\" d=\\ "
                                            "e=\"k=v\" f=\"x=1 y=2\" g=\n");
}

static void a_level_below_the_lowest_is_silent(void **state) {
    (void)state;
    log_setup(LOG_WARN, false);
    assert_false(log_is_on(LOG_INFO));
    assert_true(log_is_on(LOG_WARN));
    log_info("x");
    log_debug("x");
    assert_string_equal(taken(), "");
    log_setup(LOG_NONE, false);
    log_error("x");
    log_line(LOG_NONE, "x");
    assert_false(log_is_on(LOG_NONE));
    assert_string_equal(taken(), "");
}

static void levels_have_names(void **state) {
    (void)state;
    enum log_level level = LOG_WARN;
    assert_false(log_level_parse("Info", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_WARN);
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("info", &level) && level == LOG_INFO);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_true(log_level_parse("none", &level) && level == LOG_NONE);
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_true(log_level_parse("trace", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("fatal", &level) && level == LOG_ERROR);
}

static void control_bytes_are_printed_as_hex(void **state) {
    (void)state;
    log_info("m a=%s", "x\r\n2026-11-24T10:00:00.123Z ERROR forged\x1b[2J\x7f\t");
    assert_string_equal(taken(), HUMAN_TIME "INFO  m a=\"x\\x0d\\x0a2026-11-24T10:00:00.123Z ERROR "
                                            "forged\\x1b[2J\\x7f\\x09\"\n");
    /* In the words too. C1 controls are UTF-8 and yet obeyed by terminals. */
    log_info("%s", "a\nb\xc2\x9b"
                   "31m \xc2\xa0");
    assert_string_equal(taken(), HUMAN_TIME "INFO  a\\x0ab\\xc2\\x9b31m \xc2\xa0\n");
}

static void control_bytes_stay_visible_in_json(void **state) {
    (void)state;
    log_setup(LOG_INFO, true);
    log_info("m\x1b a=%s", "x\",\"level\":\"error\"\r\n\\");
    json_t *tree = taken_json();
    assert_int_equal(json_object_size(tree), 4);
    assert_member(tree, "level", "info");
    assert_member(tree, "message", "m\\x1b");
    assert_member(tree, "a", "x\",\"level\":\"error\"\\x0d\\x0a\\");
    json_decref(tree);
}

static void invalid_utf8_is_printed_as_hex(void **state) {
    (void)state;
    static const char *const text = "\xff \xc3\xa9 \xc3( \xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x82";
    log_info("%s", text);
    assert_string_equal(taken(), HUMAN_TIME "INFO  \\xff \xc3\xa9 \\xc3( \\xed\\xa0\\x80 "
                                            "\xf0\x9f\x98\x80 \\xe2\\x82\n");
    log_setup(LOG_INFO, true);
    log_info("m a=%s", text);
    json_t *tree = taken_json();
    assert_member(tree, "a", "\\xff \xc3\xa9 \\xc3( \\xed\\xa0\\x80 \xf0\x9f\x98\x80 \\xe2\\x82");
    json_decref(tree);
}

static void an_argument_adds_no_pair(void **state) {
    (void)state;
    static const char *const names[] = {
        "bob level=error admin=true",
        "bob\" level=\"error",
        "bob\x1flevel=error",
    };
    for (size_t i = 0; i < 3; i++) {
        log_setup(LOG_INFO, true);
        log_info("client connected user=%s id=%d", names[i], 7);
        json_t *tree = taken_json();
        assert_member(tree, "level", "info");
        assert_null(json_object_get(tree, "admin"));
        json_decref(tree);
        log_setup(LOG_INFO, false);
        log_info("client connected user=%s id=%d", names[i], 7);
        assert_null(strchr(taken(), '\x1f'));
    }
    /* The second one, as people see it. */
    log_info("client connected user=%s id=%d", names[1], 7);
    assert_string_equal(taken(), HUMAN_TIME
                        "INFO  client connected user=\"bob\\\" level=\\\"error\" id=7\n");
    /* With our own mark in it, nothing is split and nothing is lost. */
    log_info("client connected user=%s id=%d", names[2], 7);
    assert_string_equal(taken(),
                        HUMAN_TIME "INFO  client connected user=bob\\x1flevel=error id=7\n");
}

/* Units of one kind, after n bytes that bring the cut to each place within one. */
static void assert_is_cut_between(const char *unit, const char *printed, bool json) {
    char text[4096];
    log_setup(LOG_INFO, json);
    for (size_t n = 0; n < 8; n++) {
        memset(text, 'x', n);
        char *repeated = text + n;
        for (; repeated + strlen(unit) < text + sizeof(text) - 1; repeated += strlen(unit))
            memcpy(repeated, unit, strlen(unit));
        *repeated = '\0';
        log_info("m a=%s b=%d", text, 1);
        const char *line = taken();
        size_t length = strlen(line), tail = json ? 3 : unit[0] == '"' ? 2 : 1;
        assert_in_range(length, LINE_BYTES - CLOSING_BYTES - strlen(printed), LINE_BYTES);
        assert_string_equal(line + length - tail, json ? "\"}\n" : tail == 2 ? "\"\n" : "\n");
        assert_memory_equal(line + length - tail - strlen(printed), printed, strlen(printed));
        assert_null(strstr(line, "b="));
        json_t *tree = json ? json_loads(line, 0, NULL) : json_object();
        assert_non_null(tree);
        json_decref(tree);
    }
}

static void a_line_is_cut_but_never_within_a_character(void **state) {
    (void)state;
    assert_is_cut_between("y", "y", false);
    assert_is_cut_between("y", "y", true);
    assert_is_cut_between("\n", "\\x0a", false);
    assert_is_cut_between("\n", "\\\\x0a", true);
    assert_is_cut_between("\"", "\\\"", false);
    assert_is_cut_between("\"", "\\\"", true);
    assert_is_cut_between("\\", "\\\\", true);
    assert_is_cut_between("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", false);
    assert_is_cut_between("\xe2\x82\xac", "\xe2\x82\xac", true);
}

/* The message is as long as puts the cut at each place of what follows it. */
static void json_stays_valid_wherever_it_is_cut(void **state) {
    (void)state;
    char words[LINE_BYTES + 1];
    log_setup(LOG_INFO, true);
    for (size_t n = LINE_BYTES - 200; n < sizeof(words); n++) {
        memset(words, 'w', n);
        words[n] = '\0';
        log_info("%s id=%s reason=\"%s\"", words, "c1", "no\npong");
        const char *text = taken();
        assert_in_range(strlen(text), n < LINE_BYTES ? n : LINE_BYTES, LINE_BYTES);
        json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(tree);
        assert_member(tree, "level", "info");
        json_decref(tree);
    }
}

static void a_text_beyond_the_buffer_is_cut_too(void **state) {
    (void)state;
    static char words[100000];
    memset(words, 'w', sizeof(words) - 1);
    log_info("%s a=%d", words, 1);
    assert_in_range(strlen(taken()), LINE_BYTES - CLOSING_BYTES, LINE_BYTES);
}

static void repeated_lines_are_counted(void **state) {
    (void)state;
    struct log_limit limit = {0}, another = {0};
    log_limited(&limit, LOG_WARN, "slow id=%d", 1);
    assert_string_equal(taken(), HUMAN_TIME "WARN  slow id=1\n");
    for (int i = 0; i < 5; i++)
        log_limited(&limit, LOG_WARN, "slow id=%d", 2);
    now_ms += 999;
    log_limited(&limit, LOG_WARN, "slow id=%d", 3);
    assert_string_equal(taken(), "");
    log_limited(&another, LOG_WARN, "other");
    assert_string_equal(taken(), HUMAN_TIME "WARN  other\n");
    now_ms += 1;
    log_limited(&limit, LOG_WARN, "slow id=%d", 4);
    assert_string_equal(taken(), HUMAN_TIME "WARN  slow left_out=6 id=4\n");
    now_ms += 1000;
    log_limited(&limit, LOG_WARN, "slow id=%d", 5);
    assert_string_equal(taken(), HUMAN_TIME "WARN  slow id=5\n");
    /* What is off anyway is not left out. */
    log_limited(&limit, LOG_DEBUG, "slow");
    assert_int_equal(limit.left_out, 0);
}

static void errno_is_kept_and_printed(void **state) {
    (void)state;
    errno = EADDRINUSE;
    log_error("cannot listen: %m port=%d", 8000);
    assert_string_equal(taken(),
                        HUMAN_TIME "ERROR cannot listen: Address already in use port=8000\n");
    /* Also when the line cannot be written. */
    close(STDERR_FILENO);
    errno = EADDRINUSE;
    log_error("x");
    assert_int_equal(errno, EADDRINUSE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_time_level_words_and_pairs, redirect, restore),
        cmocka_unit_test_setup_teardown(the_same_call_gives_json, redirect, restore),
        cmocka_unit_test_setup_teardown(quotes_are_put_where_needed, redirect, restore),
        cmocka_unit_test_setup_teardown(a_level_below_the_lowest_is_silent, redirect, restore),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test_setup_teardown(control_bytes_are_printed_as_hex, redirect, restore),
        cmocka_unit_test_setup_teardown(control_bytes_stay_visible_in_json, redirect, restore),
        cmocka_unit_test_setup_teardown(invalid_utf8_is_printed_as_hex, redirect, restore),
        cmocka_unit_test_setup_teardown(an_argument_adds_no_pair, redirect, restore),
        cmocka_unit_test_setup_teardown(a_line_is_cut_but_never_within_a_character, redirect,
                                        restore),
        cmocka_unit_test_setup_teardown(json_stays_valid_wherever_it_is_cut, redirect, restore),
        cmocka_unit_test_setup_teardown(a_text_beyond_the_buffer_is_cut_too, redirect, restore),
        cmocka_unit_test_setup_teardown(repeated_lines_are_counted, redirect, restore),
        cmocka_unit_test_setup_teardown(errno_is_kept_and_printed, redirect, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
