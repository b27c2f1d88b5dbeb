/* See token_cli.h. Words that are not about the token go to config_load(), so that all of the
 * server's options work here, --config above all, and secrets are refused in the same words.
 *
 * A token that is made is checked like any other before it is printed: what the server would refuse
 * nobody gets.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/token_cli.h"

#include "auth/jws.h"
#include "auth/token.h"
#include "server/base/clock.h"
#include "server/base/json_scan.h"
#include "server/base/mem.h"
#include "server/base/word.h"
#include "server/config/config.h"
#include "server/config/config_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TTL_PRESET "1h"
#define SHOWN_BYTES 1000

extern char **environ;

static const char usage[] =
    "Usage:\n"
    "  carillon token --user ID [OPTION ...]        print a connection token\n"
    "  carillon token --user ID --subscription NAME [OPTION ...]\n"
    "                                               print a subscription token\n"
    "  carillon token check TOKEN [--config FILE]   say whether the server would take it\n"
    "\n"
    "  --user ID         \"sub\", the user; '' is an anonymous one\n"
    "  --channel NAME    one of \"channels\", which a connection is subscribed to; may be "
    "repeated\n"
    "  --subscription NAME  \"channel\", the one that a subscription token is for\n"
    "  --info JSON       \"info\", which others see\n"
    "  --ttl DURATION    how long it is good, such as 90s or 24h; 0 = for ever; " TTL_PRESET
    " without it\n"
    "  --config FILE     where client.token.hmac_secret_key is; or set it in the environment,\n"
    "                    CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY, or in a file that\n"
    "                    CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY_FILE names; to check a token,\n"
    "                    any other key of client.token will do, too\n"
    "\n"
    "TOKEN may be -, then it is read from stdin, where other users of this machine cannot see "
    "it.\n";

struct command {
    const char *checked; /* the token to check; NULL: make one */
    const char *user, *info, *ttl, *subscription;
    struct str *channels;
    size_t channel_count;
    char **rest; /* for config_load(): ours taken out, the program's name at the start */
    int rest_count;
    bool wants_help;
};

/* --- what is asked for ------------------------------------------------------------------------ */

/* False, after a line on stderr, when a value is missing. */
static bool parse(int argc, char **argv, struct command *c) {
    bool is_check = argc > 0 && strcmp(argv[0], "check") == 0;
    c->channels = mem_array((size_t)argc, sizeof(*c->channels));
    c->rest = mem_array((size_t)argc + 2, sizeof(*c->rest));
    c->rest[c->rest_count++] = "carillon";
    c->ttl = TTL_PRESET;
    if (is_check)
        c->checked = argc > 1 ? argv[1] : "--";
    for (int at = is_check ? 2 : 0; at < argc; at++) {
        const char *channel = "", *word = argv[at];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            c->wants_help = true;
        else if (!is_check && word_take(argv, &at, "--channel", &channel))
            c->channels[c->channel_count++] = str_of(channel);
        else if (is_check || (!word_take(argv, &at, "--user", &c->user) &&
                              !word_take(argv, &at, "--info", &c->info) &&
                              !word_take(argv, &at, "--ttl", &c->ttl) &&
                              !word_take(argv, &at, "--subscription", &c->subscription)))
            c->rest[c->rest_count++] = argv[at];
        if (at == argc) {
            fprintf(stderr, "carillon: %s needs a value\n", word);
            return false;
        }
    }
    return true;
}

static bool is_complete(const struct command *c) {
    return c->checked ? strncmp(c->checked, "--", 2) != 0 : c->user != NULL;
}

/* --- judging ---------------------------------------------------------------------------------- */

static int64_t now_s(void) {
    return clock_wall_ms() / 1000;
}

static const char *judge_channel(const struct config *config, struct str channel) {
    const struct channel_options *options;
    return rules_find(&config->rules, channel, &options) == RULES_OK
               ? NULL
               : "it names a channel that is too long, not ASCII, or of an unknown namespace";
}

/* What the server asks beyond the token itself; NULL when it is content. */
static const char *judge_for(const struct config *config, const struct token_claims *claims) {
    const char *fault = NULL;
    if (claims->user.n == 0 && config->client_disallow_anonymous_connection_tokens &&
        !config->client_insecure)
        return "it names no user, and client.disallow_anonymous_connection_tokens is set";
    if (claims->channel_count + claims->sub_count > config->client_channel_limit)
        return "it names more channels than client.channel_limit allows";
    for (size_t i = 0; !fault && i < claims->channel_count; i++)
        fault = judge_channel(config, claims->channels[i]);
    for (size_t i = 0; !fault && i < claims->sub_count; i++)
        fault = judge_channel(config, claims->subs[i].channel);
    return fault;
}

