/* See report.h.
 *
 * Thread: main.
 */
#include "server/doctor/report.h"

#include "server/base/json_scan.h"
#include "server/config/config_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEN_BYTES_MAX = 1500 };

static const char *const words[VERDICT_COUNT] = {"ok", "skip", "warn", "FAIL"};

static void add_json(struct report *r, enum verdict v, const char *check, struct str seen) {
    buf_printf(&r->json, "%s{\"check\":\"%s\",\"result\":\"%s\",\"seen\":", r->json.n ? "," : "",
               check, v == VERDICT_FAIL ? "fail" : words[v]);
    json_add_string(&r->json, seen);
}

void report_add(struct report *r, enum verdict v, const char *check, const char *advice,
                const char *format, ...) {
    char text[SEEN_BYTES_MAX];
    struct buf seen = {0}, what = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    config_print_safe(&seen, str_of(text), SEEN_BYTES_MAX);
    if (advice)
        config_print_safe(&what, str_of(advice), SEEN_BYTES_MAX);
    r->counts[v]++;
    if (r->is_json) {
        add_json(r, v, check, buf_str(&seen));
        if (advice)
            buf_add_z(&r->json, ",\"do\":");
        if (advice)
            json_add_string(&r->json, buf_str(&what));
        buf_add_char(&r->json, '}');
    } else {
        printf("%-4s  %-11s %.*s%s%.*s\n", words[v], check, STR_ARG(buf_str(&seen)),
               advice ? " -> " : "", STR_ARG(buf_str(&what)));
        fflush(stdout);
    }
    buf_fini(&seen);
    buf_fini(&what);
}

int report_end(struct report *r) {
    bool is_bad = r->counts[VERDICT_FAIL] > 0;
    if (r->is_json)
        printf("{\"result\":\"%s\",\"checks\":[%.*s]}\n", is_bad ? "fail" : "ok",
               STR_ARG(buf_str(&r->json)));
    else
        printf("%u ok, %u to look at, %u failed, %u not checked\n", r->counts[VERDICT_OK],
               r->counts[VERDICT_WARN], r->counts[VERDICT_FAIL], r->counts[VERDICT_SKIP]);
    return fflush(stdout) == 0 && !is_bad ? EXIT_SUCCESS : EXIT_FAILURE;
}

void report_fini(struct report *r) {
    buf_fini(&r->json);
}
