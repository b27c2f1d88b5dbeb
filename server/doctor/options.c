/* See options.h.
 *
 * Thread: main.
 */
#include "server/doctor/options.h"

#include "auth/token.h"
#include "server/base/word.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_S = 5, TIMEOUT_MAX_S = 60, IDLE_MAX_S = 3600 };

const char doctor_usage[] =
    "Usage: carillon doctor URL [OPTION ...]\n"
    "\n"
    "Finds out why clients do not connect. URL is what they use, such as\n"
    "wss://example.com/connection/websocket, or https://example.com.\n"
    "\n"
    "  --origin ORIGIN     the page's scheme, host and port, as browsers send it:\n"
    "                      https://example.com\n"
    "  --token-file FILE   a connection token; or set CARILLON_TOKEN, or --token - and stdin,\n"
    "                      or --token TOKEN, which others on this machine may see\n"
    "  --ca FILE           certificates to trust, PEM, instead of the system's\n"
    "  --insecure          go on with a certificate that is not trusted\n"
    "  --idle SECONDS      how long a quiet connection is watched; the server's ping interval\n"
    "                      and 5 s without it; 0: not at all\n"
    "  --timeout SECONDS   for each step; 5 without it\n"
    "  -c, --config FILE   the server's configuration: to check the token with its keys, and for\n"
    "                      handler prefixes that were changed\n"
    "  --json              one JSON document instead of lines\n"
    "\n"
    "Exit status: 0 all is well, 1 a check failed, 2 wrong usage.\n";

struct words {
    const char *token, *token_file, *idle, *timeout;
};

static bool complain(const char *what, const char *why) {
    fprintf(stderr, "carillon doctor: %s %s\nsee carillon doctor --help\n", what, why);
    return false;
}

/* --- words ------------------------------------------------------------------------------------ */

static bool take_value(struct doctor_options *o, struct words *w, char **argv, int *at) {
    return word_take(argv, at, "--origin", &o->origin) ||
           word_take(argv, at, "--ca", &o->ca_file) ||
           word_take(argv, at, "--config", &o->config_file) ||
           word_take(argv, at, "-c", &o->config_file) ||
           word_take(argv, at, "--token-file", &w->token_file) ||
           word_take(argv, at, "--token", &w->token) || word_take(argv, at, "--idle", &w->idle) ||
           word_take(argv, at, "--timeout", &w->timeout);
}

static bool take_flag(struct doctor_options *o, const char *word) {
    bool *flag = NULL;
    if (!strcmp(word, "--insecure"))
        flag = &o->is_insecure;
    else if (!strcmp(word, "--json"))
        flag = &o->is_json;
    else if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        flag = &o->wants_help;
    if (flag)
        *flag = true;
    return flag != NULL;
}

/* A word that nobody knows may be a token: it is not repeated. */
static bool read_words(struct doctor_options *o, struct words *w, int argc, char **argv) {
    for (int at = 0; at < argc; at++) {
        const char *word = argv[at];
        if (take_flag(o, word))
            continue;
        if (take_value(o, w, argv, &at)) {
            if (at == argc)
                return complain(word, "needs a value");
        } else if (word[0] == '-' || o->url) {
            fprintf(stderr, "carillon doctor: word %d is no option\nsee carillon doctor --help\n",
                    at + 1);
            return false;
        } else {
            o->url = word;
        }
    }
    return true;
}

static bool read_seconds(const char *word, uint64_t max, uint32_t *out) {
    uint64_t n;
    if (!word)
        return true;
    if (!str_to_u64(str_of(word), &n) || n > max)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* --- the token -------------------------------------------------------------------------------- */

static void read_stream(FILE *f, struct buf *token) {
    const size_t max_bytes = TOKEN_MAX_BYTES + 100; /* enough to see that it is too long */
    size_t n = fread(buf_reserve(token, max_bytes), 1, max_bytes, f);
    while (n > 0 && strchr(" \t\r\n", token->p[n - 1]))
        n--;
    token->n = n;
}

static bool read_file(const char *path, struct buf *token) {
    FILE *f = fopen(path, "re");
    if (!f)
        return complain("--token-file", "cannot be read");
    read_stream(f, token);
    fclose(f);
    return true;
}

/* What stands on the command line is in the process list: only as long as it must. */
static void take_over(const char *word, struct buf *token) {
    char *secret = (char *)(uintptr_t)word;
    buf_add_z(token, word);
    memset(secret, 0, strlen(secret));
}

static bool read_token(struct doctor_options *o, const struct words *w) {
    const char *from_env = getenv("CARILLON_TOKEN");
    if (w->token && strcmp(w->token, "-") != 0)
        take_over(w->token, &o->token);
    else if (w->token)
        read_stream(stdin, &o->token);
    else if (w->token_file && !read_file(w->token_file, &o->token))
        return false;
    else if (!w->token_file && from_env)
        take_over(from_env, &o->token);
    unsetenv("CARILLON_TOKEN");
    for (size_t i = 0; i < o->token.n; i++)
        if (o->token.p[i] <= 0x20 || o->token.p[i] > 0x7e || strchr("\"\\", o->token.p[i]))
            return complain("the token", "has a character that no token has");
    if ((w->token || w->token_file) && o->token.n == 0)
        return complain("the token", "is empty");
    return o->token.n <= TOKEN_MAX_BYTES ||
           complain("the token", "is longer than 8192 bytes, which no server takes");
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool is_one_line(const char *text) {
    for (const char *p = text ? text : ""; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p > 0x7e)
            return false;
    return true;
}

bool doctor_options_read(struct doctor_options *o, int argc, char **argv) {
    struct words w = {0};
    uint32_t timeout_s = TIMEOUT_S;
    *o = (struct doctor_options){.idle_s = UINT32_MAX};
    if (!read_words(o, &w, argc, argv))
        return false;
    if (o->wants_help)
        return true;
    if (!o->url)
        return complain("the URL", "is missing");
    if (!is_one_line(o->origin) || (o->origin && !strstr(o->origin, "://")))
        return complain("--origin", "must be scheme://host[:port], such as https://example.com");
    if (!read_seconds(w.idle, IDLE_MAX_S, &o->idle_s))
        return complain("--idle", "must be whole seconds, up to 3600");
    if (!read_seconds(w.timeout, TIMEOUT_MAX_S, &timeout_s) || timeout_s == 0)
        return complain("--timeout", "must be whole seconds, from 1 to 60");
    o->timeout_ms = timeout_s * 1000;
    return read_token(o, &w);
}

void doctor_options_fini(struct doctor_options *o) {
    if (o->token.cap)
        explicit_bzero(o->token.p, o->token.cap);
    buf_fini(&o->token);
}