/* What the claims say it is; a connection token when there is nothing to read. */
static enum token_kind kind_of(const struct config *config, struct str token) {
    static const enum token_kind kinds[] = {TOKEN_CONNECTION, TOKEN_SUBSCRIPTION};
    enum token_kind kind = TOKEN_CONNECTION;
    for (size_t i = 0; i < 2; i++) {
        struct buf payload = {0};
        struct json_field f = JSON_FIELD("channel");
        struct json_value object;
        struct json_fault ignored;
        const char *fault;
        if (jws_verify(token, config_token_policy(config, kinds[i]).keys, &payload, &fault,
                       now_s()) &&
            json_scan_all(buf_str(&payload), &object, &ignored) &&
            object.kind == JSON_KIND_OBJECT && json_fields(object, &f, 1, &ignored) &&
            f.value.kind != JSON_KIND_MISSING)
            kind = TOKEN_SUBSCRIPTION;
        buf_fini(&payload);
    }
    return kind;
}

/* As token_verify(), and what else would make the server refuse it. */
static enum token_result verify(const struct config *config, enum token_kind kind, struct str token,
                                struct token_claims *claims) {
    const struct token_policy policy = config_token_policy(config, kind);
    enum token_result result = token_verify(token, &policy, now_s(), claims);
    if (result == TOKEN_OK)
        claims->fault = kind == TOKEN_CONNECTION ? judge_for(config, claims)
                                                 : judge_channel(config, claims->sub.channel);
    return result == TOKEN_OK && claims->fault ? TOKEN_INVALID : result;
}

/* --- making one ------------------------------------------------------------------------------- */

static int refuse(const char *what, const char *why) {
    fprintf(stderr, "carillon: %s %s\n", what, why);
    return EXIT_FAILURE;
}

static int print_token(const struct token_request *q, const struct config *config) {
    struct buf token = {0};
    struct token_claims claims;
    enum token_kind kind = q->channel.n ? TOKEN_SUBSCRIPTION : TOKEN_CONNECTION;
    int status = EXIT_SUCCESS;
    token_make(q, config_token_policy(config, kind).keys->hmac_secret, &token);
    if (verify(config, kind, buf_str(&token), &claims) == TOKEN_OK)
        puts(config_z(&token));
    else
        status = refuse("the server would refuse this token:", claims.fault);
    token_claims_fini(&claims);
    buf_fini(&token);
    return status;
}

static int make(const struct command *c, const struct config *config) {
    struct json_value info = {0};
    struct json_fault fault;
    uint64_t ttl_ms;
    struct token_request q = {.user = str_of(c->user),
                              .channel = str_of(c->subscription),
                              .channels = c->channels,
                              .channel_count = c->channel_count,
                              .issued_at_s = now_s()};
    if (!str_is_utf8(q.user))
        return refuse("--user", "is not UTF-8");
    if (c->subscription && (!q.channel.n || !str_is_utf8(q.channel) || q.channel_count))
        return refuse("--subscription", "must be the name of a channel, without --channel");
    for (size_t i = 0; i < q.channel_count; i++)
        if (!str_is_utf8(q.channels[i]))
            return refuse("--channel", "is not UTF-8");
    if (c->info && !json_scan_all(str_of(c->info), &info, &fault))
        return refuse("--info is not JSON:", fault.what);
    if (!duration_parse(str_of(c->ttl), &ttl_ms) || ttl_ms % 1000 != 0)
        return refuse("--ttl", "must be whole seconds up to 10 years, such as 90s or 24h, or 0");
    q.info = info.text;
    q.expires_at_s = ttl_ms ? q.issued_at_s + (int64_t)(ttl_ms / 1000) : 0;
    return print_token(&q, config);
}

/* --- checking one ----------------------------------------------------------------------------- */

static void read_stdin(struct buf *out) {
    const size_t max_bytes = TOKEN_MAX_BYTES + 100; /* enough to see that it is too long */
    size_t n = fread(buf_reserve(out, max_bytes), 1, max_bytes, stdin);
    while (n > 0 && strchr(" \t\r\n", out->p[n - 1]))
        n--;
    out->n = n;
}

/* Names and values come from who knows where: no terminal shall obey them. */
static void print_line(const char *title, struct str value) {
    struct buf safe = {0};
    config_print_safe(&safe, value, SHOWN_BYTES);
    printf("%-9s %s\n", title, config_z(&safe));
    buf_fini(&safe);
}

