/* See handshake.h.
 *
 * Thread: any (no state).
 */
#include "server/net/handshake.h"

#include "server/net/http_target.h"

#include <string.h>

#define REFUSE(code, why)                                                                          \
    ((struct handshake_answer){.status = (code), .text = (why), .headers = ""})
static const struct handshake_answer fine = {.headers = ""};

/* --- origin ----------------------------------------------------------------------------------- */

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool glob(const char *pattern, struct str s) {
    const char *star = NULL;
    size_t at = 0, star_at = 0;
    while (at < s.n) {
        if (*pattern == '*') {
            star = pattern++;
            star_at = at;
        } else if (*pattern == '?' || *pattern == lower(s.p[at])) {
            pattern++;
            at++;
        } else if (star) {
            pattern = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* scheme "://" host [":" port], nothing else: with no path or user part in it, a pattern cannot be
 * outwitted by https://evil.example/https://good.example. */
static bool is_serialized_origin(struct str s) {
    size_t colon = str_find(s, ':');
    if (colon == 0 || colon + 3 >= s.n || memcmp(s.p + colon, "://", 3) != 0)
        return false;
    for (size_t i = colon + 3; i < s.n; i++)
        if (strchr("/\\@?# \t", s.p[i]) || s.p[i] < 0x21)
            return false;
    return true;
}

bool handshake_origin_is_allowed(const struct config *config, struct str origin) {
    if (!is_serialized_origin(origin))
        return false;
    for (size_t i = 0; i < config->client_allowed_origins.count; i++)
        if (glob(config->client_allowed_origins.items[i], origin))
            return true;
    return false;
}

/* --- plain HTTP ------------------------------------------------------------------------------- */

/* A path with "..", NUL or a backslash, plain or percent-encoded, names nothing here. */
static bool is_traversal(struct str target) {
    int previous = 0;
    for (size_t i = 0; i < target.n && target.p[i] != '?'; i++) {
        int c = http_target_escape(target, i);
        if (c >= 0)
            i += 2;
        else
            c = (unsigned char)target.p[i];
        if (c == '\\' || c == 0 || (c == '.' && previous == '.'))
            return true;
        previous = c;
    }
    return false;
}

/* RFC 9112 section 6: how long the body is must be beyond doubt. */
static struct handshake_answer check_body(const struct head *h) {
    struct str length, coding;
    uint64_t n;
    uint32_t length_count = head_find(h, "content-length", &length);
    if (head_find(h, "transfer-encoding", &coding))
        return length_count ? REFUSE(400, "both Content-Length and Transfer-Encoding")
                            : REFUSE(411, "chunked bodies are not accepted: send Content-Length");
    if (length_count > 1)
        return REFUSE(400, "more than one Content-Length");
    if (length_count && !str_to_u64(length, &n))
        return REFUSE(400, "Content-Length is not a number");
    return fine;
}

static bool is_known_method(struct str method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_equal(method, str_of(known[i])))
            return true;
    return false;
}

static struct handshake_answer check_http(const struct head *h) {
    struct str value;
    if (h->major == 1 && !is_known_method(h->method))
        return REFUSE(501, "no such method");
    if (h->major != 1 || h->minor > 1)
        return h->major == 2 ? REFUSE(400, "HTTP/2 is not spoken here: use HTTP/1.1")
                             : REFUSE(505, "HTTP/1.1 only");
    if (head_find(h, "host", &value) != 1 && h->minor == 1)
        return REFUSE(400, "exactly one Host header is needed");
    if (h->target.p[0] != '/')
        return REFUSE(400, "the request target must be a path");
    if (is_traversal(h->target))
        return REFUSE(404, "no such path");
    return fine;
}

/* --- WebSocket -------------------------------------------------------------------------------- */

/* Base64 of 16 bytes: 22 digits, of which the last has 4 zero bits, and "==". */
static bool is_key(struct str s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (s.n != 24 || s.p[22] != '=' || s.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (!memchr(digits, s.p[i], 64))
            return false;
    return strchr("AQgw", s.p[21]) != NULL;
}

static struct handshake_answer check_key(const struct head *h) {
    struct str version, key;
    if (head_find(h, "sec-websocket-version", &version) != 1 || !str_equal(version, STR("13"))) {
        struct handshake_answer a = REFUSE(426, "Sec-WebSocket-Version must be 13");
        a.headers = "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n";
        return a;
    }
    if (head_find(h, "sec-websocket-key", &key) != 1 || !is_key(key))
        return REFUSE(400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed");
    return fine;
}

/* Subprotocol names are case-sensitive (RFC 6455 section 11.3.4). */
static bool offers(struct str list, struct str name) {
    struct str item;
    while (str_cut(&list, ',', &item))
        if (str_equal(str_trim(item), name))
            return true;
    return false;
}

static struct handshake_answer check_subprotocol(const struct head *h) {
    struct str offered;
    if (head_find(h, "sec-websocket-protocol", &offered) &&
        !offers(offered, STR("centrifuge-json")))
        return REFUSE(400, "unknown subprotocol: offer centrifuge-json, or none");
    return fine;
}

static struct handshake_answer check_origin(const struct head *h, const struct config *config) {
    struct str origin;
    uint32_t count = head_find(h, "origin", &origin);
    /* Without Origin it is no browser, so nobody's session can be hijacked. */
    if (count == 0)
        return fine;
    if (count > 1)
        return REFUSE(400, "more than one Origin");
    if (!handshake_origin_is_allowed(config, origin))
        return REFUSE(403, "this origin is not in client.allowed_origins");
    return fine;
}

static struct handshake_answer check_path(const struct head *h, const struct config *config) {
    struct str path = str_slice(h->target, 0, str_find(h->target, '?'));
    if (config->websocket_disabled || !str_equal(path, str_of(config->websocket_handler_prefix)))
        return REFUSE(404, "no WebSocket at this path");
    return fine;
}

static struct handshake_answer check_upgrade(const struct head *h) {
    struct str upgrade, value;
    if (h->minor != 1)
        return REFUSE(505, "a WebSocket handshake needs HTTP/1.1");
    if (!str_equal(h->method, STR("GET")))
        return (struct handshake_answer){
            .status = 405, .text = "a WebSocket handshake is a GET", .headers = "Allow: GET\r\n"};
    if (head_find(h, "upgrade", &upgrade) != 1 || !str_equal_nocase(upgrade, STR("websocket")))
        return REFUSE(400, "the only upgrade offered here is websocket");
    if (!head_has_token(h, "connection", "upgrade"))
        return REFUSE(400, "Connection: Upgrade is missing");
    if (head_find(h, "content-length", &value) || head_find(h, "transfer-encoding", &value))
        return REFUSE(400, "a WebSocket handshake has no body");
    return fine;
}

static bool wants_upgrade(const struct head *h, const struct config *config) {
    struct str value;
    return head_find(h, "upgrade", &value) || check_path(h, config).status == 0;
}

struct handshake_answer handshake_check(const struct head *h, const struct config *config) {
    struct handshake_answer a = check_http(h);
    if (a.status)
        return a;
    if (!wants_upgrade(h, config))
        return check_body(h);
    if ((a = check_upgrade(h)).status || (a = check_path(h, config)).status ||
        (a = check_key(h)).status || (a = check_subprotocol(h)).status ||
        (a = check_origin(h, config)).status)
        return a;
    a.is_upgrade = true;
    return a;
}

struct handshake_answer handshake_broken(enum head_result result) {
    switch (result) {
    case HEAD_BAD:
        return REFUSE(400, "this is not a valid HTTP/1.1 request");
    case HEAD_TARGET_TOO_LONG:
        return REFUSE(414, "the request target is longer than 4096 bytes");
    case HEAD_TOO_LARGE:
        return REFUSE(431, "the request head has more than 8192 bytes or 128 headers");
    default:
        return fine;
    }
}
