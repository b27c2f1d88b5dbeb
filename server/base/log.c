/* The log: see log.h.
 *
 * The keys come from the format alone, never from what is printed: mark_keys() puts a mark before
 * each key of the format, and the formatted text is split at the marks. A text that could contain
 * the mark itself is printed whole, as message. So a client that calls itself `x level=error`
 * forges nothing: its name is one value, printed in quotes.
 *
 * A line is built from units (a character, an escape, the opening of a member) that are added whole
 * or not at all; after the first that does not fit, the rest is left out. What closes a line always
 * fits.
 *
 * Thread: any; level and format are set before threads start. Owns: nothing.
 */
#include "server/base/log.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048
/* A closing quote, a closing brace, the newline. */
#define CLOSING_BYTES 3
/* No key or message of ours has it (unit separator). */
#define MARK '\x1f'
#define FORMAT_BYTES 1024

static enum log_level lowest = LOG_INFO;
static bool is_json;

struct line {
    char bytes[LINE_BYTES];
    size_t n;
    bool is_full;
};

/* Adds all of s or nothing, and nothing more after that. */
static void add(struct line *l, struct str s) {
    if (l->n + s.n > LINE_BYTES - CLOSING_BYTES)
        l->is_full = true;
    if (l->is_full)
        return;
    memcpy(l->bytes + l->n, s.p, s.n);
    l->n += s.n;
}

static void close_with(struct line *l, char c) {
    assert(l->n < LINE_BYTES);
    l->bytes[l->n++] = c;
}

/* Bytes of the character at the start of s that is safe to print; 0 for control characters (also
 * the ones above 0x7f, which terminals obey) and for what is no UTF-8. */
static size_t printable_length(struct str s) {
    unsigned char first = (unsigned char)s.p[0];
    size_t length = str_utf8_length(s);
    if (first < 0x20 || first == 0x7f)
        return 0;
    if (first == 0xc2 && length == 2 && (unsigned char)s.p[1] < 0xa0)
        return 0;
    return length;
}

/* Adds text with control bytes as \xNN; in quotes, quote and backslash get a backslash. The
 * backslash of \xNN is itself one that JSON doubles. */
static void add_text(struct line *l, struct str s, bool in_quotes) {
    while (s.n && !l->is_full) {
        size_t length = printable_length(s);
        char escape[8];
        if (length == 0) {
            int n = snprintf(escape, sizeof(escape), "%s\\x%02x", is_json ? "\\" : "",
                             (unsigned)(unsigned char)s.p[0]);
            add(l, (struct str){escape, (size_t)n});
            length = 1;
        } else if (in_quotes && (*s.p == '"' || *s.p == '\\')) {
            add(l, (struct str){(char[]){'\\', *s.p}, 2});
        } else {
            add(l, str_slice(s, 0, length));
        }
        s = str_slice(s, length, s.n);
    }
}

static bool needs_quotes(struct str value) {
    return str_find(value, ' ') < value.n || str_find(value, '"') < value.n ||
           str_find(value, '=') < value.n;
}

/* The unit that opens a member, or nothing when it does not fit. */
static bool open_member(struct line *l, struct str key, bool has_quotes) {
    char opening[FORMAT_BYTES + 8];
    const char *format = is_json ? ",\"%.*s\":\"" : has_quotes ? " %.*s=\"" : " %.*s=";
    int n = snprintf(opening, sizeof(opening), format, STR_ARG(key));
    add(l, (struct str){opening, (size_t)n});
    return !l->is_full;
}

/* `pair` is key=value; the quotes the caller may have put around the value are ours to print. */
static void add_pair(struct line *l, struct str pair) {
    size_t equals = str_find(pair, '=');
    struct str value = str_slice(pair, equals + 1, pair.n);
    bool has_quotes = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
    if (has_quotes)
        value = str_slice(value, 1, value.n - 1);
    has_quotes = has_quotes || is_json || needs_quotes(value);
    if (!open_member(l, str_slice(pair, 0, equals), has_quotes))
        return;
    add_text(l, value, has_quotes);
    if (has_quotes)
        close_with(l, '"');
}

