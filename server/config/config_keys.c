/* The keys of tokens (config_loader.h): what the options say is parsed, so that a broken or weak
 * key stops the start, and kept, so that nothing is parsed for a token.
 *
 * Thread: one. Owns: nothing; the config owns the keys.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/config/config_value.h"

#include <string.h>

#define HMAC_KEY_BYTES_MIN 32
#define FETCH_TIMEOUT_MS 5000

/* One section of the configuration. */
struct section {
    struct config_loader *l;
    const char *name;
    struct config_keys *keys;
};

static void refuse(const struct section *s, const char *option, const char *what) {
    struct buf path = {0};
    buf_printf(&path, "%s.%s", s->name, option);
    config_loader_problem(s->l, config_loader_source(s->l, config_z(&path)), path.p, "%s", what);
    buf_fini(&path);
}

static void warn(const struct section *s, const char *option, const char *what) {
    struct buf path = {0};
    buf_printf(&path, "%s.%s", s->name, option);
    config_loader_warn(s->l, config_loader_source(s->l, config_z(&path)), path.p, "%s", what);
    buf_fini(&path);
}

/* --- secrets ---------------------------------------------------------------------------------- */

/* Short ones are common in Centrifugo's world, so they only get a warning unless all must be right.
 * A public key would be a secret that everybody knows (CVE-2022-29217). */
static void check_secret(const struct section *s, const char *option, const char *secret) {
    if (strstr(secret, "-----BEGIN "))
        refuse(s, option,
               "is a PEM text: a public key is no secret; see rsa_public_key and "
               "ecdsa_public_key");
    else if (*secret && strlen(secret) < HMAC_KEY_BYTES_MIN)
        (s->l->is_strict ? refuse : warn)(
            s, option, "is shorter than 32 bytes: its tokens can be forged by trying");
}

static void load_secrets(const struct section *s, const char *secret) {
    struct config_keys *k = s->keys;
    check_secret(s, "hmac_secret_key", secret);
    check_secret(s, "hmac_previous_secret_key", k->hmac_previous_secret_key);
    if (k->hmac_previous_secret_key_valid_until_s && !*k->hmac_previous_secret_key)
        refuse(s, "hmac_previous_secret_key_valid_until",
               "is set, but hmac_previous_secret_key is not");
    k->jws.hmac_secret = str_of(secret);
    k->jws.hmac_previous_secret = str_of(k->hmac_previous_secret_key);
    k->jws.hmac_previous_until_s = k->hmac_previous_secret_key_valid_until_s;
}

/* --- public keys ------------------------------------------------------------------------------ */

static struct jwk *load_key(const struct section *s, const char *option, char **field,
                            enum jwk_kind kind) {
    struct buf path = {0};
    struct jwk *k = NULL;
    const char *fault;
    buf_printf(&path, "%s.%s", s->name, option);
    if (config_loader_pem(s->l, config_z(&path), false, field) && **field) {
        k = jwk_from_pem(*field, kind, &fault);
        if (!k)
            refuse(s, option, fault);
    }
    buf_fini(&path);
    return k;
}

/* --- sets of keys ----------------------------------------------------------------------------- */

static void load_set(const struct section *s, const char *text) {
    struct jwks_report report;
    struct buf what = {0};
    struct jwks *set = jwks_parse(str_of(text), false, &report);
    if (set && !report.left_out) {
        s->keys->jws.jwks = jwks_cache_fixed(set);
        return;
    }
    if (report.left_out)
        buf_printf(&what, "cannot be used: key %u of it (counted from 0) %s", report.first_out,
                   report.why_out);
    else
        buf_printf(&what, "cannot be used: it %s", report.fault);
    refuse(s, "jwks_file", config_z(&what));
    jwks_unref(set);
    buf_fini(&what);
}

static void load_set_file(const struct section *s) {
    const char *why = NULL, *exposure = NULL;
    struct buf what = {0};
    char *text = config_read_file(s->keys->jwks_file, JWKS_MAX_BYTES, &exposure, &why);
    if (text) {
        load_set(s, text);
        if (exposure && strstr(text, "\"oct\"")) {
            buf_printf(&what, "holds secrets, and %s", exposure);
            warn(s, "jwks_file", config_z(&what));
        }
        explicit_bzero(text, strlen(text));
    } else {
        buf_printf(&what, "cannot be read: %s", why);
        refuse(s, "jwks_file", config_z(&what));
    }
    mem_free(text);
    buf_fini(&what);
}

static void load_endpoint(const struct section *s) {
    struct config_keys *k = s->keys;
    const char *fault =
        jwks_cache_check_url(k->jwks_public_endpoint, k->insecure_skip_jwks_endpoint_safety_check);
    if (fault) {
        refuse(s, "jwks_public_endpoint", fault);
        return;
    }
    if (k->insecure_skip_jwks_endpoint_safety_check &&
        jwks_cache_check_url(k->jwks_public_endpoint, false))
        warn(s, "insecure_skip_jwks_endpoint_safety_check",
             "whoever is between here and jwks_public_endpoint can make tokens for every user");
    k->jws.jwks =
        jwks_cache_create(&(struct jwks_cache_options){.url = k->jwks_public_endpoint,
                                                       .refresh_ms = k->jwks_refresh_interval_ms,
                                                       .retry_ms = k->jwks_retry_interval_ms,
                                                       .timeout_ms = FETCH_TIMEOUT_MS});
}

static void load_sets(const struct section *s) {
    struct config_keys *k = s->keys;
    if (*k->jwks_file && *k->jwks_public_endpoint)
        refuse(s, "jwks_file", "contradicts jwks_public_endpoint: set one of them");
    else if (*k->jwks_file)
        load_set_file(s);
    else if (*k->jwks_public_endpoint)
        load_endpoint(s);
    if (k->jws.jwks && (k->jws.hmac_secret.n || k->jws.rsa || k->jws.ecdsa || k->jws.ed25519))
        warn(s, *k->jwks_file ? "jwks_file" : "jwks_public_endpoint",
             "is set, so the other keys in this section are not used");
}

/* --- all of it -------------------------------------------------------------------------------- */

static void load_keys(const struct section *s, const char *secret) {
    struct config_keys *k = s->keys;
    load_secrets(s, secret);
    k->jws.rsa = load_key(s, "rsa_public_key", &k->rsa_public_key, JWK_RSA);
    k->jws.ecdsa = load_key(s, "ecdsa_public_key", &k->ecdsa_public_key, JWK_EC);
    k->jws.ed25519 = load_key(s, "ed25519_public_key", &k->ed25519_public_key, JWK_ED25519);
    load_sets(s);
}

void config_loader_keys(struct config_loader *l) {
    struct config *c = l->config;
    load_keys(&(struct section){l, "client.token", &c->client_token_keys},
              c->client_token_hmac_secret_key);
    load_keys(&(struct section){l, "client.subscription_token", &c->client_subscription_token_keys},
              c->client_subscription_token_hmac_secret_key);
}

void config_keys_fini(struct config_keys *k) {
    jwk_destroy(k->jws.rsa);
    jwk_destroy(k->jws.ecdsa);
    jwk_destroy(k->jws.ed25519);
    jwks_cache_destroy(k->jws.jwks);
    k->jws = (struct jws_keys){0};
}
