/* Fuzzes the reading of request heads and the checks of the handshake.
 *
 * All spans lie in the text; a head stays what it is when more follows it, and what was refused
 * early is not accepted later. A request that may become a WebSocket is checked a second time in
 * another way: nothing that RFC 6455 section 4.2.1 demands may be missing, and its origin must be
 * one of those allowed.
 *
 * Dictionary: head.dict. Thread: main. Owns: nothing.
 */
#include "server/net/handshake.c"

#include "server/base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *origins[] = {"https://good.com", "https://*.wild.com", "http://localhost:*"};
static const struct config config = {
    .websocket_handler_prefix = "/connection/websocket",
    .client_allowed_origins = {origins, 3},
};

static bool lies_within(struct str part, struct str whole) {
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_spans(const struct head *h, struct str text) {
    assert(h->size_bytes <= text.n && h->size_bytes >= 14);
    assert(h->header_count <= HEAD_MAX_HEADERS && h->target.n <= HEAD_TARGET_MAX_BYTES);
    assert(lies_within(h->method, text) && lies_within(h->target, text));
    for (uint32_t i = 0; i < h->header_count; i++)
        assert(lies_within(h->headers[i].name, text) && lies_within(h->headers[i].value, text));
}

/* Counts lines that begin like a header, without the parser's help. */
static uint32_t count_lines(struct str head, const char *name) {
    uint32_t count = 0;
    while (head.n) {
        size_t end = str_find(head, '\n');
        struct str line = str_slice(head, 0, end);
        struct str before = str_trim(str_slice(line, 0, str_find(line, ':')));
        count += str_find(line, ':') < line.n && str_equal_nocase(before, str_of(name));
        head = str_slice(head, end + 1, head.n);
    }
    return count;
}

static struct str value_of(const struct head *h, const char *name) {
    struct str value;
    head_find(h, name, &value);
    return value;
}

static void check_origin_again(struct str origin) {
    char text[HEAD_MAX_BYTES + 1];
    snprintf(text, sizeof(text), "%.*s", STR_ARG(origin));
    for (char *c = text; *c; c++)
        *c = lower(*c);
    char *host = strstr(text, "://");
    assert(host && strlen(text) == origin.n);
    host += 3;
    assert(!strpbrk(host, "/\\@?# \t"));
    size_t n = strlen(host);
    assert(!strcmp(text, "https://good.com") || !strncmp(text, "http://localhost:", 17) ||
           (!strncmp(text, "https://", 8) && n >= 9 && !strcmp(host + n - 9, ".wild.com")));
}

static void check_websocket(const struct head *h, struct str text) {
    struct str head = str_slice(text, 0, h->size_bytes);
    struct str key = value_of(h, "Sec-WebSocket-Key");
    unsigned char bytes[32];
    size_t key_bytes = 0;
    assert(str_starts(head, STR("GET /connection/websocket")));
    assert(h->major == 1 && h->minor == 1);
    assert(count_lines(head, "Host") == 1 && count_lines(head, "Upgrade") == 1);
    assert(count_lines(head, "Sec-WebSocket-Key") == 1);
    assert(count_lines(head, "Sec-WebSocket-Version") == 1 && count_lines(head, "Origin") <= 1);
    assert(count_lines(head, "Content-Length") == 0 && count_lines(head, "Transfer-Encoding") == 0);
    assert(str_equal(value_of(h, "sec-websocket-version"), STR("13")));
    assert(key.n == 24 && key.p[23] == '=');
    /* sodium wants the last bits of the 22nd digit to be zero, which nobody needs. */
    if (memchr("AQgw", key.p[21], 4))
        assert(sodium_base642bin(bytes, sizeof(bytes), key.p, key.n, NULL, &key_bytes, NULL,
                                 sodium_base64_VARIANT_ORIGINAL) == 0 &&
               key_bytes == 16);
    if (count_lines(head, "Origin"))
        check_origin_again(value_of(h, "origin"));
}

static void check_answer(const struct handshake_answer *a) {
    assert(a->headers);
    if (a->status == 0)
        return;
    assert(a->status >= 400 && a->status < 600 && !a->is_upgrade);
    assert(a->text && *a->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct head h, again;
    char *copy = mem_alloc(size);
    if (size)
        memcpy(copy, data, size);
    struct str text = {copy, size};
    enum head_result result = head_parse(text, &h);
    struct handshake_answer a =
        result == HEAD_OK ? handshake_check(&h, &config) : handshake_broken(result);
    check_answer(&a);
    if (result == HEAD_OK) {
        check_spans(&h, text);
        assert(head_parse(str_slice(text, 0, h.size_bytes), &again) == HEAD_OK);
        assert(again.size_bytes == h.size_bytes && again.header_count == h.header_count);
        assert(head_parse(str_slice(text, 0, h.size_bytes - 1), &again) == HEAD_INCOMPLETE);
    }
    if (a.is_upgrade)
        check_websocket(&h, text);
    enum head_result early = head_parse(str_slice(text, 0, size / 2), &again);
    assert(early == HEAD_OK || early == HEAD_INCOMPLETE || result != HEAD_OK);
    mem_free(copy);
    return 0;
}
