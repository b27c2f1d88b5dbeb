/* Keys of JWKs (RFC 7517, RFC 7518 section 6, RFC 8037 section 2): see jwk.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/jwk_parts.h"

#include "auth/base64url.h"
#include "auth/json_object.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <string.h>

#define NUMBER_BYTES_MAX 1024 /* of 8192 bits */

enum { KTY, USE, KEY_OPS, ALG, CRV, N, E, X, Y, K, D, FIELD_COUNT };

static const struct json_field known_fields[FIELD_COUNT] = {
    JSON_FIELD("kty"), JSON_FIELD("use"), JSON_FIELD("key_ops"), JSON_FIELD("alg"),
    JSON_FIELD("crv"), JSON_FIELD("n"),   JSON_FIELD("e"),       JSON_FIELD("x"),
    JSON_FIELD("y"),   JSON_FIELD("k"),   JSON_FIELD("d")};

static bool is_text(struct json_value v, const char *text) {
    struct buf scratch = {0};
    bool is_same = v.kind == JSON_KIND_STRING && str_equal(json_decode(v, &scratch), str_of(text));
    buf_fini(&scratch);
    return is_same;
}

/* Appends what the base64url in v says; false when it is none, nothing, or more than max_bytes. */
static bool read_bytes(struct json_value v, size_t max_bytes, struct buf *out) {
    struct buf scratch = {0};
    size_t before = out->n;
    bool is_good = v.kind == JSON_KIND_STRING;
    if (is_good) {
        struct str text = json_decode(v, &scratch);
        is_good = text.n > 0 && text.n <= base64url_length(max_bytes) &&
                  base64url_decode(text, out) && out->n > before;
    }
    if (scratch.cap)
        sodium_memzero(scratch.p, scratch.cap);
    buf_fini(&scratch);
    return is_good;
}

/* --- what it is for --------------------------------------------------------------------------- */

/* key_ops, if there, must name "verify"; RFC 7517 section 4.3: and no value twice. */
static bool allows_verifying(struct json_value ops) {
    struct json_value op;
    int verify_count = 0;
    if (ops.kind == JSON_KIND_MISSING)
        return true;
    if (ops.kind != JSON_KIND_ARRAY)
        return false;
    for (size_t at = 0; json_each(ops, &at, NULL, &op);) {
        if (op.kind != JSON_KIND_STRING || is_text(op, "encrypt") || is_text(op, "decrypt") ||
            is_text(op, "wrapKey") || is_text(op, "unwrapKey"))
            return false;
        verify_count += is_text(op, "verify");
    }
    return verify_count == 1;
}

static const char *judge_use(const struct json_field *f) {
    if (f[USE].value.kind != JSON_KIND_MISSING && !is_text(f[USE].value, "sig"))
        return "is not for signatures: use is not sig";
    if (!allows_verifying(f[KEY_OPS].value))
        return "is not for signatures alone: key_ops lacks verify, or has encryption in it";
    if (f[D].value.kind != JSON_KIND_MISSING)
        return "is a private key: only the public part may be here";
    return NULL;
}

/* What "alg" leaves of the algorithms the key is good for. */
static const char *restrict_algorithms(struct json_value alg, uint32_t *algorithms) {
    struct buf scratch = {0};
    enum jws_algorithm a = JWS_ALGORITHM_COUNT;
    if (alg.kind == JSON_KIND_MISSING)
        return NULL;
    if (alg.kind == JSON_KIND_STRING)
        a = jws_algorithm_find(json_decode(alg, &scratch));
    buf_fini(&scratch);
    if (a == JWS_ALGORITHM_COUNT || !(*algorithms & JWS_BIT(a)))
        return "has an alg that does not fit it, or a secret shorter than the hash of its alg";
    *algorithms = JWS_BIT(a);
    return NULL;
}

/* --- the key itself --------------------------------------------------------------------------- */

