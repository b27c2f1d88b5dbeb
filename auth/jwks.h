/* A set of keys, each with a name, its kid (RFC 7517 section 5). Immutable once made; shared by
 * reference count, so that a new set can take its place while tokens are verified with the old one.
 *
 * A set is refused as a whole when it is no set, when two keys have the same kid, when it is too
 * large, or when no key of it can be used. A key that is of an unknown kind, for other uses, weak,
 * private, or without a kid is left out, with a word on why; whoever trusts the set fully (a file)
 * may ask for it to be refused then.
 *
 * Owns: its keys. Thread: any.
 */
#ifndef CARILLON_AUTH_JWKS_H
#define CARILLON_AUTH_JWKS_H

#include "auth/jwk.h"

#define JWKS_MAX_BYTES (256 * 1024u)
#define JWKS_KEYS_MAX 100u

struct jwks;

struct jwks_report {
    const char *fault;   /* static: why the set is refused; NULL: it is not */
    uint32_t key_count;  /* usable ones */
    uint32_t left_out;   /* keys that are not */
    uint32_t first_out;  /* index of the first of those */
    const char *why_out; /* of that one, static */
};

/* Gives the set in a text, with one reference, or NULL; *report is set in any case. A public set
 * (from a URL) must not hold secrets: they are left out. */
struct jwks *jwks_parse(struct str text, bool is_public, struct jwks_report *report);

void jwks_ref(struct jwks *s);
void jwks_unref(struct jwks *s); /* NULL is fine */

/* The key of exactly this name, or NULL. Lives as long as the set. */
const struct jwk *jwks_find(const struct jwks *s, struct str kid);

#endif
