/* Memory that never fails: what is given, and that it aborts with one line instead of failing.
 *
 * Thread: main; the abort happens in a child. Owns: nothing.
 */
#include "server/base/mem.c"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

static void zeroed_memory_is_zero(void **state) {
    (void)state;
    static const char zeros[300];
    char *p = mem_zalloc(300);
    assert_memory_equal(p, zeros, 300);
    mem_free(p);
    p = mem_array(3, 100);
    assert_memory_equal(p, zeros, 300);
    mem_free(p);
}

static void no_bytes_is_no_failure(void **state) {
    (void)state;
    void *gifts[] = {mem_alloc(0),
                     mem_zalloc(0),
                     mem_array(0, 8),
                     mem_array(8, 0),
                     mem_realloc(mem_alloc(8), 0),
                     mem_strndup(NULL, 0)};
    for (size_t i = 0; i < sizeof(gifts) / sizeof(gifts[0]); i++) {
        assert_non_null(gifts[i]);
        mem_free(gifts[i]);
    }
    mem_free(NULL);
}

static void reallocating_keeps_the_content(void **state) {
    (void)state;
    char *p = mem_realloc(NULL, 4);
    memcpy(p, "abc", 4);
    p = mem_realloc(p, 100000);
    assert_string_equal(p, "abc");
    mem_free(p);
}

static void a_copy_has_exactly_n_bytes(void **state) {
    (void)state;
    char *copy = mem_strndup("a\0bcd", 4);
    assert_memory_equal(copy, "a\0bc", 5);
    mem_free(copy);
}

/* In a child, with the pipe as stderr. */
static void overflow(int to) {
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(to, STDERR_FILENO);
    volatile size_t count = SIZE_MAX / 2;
    mem_free(mem_array(count, 3));
    _exit(0);
}

static void an_impossible_size_aborts_with_one_line(void **state) {
    (void)state;
    static const char want[] = "carillon: out of memory\n";
    int ends[2], status;
    char line[100] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        overflow(ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], line, sizeof(line)), sizeof(want) - 1);
    assert_string_equal(line, want);
    assert_int_equal(read(ends[0], line, sizeof(line)), 0);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(no_bytes_is_no_failure),
        cmocka_unit_test(reallocating_keeps_the_content),
        cmocka_unit_test(a_copy_has_exactly_n_bytes),
        cmocka_unit_test(an_impossible_size_aborts_with_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
