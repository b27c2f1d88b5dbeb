/* Fuzzes sets of keys. What is right is computed a second time with jansson as far as it goes: no
 * two kids, as many keys as there are entries. Each key that is taken is used: no signature of
 * zeros is good for it.
 *
 * Thread: one. Owns: nothing.
 */
#include "auth/jwks.c"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_key(const struct jwk *k) {
    static const char zeros[1024];
    uint32_t all = jwk_algorithms(k);
    assert(all && all < JWS_BIT(JWS_ALGORITHM_COUNT));
    for (enum jws_algorithm a = 0; a < JWS_ALGORITHM_COUNT; a++) {
        if (!(all & JWS_BIT(a)))
            continue;
        size_t n = jwk_signature_bytes(k, a);
        assert(n >= 32 && n <= sizeof(zeros));
        bool is_good = jwk_verify(k, a, STR("text"), (struct str){zeros, n});
        assert(!is_good);
    }
    bool is_secret = jwk_kind(k) == JWK_SECRET, is_hmac = (all & JWS_HMAC) != 0;
    assert(is_secret == is_hmac && (!is_secret || !(all & ~JWS_HMAC)));
}

static void check_set(const struct jwks *s, const struct jwks_report *r, bool is_public) {
    assert(!r->fault && r->key_count == s->count && s->count > 0 && s->count <= JWKS_KEYS_MAX);
    for (uint32_t i = 0; i < s->count; i++) {
        assert(s->keys[i].kid.n > 0);
        assert(jwks_find(s, s->keys[i].kid) == s->keys[i].key); /* so no two are the same */
        assert(!is_public || jwk_kind(s->keys[i].key) != JWK_SECRET);
        use_key(s->keys[i].key);
    }
}

/* What jansson sees of it. */
static void check_same(const struct jwks *s, const struct jwks_report *r, struct str text) {
    json_t *root = json_loadb(text.n ? text.p : "", text.n, JSON_ALLOW_NUL, NULL);
    const json_t *list = json_object_get(root, "keys"), *each;
    size_t i;
    if (root && s)
        assert(json_is_array(list) && json_array_size(list) == s->count + r->left_out);
    if (root && s)
        json_array_foreach(list, i, each) {
            const json_t *kid = json_object_get(each, "kid"), *use = json_object_get(each, "use");
            struct str name = {json_string_value(kid), json_string_length(kid)};
            if (use && json_is_string(use) && strcmp(json_string_value(use), "sig") != 0)
                assert(!jwks_find(s, name));
            if (json_object_get(each, "d"))
                assert(!jwks_find(s, name));
        }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = malloc(size ? size : 1);
    struct str text = {copy, size};
    if (size)
        memcpy(copy, data, size);
    for (int is_public = 0; is_public < 2; is_public++) {
        struct jwks_report r;
        struct jwks *s = jwks_parse(text, is_public, &r);
        if (s)
            check_set(s, &r, is_public);
        else
            assert(r.fault && r.key_count == 0);
        if (str_find(text, '\0') == text.n)
            check_same(s, &r, text);
        jwks_unref(s);
    }
    free(copy);
    return 0;
}
