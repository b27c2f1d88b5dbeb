/* See api_keys.h.
 *
 * Thread: a keyring has one lock for reading and replacing; counters are atomic.
 */
#include "auth/api_keys.h"

#include "auth/base64url.h"
#include "server/base/mem.h"

#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

enum { SALT_BYTES = 16, HASH_BYTES = 32, RANDOM_BYTES = 32, DISTINCT_MIN = 8 };

#define HASH_NAME "blake2b$"
#define MADE_PREFIX "ck_" /* so that scanners for leaked keys can know one */

struct entry {
    struct api_caller caller;
    unsigned char salt[SALT_BYTES], hash[HASH_BYTES];
    _Atomic uint64_t allowed_count, denied_count;
};

struct api_keys {
    size_t count;
    struct entry entries[];
};

struct api_keyring {
    pthread_rwlock_t lock;
    struct api_keys *keys; /* under lock; NULL: none */
};

/* --- scopes ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned bits;
} scopes[] = {
    {"publish", API_SCOPE_PUBLISH},
    {"read", API_SCOPE_READ},
    {"all", API_SCOPES_EVERY},
};
enum { SCOPE_COUNT = sizeof(scopes) / sizeof(scopes[0]) };

const char *api_scope_name(enum api_scope s) {
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (scopes[i].bits == (unsigned)s)
            return scopes[i].name;
    return "all";
}

/* 0: there is no such scope. */
static unsigned scope_bits(const char *name) {
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (!strcmp(name, scopes[i].name))
            return scopes[i].bits;
    return 0;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static void hash(struct str key, const unsigned char *salt, unsigned char *out) {
    crypto_generichash(out, HASH_BYTES, (const unsigned char *)key.p, key.n, salt, SALT_BYTES);
}

const char *api_key_fault(struct str key) {
    bool is_seen[256] = {false};
    size_t distinct = 0;
    if (key.n < API_KEY_MIN_BYTES)
        return "is shorter than 32 characters: it could be found by trying";
    if (key.n > API_KEY_MAX_BYTES)
        return "is longer than 512 characters";
    for (size_t i = 0; i < key.n; i++) {
        unsigned char c = (unsigned char)key.p[i];
        if (c <= ' ' || c > '~')
            return "has a space or another character in it that does not fit into a header";
        distinct += !is_seen[c];
        is_seen[c] = true;
    }
    return distinct < DISTINCT_MIN ? "is not random: it has fewer than 8 different characters"
                                   : NULL;
}

void api_key_make(struct buf *out) {
    unsigned char random[RANDOM_BYTES];
    randombytes_buf(random, sizeof(random));
    buf_add_z(out, MADE_PREFIX);
    base64url_encode((struct str){(char *)random, sizeof(random)}, out);
    sodium_memzero(random, sizeof(random));
}

void api_key_hash(struct str key, struct buf *out) {
    unsigned char salt[SALT_BYTES], hashed[HASH_BYTES];
    randombytes_buf(salt, sizeof(salt));
    hash(key, salt, hashed);
    buf_add_z(out, HASH_NAME);
    base64url_encode((struct str){(char *)salt, sizeof(salt)}, out);
    buf_add_char(out, '$');
    base64url_encode((struct str){(char *)hashed, sizeof(hashed)}, out);
}

static bool read_bytes(struct str text, unsigned char *out, size_t n) {
    struct buf bytes = {0};
    bool is_good = base64url_decode(text, &bytes) && bytes.n == n;
    if (is_good)
        memcpy(out, bytes.p, n);
    buf_fini(&bytes);
    return is_good;
}

static bool read_hash(const char *text, struct entry *e) {
    const size_t name_n = strlen(HASH_NAME);
    const char *dollar;
    if (strncmp(text, HASH_NAME, name_n) != 0)
        return false;
    text += name_n;
    dollar = strchr(text, '$');
    return dollar && read_bytes((struct str){text, (size_t)(dollar - text)}, e->salt, SALT_BYTES) &&
           read_bytes(str_of(dollar + 1), e->hash, HASH_BYTES);
}

/* --- files ------------------------------------------------------------------------------------ */

static bool is_name(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= API_KEY_NAME_MAX && !text[n];
}

static const char *read_name(const json_t *value, const struct api_keys *k, struct entry *e) {
    const char *text = json_string_value(value);
    if (!text || !is_name(text))
        return "\"name\" must be 1 to 64 letters, digits, _ and -";
    for (size_t i = 0; i < k->count; i++)
        if (!strcmp(k->entries[i].caller.name, text))
            return "its \"name\" is that of another key, too";
    strcpy(e->caller.name, text);
    return NULL;
}

static const char *read_scopes(const json_t *list, struct entry *e) {
    static const char why[] = "\"scopes\" must be a list of \"publish\", \"read\" or \"all\"";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        unsigned bits = name ? scope_bits(name) : 0;
        if (!bits)
            return why;
        e->caller.scopes |= bits;
    }
    return e->caller.scopes ? NULL : why;
}