/* Takes the builder's parameters. */
static struct jwk *from_parameters(const char *type, OSSL_PARAM_BLD *bld, const char **fault) {
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    bool is_made = params && c && EVP_PKEY_fromdata_init(c) == 1 &&
                   EVP_PKEY_fromdata(c, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    if (is_made)
        return jwk_from_pkey(pkey, fault);
    *fault = "is no sound key: OpenSSL does not take it, as with a point off its curve";
    return NULL;
}

static struct jwk *read_rsa(const struct json_field *f, const char **fault) {
    struct buf n = {0}, e = {0};
    struct jwk *k = NULL;
    if (!read_bytes(f[N].value, NUMBER_BYTES_MAX, &n) || !read_bytes(f[E].value, 8, &e)) {
        *fault = "is an RSA key whose n or e is missing, not base64url, or too large";
    } else {
        BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
        BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        assert(modulus && exponent && bld);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent);
        k = from_parameters("RSA", bld, fault);
        OSSL_PARAM_BLD_free(bld);
        BN_free(modulus);
        BN_free(exponent);
    }
    buf_fini(&n);
    buf_fini(&e);
    return k;
}

struct curve {
    const char *name, *group;
    size_t coordinate_bytes;
};

static const struct curve *find_curve(struct json_value crv) {
    static const struct curve curves[] = {
        {"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (is_text(crv, curves[i].name))
            return &curves[i];
    return NULL;
}

static struct jwk *read_ec(const struct json_field *f, const char **fault) {
    const struct curve *curve = find_curve(f[CRV].value);
    struct buf point = {0};
    struct jwk *k = NULL;
    buf_add_char(&point, 4); /* not compressed: x and y follow */
    if (!curve) {
        *fault = "is on another curve than P-256, P-384 and P-521";
    } else if (!read_bytes(f[X].value, curve->coordinate_bytes, &point) ||
               point.n != 1 + curve->coordinate_bytes ||
               !read_bytes(f[Y].value, curve->coordinate_bytes, &point) ||
               point.n != 1 + 2 * curve->coordinate_bytes) {
        *fault = "is an EC key whose x or y is not base64url of as many bytes as its curve has";
    } else {
        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        assert(bld);
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0);
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n);
        k = from_parameters("EC", bld, fault);
        OSSL_PARAM_BLD_free(bld);
    }
    buf_fini(&point);
    return k;
}

static struct jwk *read_okp(const struct json_field *f, const char **fault) {
    struct buf raw = {0};
    struct jwk *k = NULL;
    if (!is_text(f[CRV].value, "Ed25519"))
        *fault = "is on another curve than Ed25519";
    else if (!read_bytes(f[X].value, JWK_ED25519_BYTES, &raw))
        *fault = "is an Ed25519 key whose x is not base64url of 32 bytes";
    else
        k = jwk_from_ed25519(buf_str(&raw), fault);
    buf_fini(&raw);
    return k;
}

static struct jwk *read_oct(const struct json_field *f, const char **fault) {
    struct buf secret = {0};
    struct jwk *k = NULL;
    if (!read_bytes(f[K].value, 4096, &secret))
        *fault = "is a secret whose k is missing, not base64url, or longer than 4096 bytes";
    else
        k = jwk_from_secret(buf_str(&secret), fault);
    if (secret.cap)
        sodium_memzero(secret.p, secret.cap);
    buf_fini(&secret);
    return k;
}

static struct jwk *read_key(const struct json_field *f, const char **fault) {
    if (is_text(f[KTY].value, "RSA"))
        return read_rsa(f, fault);
    if (is_text(f[KTY].value, "EC"))
        return read_ec(f, fault);
    if (is_text(f[KTY].value, "OKP"))
        return read_okp(f, fault);
    if (is_text(f[KTY].value, "oct"))
        return read_oct(f, fault);
    *fault = "has no kty that is known: RSA, EC, OKP or oct";
    return NULL;
}

struct jwk *jwk_from_json(struct json_value object, const char **fault) {
    struct json_field f[FIELD_COUNT];
    struct json_fault json_fault;
    struct json_value same;
    memcpy(f, known_fields, sizeof(f));
    if (!json_object_read(object.text, JSON_OBJECT_MEMBERS_MAX, &same) ||
        !json_fields(object, f, FIELD_COUNT, &json_fault)) {
        *fault = "is not a JSON object of at most 256 members with different names";
        return NULL;
    }
    const char *why = judge_use(f);
    struct jwk *k = why ? NULL : read_key(f, &why);
    if (k && (why = restrict_algorithms(f[ALG].value, &k->algorithms))) {
        jwk_destroy(k);
        k = NULL;
    }
    if (!k)
        *fault = why;
    return k;
}