static void add_time_and_level(struct line *l, enum log_level level) {
    static const char *const padded[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    static const char *const names[] = {"debug", "info", "warn", "error"};
    int64_t now_ms = clock_wall_ms();
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm tm;
    char date[32], head[128];
    gmtime_r(&now_s, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    int n;
    if (is_json)
        n = snprintf(head, sizeof(head), "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"message\":\"",
                     date, (int)(now_ms % 1000), names[level]);
    else
        n = snprintf(head, sizeof(head), "%s.%03dZ %s ", date, (int)(now_ms % 1000), padded[level]);
    add(l, (struct str){head, (size_t)n});
}

/* pairs is MARK and a pair, any number of times. */
static void write_line(enum log_level level, uint64_t left_out, struct str message,
                       struct str pairs) {
    struct line l = {.n = 0};
    add_time_and_level(&l, level);
    add_text(&l, message, is_json);
    if (is_json)
        close_with(&l, '"');
    if (left_out) {
        char pair[40];
        snprintf(pair, sizeof(pair), "left_out=%" PRIu64, left_out);
        add_pair(&l, str_of(pair));
    }
    while (pairs.n) {
        pairs = str_slice(pairs, 1, pairs.n);
        size_t end = str_find(pairs, MARK);
        add_pair(&l, str_slice(pairs, 0, end));
        pairs = str_slice(pairs, end, pairs.n);
    }
    if (is_json)
        close_with(&l, '}');
    close_with(&l, '\n');
    /* Nobody to tell when that fails. */
    ssize_t written = write(STDERR_FILENO, l.bytes, l.n);
    (void)written;
}

static bool is_key_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* Bytes of the `key=` at the start of z, 0 when there is none. */
static size_t key_length(const char *z) {
    size_t n = 0;
    while (is_key_char(z[n]))
        n++;
    return n && z[n] == '=' ? n + 1 : 0;
}

/* Copies a format and puts MARK before each key, in place of the space there. */
static void mark_keys(const char *format, char *out) {
    bool is_word_start = true, in_quotes = false;
    assert(strlen(format) < FORMAT_BYTES - 1);
    if (key_length(format))
        *out++ = MARK;
    for (const char *z = format; *z; z++) {
        bool is_key = z > format && is_word_start && !in_quotes && key_length(z);
        if (is_key)
            out[-1] = MARK;
        *out++ = *z;
        is_word_start = *z == ' ';
        in_quotes ^= *z == '"';
    }
    *out = '\0';
}

static void format_line(enum log_level level, uint64_t left_out, const char *format, va_list args) {
    char marked[FORMAT_BYTES + 1], text[2 * LINE_BYTES];
    int old_errno = errno;
    va_list again;
    va_copy(again, args);
    vsnprintf(text, sizeof(text), format, args);
    if (strchr(text, MARK)) {
        /* From an argument: no telling which marks would be ours. */
        write_line(level, left_out, str_of(text), STR_NONE);
    } else {
        mark_keys(format, marked);
        vsnprintf(text, sizeof(text), marked, again);
        struct str whole = str_of(text);
        size_t end = str_find(whole, MARK);
        write_line(level, left_out, str_slice(whole, 0, end), str_slice(whole, end, whole.n));
    }
    va_end(again);
    errno = old_errno;
}

void log_setup(enum log_level level, bool json) {
    lowest = level;
    is_json = json;
}

bool log_is_on(enum log_level level) {
    return level >= lowest && level < LOG_NONE;
}

bool log_level_parse(const char *name, enum log_level *out) {
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"debug", LOG_DEBUG}, {"info", LOG_INFO},   {"warn", LOG_WARN},   {"error", LOG_ERROR},
        {"none", LOG_NONE},   {"trace", LOG_DEBUG}, {"fatal", LOG_ERROR},
    };
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(levels[i].name, name) == 0) {
            *out = levels[i].level;
            return true;
        }
    return false;
}

void log_line(enum log_level level, const char *format, ...) {
    if (!log_is_on(level))
        return;
    va_list args;
    va_start(args, format);
    format_line(level, 0, format, args);
    va_end(args);
}

/* True for one caller per second; then *left_out is how many were refused since the last one. */
static bool take_turn(struct log_limit *limit, uint64_t *left_out) {
    uint64_t now_ms = clock_now_ms(), next_ms = atomic_load(&limit->next_ms);
    if (now_ms < next_ms ||
        !atomic_compare_exchange_strong(&limit->next_ms, &next_ms, now_ms + 1000)) {
        atomic_fetch_add(&limit->left_out, 1);
        return false;
    }
    *left_out = atomic_exchange(&limit->left_out, 0);
    return true;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...) {
    uint64_t left_out;
    if (!log_is_on(level) || !take_turn(limit, &left_out))
        return;
    va_list args;
    va_start(args, format);
    format_line(level, left_out, format, args);
    va_end(args);
}
