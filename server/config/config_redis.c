/* What the options of Redis mean together: addresses are split into their parts, and what cannot be
 * kept, or would be set in vain, is refused (config_checks.h, config_loader.h).
 *
 * An address may be host:port, redis:// or rediss:// (tcp:// is redis:// in Centrifugo), or
 * unix://. Passwords leave it, so that it may be logged.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/base/mem.h"
#include "server/base/secret.h"
#include "server/config/config_checks.h"
#include "server/config/config_loader.h"
#include "server/config/config_options.h"

#include <string.h>
#include <sys/un.h>

#define SECTION "engine.redis."

/* ---- addresses ---- */

static bool parse_db(struct str s, struct redis_address *a) {
    uint64_t n;
    if (s.n > 5 || !str_to_u64(s, &n) || n > 65535)
        return false;
    a->has_db = true;
    a->db = (uint32_t)n;
    return true;
}

static bool is_decodable(struct str s, size_t max_bytes) {
    char *text = config_percent_decode(s);
    bool is_good = text && *text && strlen(text) <= max_bytes;
    if (text)
        explicit_bzero(text, strlen(text));
    mem_free(text);
    return is_good;
}

/* user:password, or :password */
static bool parse_credentials(struct str s, struct redis_address *a) {
    size_t colon = str_find(s, ':');
    if (colon == s.n)
        return false;
    a->user = str_slice(s, 0, colon);
    a->password = str_slice(s, colon + 1, s.n);
    return (a->user.n == 0 || is_decodable(a->user, SIZE_MAX)) &&
           is_decodable(a->password, SIZE_MAX);
}

/* [user:password@]host:port[/db] */
static bool parse_url(struct str s, struct redis_address *a) {
    size_t slash = str_find(s, '/');
    struct str db = str_slice(s, slash + 1, s.n);
    s = str_slice(s, 0, slash);
    if (db.n > 0 && !parse_db(db, a))
        return false;
    size_t at = str_find(s, '@');
    if (at < s.n) {
        if (!parse_credentials(str_slice(s, 0, at), a))
            return false;
        s = str_slice(s, at + 1, s.n);
    }
    return config_parse_host_port(s, &a->host, &a->port);
}

/* [user:password@]/path[?db=N] */
static bool parse_unix(struct str s, struct redis_address *a) {
    size_t slash = str_find(s, '/'), query = str_find(s, '?');
    if (slash > 0 && (slash > query || s.p[slash - 1] != '@' ||
                      !parse_credentials(str_slice(s, 0, slash - 1), a)))
        return false;
    a->unix_path = str_slice(s, slash, query);
    if (query < s.n) {
        struct str rest = str_slice(s, query + 1, s.n);
        if (!str_starts(rest, STR("db=")) || !parse_db(str_slice(rest, 3, rest.n), a))
            return false;
    }
    return a->unix_path.n > 1 &&
           is_decodable(a->unix_path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

static bool parse(struct str s, struct redis_address *a) {
    static const struct {
        const char *scheme;
        bool (*parse)(struct str s, struct redis_address *a);
        bool is_tls;
    } schemes[] = {
        {"redis://", parse_url, false},
        {"rediss://", parse_url, true},
        {"tcp://", parse_url, false},
        {"unix://", parse_unix, false},
    };
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct str scheme = str_of(schemes[i].scheme);
        if (!str_starts(s, scheme))
            continue;
        a->is_tls = schemes[i].is_tls;
        return schemes[i].parse(str_slice(s, scheme.n, s.n), a);
    }
    return config_parse_host_port(s, &a->host, &a->port);
}

bool config_redis_parse(struct str s, struct redis_address *out) {
    struct redis_address a = {0};
    bool is_good = parse(s, &a);
    if (is_good)
        *out = a;
    return is_good;
}

/* The names of one prefix must not be those of another: "a" has carillon:1:a:ch:<channel> for all
 * channels, which would be those of a prefix "a:ch" as well. */
bool config_check_redis_prefix(char *value, const char **allowed) {
    *allowed = "a text without \":\", which ends the prefix in the names of keys (names of two "
               "prefixes could be the same), and without control characters";
    for (const unsigned char *c = (const unsigned char *)value; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == ':')
            return false;
    return true;
}

bool config_check_redis_address(char *value, const char **allowed) {
    struct redis_address ignored;
    *allowed = "host:port, redis://[user:password@]host:port[/db], the same with rediss:// for "
               "TLS, or unix://[user:password@]/path[?db=N] (special characters as %XX)";
    return config_redis_parse(str_of(value), &ignored);
}

/* Centrifugo has the Sentinels of one Redis in one item, with commas. */
bool config_check_sentinel_address(char *value, const char **allowed) {
    struct str rest = str_of(value), item, host;
    uint32_t port;
    *allowed = "host:port of a Sentinel";
    while (str_cut(&rest, ',', &item))
        if (!config_parse_host_port(item, &host, &port))
            return false;
    return *value != '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *config_percent_decode(struct str s) {
    char *text = mem_strndup(s.n ? s.p : "", s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(s.p[i + 2]);
            c = low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) {
            explicit_bzero(text, s.n);
            mem_free(text);
            return NULL;
        }
        text[n++] = (char)c;
    }
    text[n] = '\0';
    return text;
}

/* ---- splitting them ---- */

