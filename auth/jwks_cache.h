/* Where the keys of tokens come from when they are a set: fixed, or fetched from a URL by a thread
 * of its own.
 *
 * A fetched set is asked for again every refresh_ms, and when a token names a key that is not in
 * it, though never sooner than retry_ms after the last time, however many such tokens come. While
 * the endpoint is down, or says nonsense, the last good set stays in use; the first failure is
 * logged, all are counted.
 *
 * Owns: the current set, its thread. Thread: main creates, starts and destroys it; any other calls.
 */
#ifndef CARILLON_AUTH_JWKS_CACHE_H
#define CARILLON_AUTH_JWKS_CACHE_H

#include "auth/jwks.h"

struct jwks_cache;

struct jwks_cache_options {
    const char *url; /* checked with jwks_cache_check_url() */
    uint32_t refresh_ms, retry_ms, timeout_ms;
};

/* NULL, or why the URL will not do, a static text: https, or http to this machine, unless
 * is_unsafe_allowed; no {{template}}, user or fragment. */
const char *jwks_cache_check_url(const char *url, bool is_unsafe_allowed);

/* Takes the set; it never changes. */
struct jwks_cache *jwks_cache_fixed(struct jwks *set);

/* Copies the options. Nothing is fetched yet. */
struct jwks_cache *jwks_cache_create(const struct jwks_cache_options *o);

/* Begins to fetch, in a thread, and waits for the first answer, at most timeout_ms. NULL and fixed
 * ones are fine. False when there can be no thread. */
bool jwks_cache_start(struct jwks_cache *c);

/* Instead of a start: fetches once, in this thread. NULL, or what went wrong, a static text. */
const char *jwks_cache_fetch_now(struct jwks_cache *c);

/* Ends the thread; NULL is fine. */
void jwks_cache_destroy(struct jwks_cache *c);

/* Gives a reference to the current set, or NULL when there was none yet. */
struct jwks *jwks_cache_get(struct jwks_cache *c);

/* A token names a key that is not in the set. True when a newer set will be fetched, so that the
 * same token may be good later. */
bool jwks_cache_ask(struct jwks_cache *c);

struct jwks_cache_counts {
    uint64_t fetched, failed;
};

struct jwks_cache_counts jwks_cache_counts(struct jwks_cache *c);

#endif
