/* Keys of the server API: who may call what.
 *
 * A file holds, for each key, a name, its scopes and a salted hash; the key itself is nowhere:
 *
 *   {"keys": [{"name": "shop", "scopes": ["publish"], "hash": "blake2b$SALT$HASH"}]}
 *
 * The hash is BLAKE2b-256 with a salt of 16 bytes, not a password hash. A password hash is slow (64
 * MiB and 0.1 s each time) so that few words can be tried; these keys are random, at least 128 bits
 * of them, so that nobody can try them anyway, and each request must be checked. That is why short
 * or plain keys are not hashed. Each check hashes for all entries and compares all of them in
 * constant time: how long it takes says nothing about which key, or how much of one, was right.
 *
 * A keyring is the set in use. It can be replaced while requests are checked; what was counted for
 * a name goes on under that name.
 *
 * Thread: parse, hash: any. A keyring: any.
 * Owns: a keyring its set.
 */
#ifndef CARILLON_AUTH_API_KEYS_H
#define CARILLON_AUTH_API_KEYS_H

#include "server/base/buf.h"

#include <stdint.h>

enum {
    API_KEYS_MAX = 100,
    API_KEY_NAME_MAX = 64,
    API_KEY_MIN_BYTES = 32,
    API_KEY_MAX_BYTES = 512,
    API_KEYS_FILE_MAX_BYTES = 128 * 1024,
};

/* Bits. A method that needs API_SCOPE_ALL is for keys that may do everything. */
enum api_scope {
    API_SCOPE_PUBLISH = 1, /* publish, broadcast */
    API_SCOPE_READ = 2,    /* presence, history, info, channels and figures of them */
    API_SCOPE_ALL = 4,     /* all of it, the rest included */
    API_SCOPES_EVERY = 7,  /* what a key with "all" has */
};

/* "publish", "read" or "all". */
const char *api_scope_name(enum api_scope s);

/* Whose key was given. */
struct api_caller {
    char name[API_KEY_NAME_MAX + 1];
    unsigned scopes;
};

struct api_keys;

/* Gives the set that a file's text describes; NULL with *why in words, without anything secret,
 * when any of it is wrong: nothing is taken in part. */
struct api_keys *api_keys_parse(struct str text, struct buf *why);
void api_keys_destroy(struct api_keys *k);
size_t api_keys_count(const struct api_keys *k);

/* NULL when such a key may be hashed; else why not, a static text. */
const char *api_key_fault(struct str key);

/* Appends a new random key, 256 bits. */
void api_key_make(struct buf *out);

/* Appends "blake2b$SALT$HASH" with a fresh salt. */
void api_key_hash(struct str key, struct buf *out);

/* --- keyring ---------------------------------------------------------------------------------- */

struct api_keyring;

struct api_keyring *api_keyring_create(void);
void api_keyring_destroy(struct api_keyring *r);

/* Takes the new set. */
void api_keyring_replace(struct api_keyring *r, struct api_keys *k);

/* False when the key is none of them. A NULL ring has no keys. */
bool api_keyring_find(struct api_keyring *r, struct str key, struct api_caller *out);

/* One more call of this caller, which was let through or lacked the scope. */
void api_keyring_count(struct api_keyring *r, const struct api_caller *who, bool is_allowed);

typedef void api_keyring_each_fn(void *arg, const char *name, uint64_t allowed_count,
                                 uint64_t denied_count);
void api_keyring_each(struct api_keyring *r, api_keyring_each_fn *fn, void *arg);

#endif