/* NULL, or what is wrong. A member that nobody knows may be meant to restrict something. */
static const char *read_entry(const json_t *item, const struct api_keys *k, struct entry *e) {
    const char *key, *hash_text = json_string_value(json_object_get(item, "hash"));
    const json_t *value;
    if (!json_is_object(item))
        return "it must be an object of \"name\", \"scopes\" and \"hash\"";
    json_object_foreach((json_t *)(uintptr_t)item, key, value) {
        if (strcmp(key, "name") != 0 && strcmp(key, "scopes") != 0 && strcmp(key, "hash") != 0)
            return "it may have only \"name\", \"scopes\" and \"hash\"";
    }
    const char *why = read_name(json_object_get(item, "name"), k, e);
    if (!why)
        why = read_scopes(json_object_get(item, "scopes"), e);
    if (!why && (!hash_text || !read_hash(hash_text, e)))
        why = "\"hash\" must be what `carillon key hash` prints, blake2b$SALT$HASH";
    return why;
}

static struct api_keys *read_list(const json_t *root, struct buf *why) {
    const json_t *list = json_object_get(root, "keys");
    size_t count = json_array_size(list);
    if (json_object_size(root) != 1 || !json_is_array(list) || count > API_KEYS_MAX) {
        buf_printf(why, "must be {\"keys\": [...]}, a list of at most %d keys", API_KEYS_MAX);
        return NULL;
    }
    struct api_keys *k = mem_zalloc(sizeof(*k) + count * sizeof(k->entries[0]));
    while (k->count < count) {
        const char *fault = read_entry(json_array_get(list, k->count), k, &k->entries[k->count]);
        if (fault) {
            buf_printf(why, "keys[%zu]: %s", k->count, fault);
            mem_free(k);
            return NULL;
        }
        k->count++;
    }
    return k;
}

/* What jansson quotes of the text stays here: a key may stand there by mistake. */
struct api_keys *api_keys_parse(struct str text, struct buf *why) {
    json_error_t error;
    json_t *root = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    struct api_keys *k = NULL;
    if (root)
        k = read_list(root, why);
    else
        buf_printf(why, "is no valid JSON, see line %d, column %d", error.line, error.column);
    json_decref(root);
    return k;
}

void api_keys_destroy(struct api_keys *k) {
    mem_free(k);
}

size_t api_keys_count(const struct api_keys *k) {
    return k->count;
}

/* --- keyring ---------------------------------------------------------------------------------- */

struct api_keyring *api_keyring_create(void) {
    struct api_keyring *r = mem_zalloc(sizeof(*r));
    pthread_rwlock_init(&r->lock, NULL);
    return r;
}

void api_keyring_destroy(struct api_keyring *r) {
    if (!r)
        return;
    pthread_rwlock_destroy(&r->lock);
    api_keys_destroy(r->keys);
    mem_free(r);
}

/* NULL: no key has this name. */
static struct entry *find_name(struct api_keys *k, const char *name) {
    for (size_t i = 0; k && i < k->count; i++)
        if (!strcmp(k->entries[i].caller.name, name))
            return &k->entries[i];
    return NULL;
}

void api_keyring_replace(struct api_keyring *r, struct api_keys *k) {
    pthread_rwlock_wrlock(&r->lock);
    struct api_keys *old = r->keys;
    for (size_t i = 0; k && i < k->count; i++) {
        struct entry *e = &k->entries[i];
        const struct entry *before = find_name(old, e->caller.name);
        if (before) {
            e->allowed_count = before->allowed_count;
            e->denied_count = before->denied_count;
        }
    }
    r->keys = k;
    pthread_rwlock_unlock(&r->lock);
    api_keys_destroy(old);
}

bool api_keyring_find(struct api_keyring *r, struct str key, struct api_caller *out) {
    const struct entry *found = NULL;
    unsigned char hashed[HASH_BYTES];
    if (!r || key.n == 0 || key.n > API_KEY_MAX_BYTES)
        return false;
    pthread_rwlock_rdlock(&r->lock);
    for (size_t i = 0; r->keys && i < r->keys->count; i++) {
        const struct entry *e = &r->keys->entries[i];
        hash(key, e->salt, hashed);
        if (sodium_memcmp(hashed, e->hash, HASH_BYTES) == 0)
            found = e;
    }
    if (found)
        *out = found->caller;
    pthread_rwlock_unlock(&r->lock);
    sodium_memzero(hashed, sizeof(hashed));
    return found != NULL;
}

void api_keyring_count(struct api_keyring *r, const struct api_caller *who, bool is_allowed) {
    if (!r)
        return;
    pthread_rwlock_rdlock(&r->lock);
    struct entry *e = find_name(r->keys, who->name);
    if (e)
        atomic_fetch_add_explicit(is_allowed ? &e->allowed_count : &e->denied_count, 1,
                                  memory_order_relaxed);
    pthread_rwlock_unlock(&r->lock);
}

void api_keyring_each(struct api_keyring *r, api_keyring_each_fn *fn, void *arg) {
    if (!r)
        return;
    pthread_rwlock_rdlock(&r->lock);
    for (size_t i = 0; r->keys && i < r->keys->count; i++) {
        const struct entry *e = &r->keys->entries[i];
        fn(arg, e->caller.name, e->allowed_count, e->denied_count);
    }
    pthread_rwlock_unlock(&r->lock);
}
