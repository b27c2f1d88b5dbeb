/* What the claims of tokens must be: checks between these options, and the patterns that are made
 * of them (config_loader.h).
 *
 * Thread: one. Owns: nothing; the config owns the patterns.
 */
#include "server/config/config_loader.h"

#include "auth/scopes.h"
#include "server/base/pattern.h"
#include "server/config/config_checks.h"
#include "server/config/config_value.h"

#include <string.h>

static void refuse(struct config_loader *l, const char *section, const char *name,
                   const char *what) {
    struct buf option = {0};
    buf_printf(&option, "%s.%s", section, name);
    config_loader_problem(l, config_loader_source(l, config_z(&option)), config_z(&option), "%s",
                          what);
    buf_fini(&option);
}

bool config_check_scope(char *value, const char **allowed) {
    *allowed = "SCOPE=PERMISSIONS=CHANNELS, such as chat.read=sub+hst=chat:*; the permissions are "
               "sub, pub, prs and hst, with + between them";
    return scopes_check(str_of(value));
}

static void compile(struct config_loader *l, const char *section, const char *name,
                    const char *source, struct pattern **pattern) {
    const char *why;
    struct buf text = {0};
    if (!*source)
        return;
    *pattern = pattern_create(str_of(source), &why);
    if (!*pattern) {
        buf_printf(&text, "is not a regular expression in Go's syntax: %s", why);
        refuse(l, section, name, config_z(&text));
    }
    buf_fini(&text);
}

/* As Centrifugo refuses it, too. */
static void check(struct config_loader *l, const char *section, struct config_claims *c) {
    compile(l, section, "audience_regex", c->audience_regex, &c->audience_pattern);
    compile(l, section, "issuer_regex", c->issuer_regex, &c->issuer_pattern);
    if (*c->audience && *c->audience_regex)
        refuse(l, section, "audience_regex", "contradicts audience: set one of them");
    if (*c->issuer && *c->issuer_regex)
        refuse(l, section, "issuer_regex", "contradicts issuer: set one of them");
}

/* Centrifugo does not look at them either. */
static void warn_unused(struct config_loader *l, const char *section,
                        const struct config_claims *c) {
    if (*c->audience || *c->audience_regex || *c->issuer || *c->issuer_regex || *c->user_id_claim ||
        *l->config->client_subscription_token_hmac_secret_key)
        config_loader_warn(l, config_loader_source(l, section), section,
                           "the options have no effect without enabled: those of client.token "
                           "count for subscription tokens, too");
}

void config_loader_claims(struct config_loader *l) {
    struct config *c = l->config;
    struct config_claims *claims = &c->client_token_claims;
    if (claims->scopes.count <= SCOPES_MAX)
        claims->scope_table = scopes_create(claims->scopes.items, claims->scopes.count);
    else
        refuse(l, "client.token", "scopes", "has more than 64 lines");
    if (!c->client_subscription_token_enabled)
        warn_unused(l, "client.subscription_token", &c->client_subscription_token_claims);
    check(l, "client.token", &c->client_token_claims);
    check(l, "client.subscription_token", &c->client_subscription_token_claims);
}

void config_claims_fini(struct config_claims *c) {
    pattern_destroy(c->audience_pattern);
    pattern_destroy(c->issuer_pattern);
    scopes_destroy(c->scope_table);
    c->audience_pattern = c->issuer_pattern = NULL;
    c->scope_table = NULL;
}

struct token_policy config_token_policy(const struct config *c, enum token_kind kind) {
    bool is_second = kind == TOKEN_SUBSCRIPTION && c->client_subscription_token_enabled;
    const struct config_claims *claims =
        is_second ? &c->client_subscription_token_claims : &c->client_token_claims;
    const struct config_keys *keys =
        is_second ? &c->client_subscription_token_keys : &c->client_token_keys;
    return (struct token_policy){
        .kind = kind,
        .keys = &keys->jws,
        .user_id_claim = str_of(claims->user_id_claim),
        .audience = str_of(claims->audience),
        .issuer = str_of(claims->issuer),
        .audience_pattern = claims->audience_pattern,
        .issuer_pattern = claims->issuer_pattern,
        .scopes = c->client_token_claims.scope_table,
        .leeway_s = claims->leeway_s,
    };
}