static void print_time(const char *title, int64_t at_s) {
    char text[64] = "";
    time_t at = at_s;
    struct tm utc;
    if (gmtime_r(&at, &utc))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    printf("%-9s %" PRId64 " = %s\n", title, at_s, text);
}

/* The claims as they are, if the signature is good, and which of them mean nothing here. */
static void print_claims(const struct config *config, enum token_kind kind, struct str token) {
    const struct jws_keys *keys = config_token_policy(config, kind).keys;
    struct buf payload = {0}, ignored = {0}, scratch = {0};
    struct json_value object, key, value;
    struct json_fault json_fault;
    const char *fault;
    if (jws_verify(token, keys, &payload, &fault, now_s()))
        print_line("claims", buf_str(&payload));
    if (json_scan_all(buf_str(&payload), &object, &json_fault) && object.kind == JSON_KIND_OBJECT)
        for (size_t at = 0; json_each(object, &at, &key, &value);) {
            struct str name = json_decode(key, &scratch);
            if (token_knows_claim(kind, name))
                continue;
            buf_add_z(&ignored, ignored.n ? " " : "");
            buf_add(&ignored, name);
        }
    if (ignored.n)
        print_line("ignored", buf_str(&ignored));
    buf_fini(&payload);
    buf_fini(&ignored);
    buf_fini(&scratch);
}

static int check(const struct command *c, const struct config *config) {
    struct buf text = {0};
    struct token_claims claims;
    if (strcmp(c->checked, "-") == 0)
        read_stdin(&text);
    else
        buf_add_z(&text, c->checked);
    enum token_kind kind = kind_of(config, buf_str(&text));
    enum token_result result = verify(config, kind, buf_str(&text), &claims);
    if (result == TOKEN_OK) {
        puts("good");
        print_line("user", claims.user.n ? claims.user : STR("(anonymous)"));
        if (kind == TOKEN_SUBSCRIPTION)
            print_line("channel", claims.sub.channel);
        if (claims.expires_at_s)
            print_time("expires", claims.expires_at_s);
    } else {
        printf("%s: %s\n", result == TOKEN_EXPIRED ? "expired" : "invalid", claims.fault);
        print_time("now", now_s());
    }
    print_claims(config, kind, buf_str(&text));
    token_claims_fini(&claims);
    buf_fini(&text);
    return result == TOKEN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool can_sign(const struct command *c, const struct config *config) {
    enum token_kind kind = c->subscription ? TOKEN_SUBSCRIPTION : TOKEN_CONNECTION;
    return config_token_policy(config, kind).keys->hmac_secret.n > 0;
}

/* NULL, or why the keys that an endpoint has cannot be had. */
static const char *fetch(const struct config_keys *keys) {
    return keys->jws.jwks ? jwks_cache_fetch_now(keys->jws.jwks) : NULL;
}

static int run(const struct command *c) {
    struct config *config;
    enum config_action action = config_load(c->rest_count, c->rest, environ, &config);
    config_wipe_env(environ);
    if (action != CONFIG_RUN)
        return action == CONFIG_EXIT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    const char *fault = NULL;
    int status;
    if (!c->checked && !can_sign(c, config))
        status = refuse("there is no key:",
                        "--config FILE must have client.token.hmac_secret_key, or set\n"
                        "CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY, or ..._FILE to a file with it");
    else if (!jws_keys_exist(&config->client_token_keys.jws) &&
             !jws_keys_exist(&config->client_subscription_token_keys.jws))
        status =
            refuse("there is no key:",
                   "--config FILE must have one in client.token, such as hmac_secret_key, or "
                   "set\nCARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY, or ..._FILE to a file with it");
    else if (c->checked && (fault = fetch(&config->client_token_keys)))
        status = refuse("client.token.jwks_public_endpoint:", fault);
    else if (c->checked && (fault = fetch(&config->client_subscription_token_keys)))
        status = refuse("client.subscription_token.jwks_public_endpoint:", fault);
    else
        status = c->checked ? check(c, config) : make(c, config);
    config_destroy(config);
    return status;
}

int token_command(int argc, char **argv) {
    struct command c = {0};
    int status = EXIT_FAILURE;
    if (!parse(argc, argv, &c))
        fputs("see carillon token --help\n", stderr);
    else if (c.wants_help)
        status = fputs(usage, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    else if (!is_complete(&c))
        fputs(usage, stderr);
    else
        status = run(&c);
    mem_free(c.channels);
    mem_free(c.rest);
    return status;
}
