/* One line per event on stderr: `log_info("client closed id=%s reason=%s", ...)`, words then
 * key=value pairs.
 *
 * Levels: error (someone must act), warn (we degraded), info (start, stop, broker up or down),
 * debug (per connection). Format: human `2026-11-24T10:00:00.123Z INFO  client closed id=...` or
 * JSON `{"time":"...","level":"info","message":"client closed","id":"...","reason":"..."}`, the
 * latter made from the same call: the text before the first key=value pair is the message. Keys are
 * those of the format string, whatever the arguments contain: write the `key=` literally. A value
 * with a space, quote or equals sign in it is printed in quotes (quotes of the caller are welcome).
 * Control characters (CR, LF, ESC, ...) and invalid UTF-8 in the text are written as \xNN, so that
 * nothing a client sent can forge a line or reach a terminal. A line is cut at 2,048 bytes and is
 * written with one write(2).
 *
 * A line that may repeat goes through a struct log_limit: printed at most once per second, then
 * with left_out=N, the number of lines that were not printed.
 *
 * Never pass tokens, payloads or keys. Thread: any.
 */
#ifndef CARILLON_LOG_H
#define CARILLON_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_NONE };

/* To be called before threads start. */
void log_setup(enum log_level level, bool is_json);

bool log_is_on(enum log_level level);

/* debug, info, warn, error, none; false leaves *out untouched. Also takes Centrifugo's trace (as
 * debug) and fatal (as error). */
bool log_level_parse(const char *name, enum log_level *out);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_is_on(LOG_DEBUG))                                                                  \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
    } while (0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* A zeroed one is ready. One per place that may repeat. */
struct log_limit {
    _Atomic uint64_t next_ms;
    _Atomic uint64_t left_out;
};

/* As log_line, but at most once per second for each limit. */
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