static void replace(char **field, char *text) {
    secret_wipe_text(*field);
    *field = text;
}

/* Takes the text. */
static void replace_password(struct config *c, char *text) {
    secret_free(c->engine_redis_password);
    c->engine_redis_password = secret_copy(str_of(text));
    secret_wipe_text(text);
}

/* The address without what must not be logged. */
static char *plain_address(const struct config *c, const struct redis_address *a) {
    struct buf plain = {0};
    bool is_ipv6 = str_find(a->host, ':') < a->host.n;
    if (a->unix_path.n)
        buf_printf(&plain, "unix://%s", c->engine_redis_unix_path);
    else
        buf_printf(&plain, is_ipv6 ? "%s[%.*s]:%u" : "%s%.*s:%u",
                   a->is_tls ? "rediss://" : "redis://", STR_ARG(a->host), a->port);
    char *text = mem_strndup(plain.p, plain.n);
    buf_fini(&plain);
    return text;
}

static void split_address(struct config *c) {
    struct redis_address a;
    char **address = &c->engine_redis_address.items[0];
    if (!config_redis_parse(str_of(*address), &a))
        return; /* cannot be: the table's check took it */
    if (a.unix_path.n)
        c->engine_redis_unix_path = config_percent_decode(a.unix_path);
    c->engine_redis_host = mem_strndup(a.host.n ? a.host.p : "", a.host.n);
    c->engine_redis_port = a.port;
    if (a.user.n)
        replace(&c->engine_redis_user, config_percent_decode(a.user));
    if (a.password.n)
        replace_password(c, config_percent_decode(a.password));
    if (a.has_db)
        c->engine_redis_db = a.db;
    if (a.is_tls)
        c->engine_redis_tls.enabled = true;
    replace(address, plain_address(c, &a));
}

static void refuse(struct config_loader *l, const char *option, const char *what) {
    config_loader_problem(l, config_loader_source(l, option), option, "%s", what);
}

static void add_sentinels(struct config_loader *l, struct str item) {
    struct config *c = l->config;
    struct str one, host;
    uint32_t port;
    while (str_cut(&item, ',', &one)) {
        if (c->engine_redis_sentinel_count == CONFIG_SENTINELS_MAX) {
            config_loader_problem(l, config_loader_source(l, SECTION "sentinel_address"),
                                  SECTION "sentinel_address", "names more than %d Sentinels",
                                  CONFIG_SENTINELS_MAX);
            return;
        }
        if (config_parse_host_port(one, &host, &port))
            c->engine_redis_sentinels[c->engine_redis_sentinel_count++] =
                (struct config_endpoint){mem_strndup(host.p, host.n), port};
    }
}

static void split_sentinels(struct config_loader *l) {
    const struct config_strings *list = &l->config->engine_redis_sentinel_address;
    for (size_t i = 0; i < list->count; i++) {
        if (list->count > 1 && strchr(list->items[i], ',')) {
            refuse(l, SECTION "sentinel_address",
                   "has items of several Sentinels each, which means several servers; sharding is "
                   "not supported, give one");
            return;
        }
        add_sentinels(l, str_of(list->items[i]));
    }
}

/* ---- what goes together ---- */

static void refuse_if_set(struct config_loader *l, const char *option, bool is_set) {
    if (is_set)
        refuse(l, option, "is set, but " SECTION "sentinel_address is not");
}

static void check_sentinel(struct config_loader *l) {
    const struct config *c = l->config;
    bool is_used = c->engine_redis_sentinel_address.count > 0;
    const struct option *address = config_option_find(config_options, STR(SECTION "address"));
    if (!is_used) {
        refuse_if_set(l, SECTION "sentinel_master_name", *c->engine_redis_sentinel_master_name);
        refuse_if_set(l, SECTION "sentinel_user", *c->engine_redis_sentinel_user);
        refuse_if_set(l, SECTION "sentinel_password", *c->engine_redis_sentinel_password);
        refuse_if_set(l, SECTION "sentinel_tls.enabled", c->engine_redis_sentinel_tls.enabled);
        return;
    }
    if (!*c->engine_redis_sentinel_master_name)
        refuse(l, SECTION "sentinel_master_name", "is missing: " SECTION "sentinel_address is set");
    /* The default may be spelled out. Anything else would be set in vain, maybe also TLS. */
    if (strcmp(c->engine_redis_address.items[0], address->preset) != 0)
        refuse(l, SECTION "address",
               "is not used with " SECTION "sentinel_address, leave it out; user, password and db "
               "have options of their own");
}

void config_loader_redis(struct config_loader *l) {
    struct config *c = l->config;
    bool is_used = !strcmp(c->engine_type, "redis");
    if (is_used)
        check_sentinel(l);
    split_sentinels(l);
    if (c->engine_redis_address.count > 1)
        refuse(l, SECTION "address",
               "names more than one server; sharding is not supported, give one");
    else
        split_address(c);
    if (!is_used)
        return;
    if (c->engine_redis_unix_path && c->engine_redis_tls.enabled)
        refuse(l, SECTION "address", "Redis does not speak TLS over a unix socket");
    config_loader_tls(l, SECTION "tls", &c->engine_redis_tls);
    config_loader_tls(l, SECTION "sentinel_tls", &c->engine_redis_sentinel_tls);
}
