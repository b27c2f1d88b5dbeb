/* Fuzzes tokens. The first byte says what the rest is, the others are made and signed here, so that
 * the fuzzer gets behind the signature: "t" a whole token, "h" a header, "c" claims of a
 * connection token, "s" of a subscription token.
 *
 * What is right is computed a second time with jansson, where it can read the text at all: it
 * refuses large numbers, and names that are repeated inside of values.
 *
 * Thread: one. Owns: nothing.
 */
#include "auth/token.c"

#include <jansson.h>

#include "tests/unit/token_testing.h"

#define NOW 1700000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not with zero bytes in it, which jansson passes over behind a number. */
static json_t *read_json(struct str text) {
    if (str_find(text, '\0') < text.n)
        return NULL;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    return json_loadb(text.n ? text.p : "", text.n, flags, NULL);
}

static struct str text_of(const json_t *string) {
    return (struct str){json_string_value(string), json_string_length(string)};
}

/* --- a whole token ---------------------------------------------------------------------------- */

/* Good means that the third part is the text of the MAC of the others, for an algorithm we have. */
static void check_signed(struct str token) {
    bool is_signed = false;
    size_t first = str_find(token, '.');
    size_t second = first + 1 + str_find(str_slice(token, first + 1, token.n), '.');
    for_each_algorithm(a) {
        struct buf again = {0};
        buf_add(&again, str_slice(token, 0, second));
        add_signature(&again, a, SECRET);
        is_signed |= str_equal(buf_str(&again), token);
        buf_fini(&again);
    }
    assert(is_signed);
}

static void try_token(struct str token) {
    struct token_claims c;
    const struct jws_keys secret = {.hmac_secret = SECRET}, no_key = {.hmac_secret = STR_NONE};
    const struct token_policy keys = {.keys = &secret}, none = {.keys = &no_key};
    if (token_verify(token, &keys, NOW, &c) != TOKEN_INVALID)
        check_signed(token);
    token_claims_fini(&c);
    enum token_result without_key = token_verify(token, &none, NOW, &c);
    assert(without_key == TOKEN_INVALID && c.fault);
    token_claims_fini(&c);
}

/* --- a header --------------------------------------------------------------------------------- */

static bool is_header_good(const json_t *header, const struct test_algorithm *a) {
    const json_t *alg = json_object_get(header, "alg"), *typ = json_object_get(header, "typ");
    return json_is_object(header) && json_object_size(header) <= 32 && json_is_string(alg) &&
           str_equal(text_of(alg), str_of(a->name)) &&
           (!typ || (json_is_string(typ) && str_equal_nocase(text_of(typ), STR("JWT")))) &&
           !json_object_get(header, "crit") && !json_object_get(header, "b64") &&
           !json_object_get(header, "zip") && !json_object_get(header, "cty");
}

static void try_header(struct str header) {
    json_t *oracle = read_json(header);
    for_each_algorithm(a) {
        struct buf token = {0}, payload = {0};
        const char *fault = NULL;
        add_base64url(&token, header);
        bool is_short = token.n <= JWS_HEADER_MAX_BYTES;
        buf_add_z(&token, ".e30");
        add_signature(&token, a, SECRET);
        bool is_good = jws_verify(buf_str(&token), &(struct jws_keys){.hmac_secret = SECRET},
                                  &payload, &fault, NOW);
        assert(is_good == !fault && (!is_good || str_equal(buf_str(&payload), STR("{}"))));
        if (!is_short)
            assert(!is_good);
        else if (oracle)
            assert(is_good == is_header_good(oracle, a));
        buf_fini(&token);
        buf_fini(&payload);
    }
    json_decref(oracle);
}

/* --- claims ----------------------------------------------------------------------------------- */

static void check_line(struct str json) {
    struct json_value v;
    struct json_fault fault;
    if (json.n) {
        bool is_json = json_scan_all(json, &v, &fault);
        assert(is_json && !v.has_newline);
    }
}

static void check_sub(const struct token_sub *s) {
    assert(s->channel.n && str_is_utf8(s->channel) && (s->override.on & ~s->override.given) == 0);
    check_line(s->info);
    check_line(s->data);
}

/* What is true of all good claims, whatever their text is. */
static void check_good(const struct token_claims *c) {
    assert(c->user.n <= TOKEN_USER_MAX_BYTES && str_is_utf8(c->user) &&
           !token_has_control(c->user));
    assert(c->expires_at_s == 0 || c->expires_at_s > NOW);
    assert(c->channel_count <= TOKEN_CHANNELS_MAX);
    for (size_t i = 0; i < c->channel_count; i++)
        assert(c->channels[i].n && str_is_utf8(c->channels[i]) &&
               !token_has_control(c->channels[i]));
    for (size_t i = 0; i < c->sub_count; i++) {
        check_sub(&c->subs[i]);
        assert(capabilities_in(c->capabilities, c->subs[i].channel) < 16);
    }
    check_line(c->info);
}

static void try_subscription(struct str claims) {
    const struct jws_keys keys = {.hmac_secret = SECRET};
    const struct token_policy policy = {.kind = TOKEN_SUBSCRIPTION,
                                        .keys = &keys,
                                        .user_id_claim = STR("a.b"),
                                        .audience = STR("c"),
                                        .leeway_s = 60};
    struct buf token = {0};
    struct token_claims c;
    make_token(&token, &test_algorithms[claims.n % 3], STR("{\"alg\":\"@\"}"), claims);
    if (token_verify(buf_str(&token), &policy, NOW, &c) == TOKEN_OK) {
        check_sub(&c.sub);
        assert(c.allow < 16 && c.user.n <= TOKEN_USER_MAX_BYTES && !c.capabilities);
    }
    token_claims_fini(&c);
    buf_fini(&token);
}

static bool is_time(const json_t *v) {
    double s = json_number_value(v);
    return !v || (json_is_number(v) && (s == 0 || (s >= 1 && s < 1e12)));
}

static bool is_name(const json_t *v, size_t min_bytes, size_t max_bytes) {
    return json_is_string(v) && json_string_length(v) >= min_bytes &&
           json_string_length(v) <= max_bytes && !token_has_control(text_of(v));
}

static bool are_names(const json_t *v) {
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_name(json_array_get(v, i), 1, SIZE_MAX))
            return false;
    return !v || json_is_null(v) || (json_is_array(v) && json_array_size(v) <= TOKEN_CHANNELS_MAX);
}

static enum token_result expected(const json_t *claims) {
    const json_t *sub = json_object_get(claims, "sub"), *exp = json_object_get(claims, "exp");
    const json_t *nbf = json_object_get(claims, "nbf");
    const json_t *expire_at = json_object_get(claims, "expire_at");
    if (!json_is_object(claims) || json_object_size(claims) > JSON_OBJECT_MEMBERS_MAX ||
        json_object_get(claims, "channel") || !is_time(exp) || !is_time(nbf) ||
        !is_time(expire_at) || !is_time(json_object_get(claims, "iat")) ||
        (sub && !is_name(sub, 0, TOKEN_USER_MAX_BYTES)) ||
        !are_names(json_object_get(claims, "channels")))
        return TOKEN_INVALID;
    bool is_over = exp && json_number_value(exp) < NOW + 1;
    bool is_ended =
        expire_at && json_number_value(expire_at) != 0 && json_number_value(expire_at) < NOW + 1;
    return is_over || is_ended || json_number_value(nbf) > NOW ? TOKEN_EXPIRED : TOKEN_OK;
}

/* Good claims are those that jansson sees. */
static void check_same(const struct token_claims *c, const json_t *claims) {
    const json_t *sub = json_object_get(claims, "sub"), *list = json_object_get(claims, "channels");
    const json_t *info = json_object_get(claims, "info");
    assert(str_equal(c->user, sub ? text_of(sub) : STR_NONE));
    assert(c->channel_count == json_array_size(list));
    for (size_t i = 0; i < c->channel_count; i++)
        assert(str_equal(c->channels[i], text_of(json_array_get(list, i))));
    assert((c->info.n > 0) == (info && !json_is_null(info)));
    if (c->info.n) {
        json_t *again = json_loadb(c->info.p, c->info.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert(again && json_equal(again, info));
        json_decref(again);
    }
}

/* Claims that the oracle knows nothing of. */
static bool is_simple(const json_t *claims) {
    static const char *const others[] = {"jti", "b64info", "subs", "meta", "caps"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (json_object_get(claims, others[i]))
            return false;
    return true;
}

/* Limits that jansson does not have. */
static bool is_extreme(struct str text) {
    size_t open_count = 0, run_bytes = 0;
    for (size_t i = 0; i < text.n; i++) {
        open_count += text.p[i] == '[' || text.p[i] == '{';
        run_bytes = text.p[i] && strchr("0123456789+-.eE", text.p[i]) ? run_bytes + 1 : 0;
        if (open_count >= JSON_DEPTH_MAX || run_bytes >= 40)
            return true;
    }
    return false;
}

static void try_claims(struct str claims) {
    struct buf token = {0};
    struct token_claims c;
    const struct jws_keys keys = {.hmac_secret = SECRET};
    const struct token_policy policy = {.keys = &keys};
    make_token(&token, &test_algorithms[claims.n % 3], STR("{\"alg\":\"@\"}"), claims);
    json_t *oracle = is_extreme(claims) || token.n > TOKEN_MAX_BYTES ? NULL : read_json(claims);
    enum token_result result = token_verify(buf_str(&token), &policy, NOW, &c);
    assert((result == TOKEN_OK) == !c.fault);
    if (result == TOKEN_OK)
        check_good(&c);
    if (str_find(claims, '\0') < claims.n)
        assert(result == TOKEN_INVALID);
    if (oracle && is_simple(oracle))
        assert(result == expected(oracle));
    if (oracle && is_simple(oracle) && result == TOKEN_OK)
        check_same(&c, oracle);
    json_decref(oracle);
    token_claims_fini(&c);
    buf_fini(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = mem_alloc(size - 1);
    struct str text = {copy, size - 1};
    if (text.n)
        memcpy(copy, data + 1, text.n);
    if (data[0] == 't')
        try_token(text);
    else if (data[0] == 'h')
        try_header(text);
    else if (data[0] == 's')
        try_subscription(text);
    else
        try_claims(text);
    mem_free(copy);
    return 0;
}
