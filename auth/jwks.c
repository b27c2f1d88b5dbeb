/* See jwks.h. Sets are small, so a key is found by comparing names one by one.
 *
 * Thread: any.
 */
#include "auth/jwks.h"

#include "auth/json_object.h"
#include "server/base/mem.h"

#include <stdatomic.h>

struct named_key {
    struct str kid; /* in names */
    struct jwk *key;
};

struct jwks {
    atomic_uint refs;
    uint32_t count;
    struct buf names;
    struct named_key keys[JWKS_KEYS_MAX];
};

void jwks_ref(struct jwks *s) {
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void jwks_unref(struct jwks *s) {
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        jwk_destroy(s->keys[i].key);
    buf_fini(&s->names);
    mem_free(s);
}

const struct jwk *jwks_find(const struct jwks *s, struct str kid) {
    for (uint32_t i = 0; i < s->count; i++)
        if (str_equal(s->keys[i].kid, kid))
            return s->keys[i].key;
    return NULL;
}

/* --- parsing ---------------------------------------------------------------------------------- */

static void leave_out(struct jwks_report *r, uint32_t index, const char *why) {
    if (r->left_out++ == 0) {
        r->first_out = index;
        r->why_out = why;
    }
}

/* The kid of an object, also of one that repeats other names; empty when there is none. Borrows
 * what it is decoded to. False when there are two. */
static bool read_kid(struct json_value object, struct buf *scratch, struct str *kid) {
    struct json_field f = JSON_FIELD("kid");
    struct json_fault fault;
    *kid = STR_NONE;
    if (object.kind != JSON_KIND_OBJECT)
        return true;
    if (!json_fields(object, &f, 1, &fault))
        return false;
    if (f.value.kind == JSON_KIND_STRING)
        *kid = json_decode(f.value, scratch);
    return true;
}

/* Two keys of one name, even if neither can be used: nobody could say which is meant. */
static bool names_differ(struct json_value list) {
    struct json_value object;
    struct buf all = {0}, scratch = {0};
    struct {
        size_t at, n;
    } seen[JWKS_KEYS_MAX];
    size_t count = 0;
    bool is_good = true;
    for (size_t at = 0; is_good && json_each(list, &at, NULL, &object);) {
        struct str kid;
        is_good = read_kid(object, &scratch, &kid);
        for (size_t i = 0; is_good && kid.n && i < count; i++)
            is_good = !str_equal((struct str){all.p + seen[i].at, seen[i].n}, kid);
        if (is_good && kid.n && count < JWKS_KEYS_MAX) {
            seen[count].at = all.n;
            seen[count++].n = kid.n;
            buf_add(&all, kid);
        }
    }
    buf_fini(&all);
    buf_fini(&scratch);
    return is_good;
}

static struct jwk *read_key(struct json_value object, bool is_public, const char **why) {
    if (object.kind != JSON_KIND_OBJECT) {
        *why = "is not an object";
        return NULL;
    }
    struct jwk *k = jwk_from_json(object, why);
    if (k && is_public && jwk_kind(k) == JWK_SECRET) {
        jwk_destroy(k);
        *why = "is a secret: it must not be where everybody can read it";
        return NULL;
    }
    return k;
}

/* names has room for all of them and does not move. */
static void add_key(struct jwks *s, struct json_value object, bool is_public, uint32_t index,
                    struct jwks_report *r) {
    const char *why = "has no kid";
    struct buf scratch = {0};
    struct str kid;
    read_kid(object, &scratch, &kid);
    struct jwk *k = kid.n ? read_key(object, is_public, &why) : NULL;
    if (k) {
        s->keys[s->count++] = (struct named_key){{s->names.p + s->names.n, kid.n}, k};
        buf_add(&s->names, kid);
    } else {
        leave_out(r, index, why);
    }
    buf_fini(&scratch);
}

static bool read_list(struct str text, struct json_value *list, const char **fault) {
    struct json_field f = JSON_FIELD("keys");
    struct json_fault json_fault;
    struct json_value object, each;
    uint32_t count = 0;
    if (text.n > JWKS_MAX_BYTES)
        *fault = "is larger than 256 KiB";
    else if (!json_object_read(text, JSON_OBJECT_MEMBERS_MAX, &object) ||
             !json_fields(object, &f, 1, &json_fault) || f.value.kind != JSON_KIND_ARRAY)
        *fault = "is no JSON Web Key Set: a JSON object with a list named keys";
    else {
        for (size_t at = 0; json_each(f.value, &at, NULL, &each);)
            count++;
        *fault = count > JWKS_KEYS_MAX ? "has more than 100 keys" : NULL;
        *list = f.value;
    }
    return !*fault;
}

struct jwks *jwks_parse(struct str text, bool is_public, struct jwks_report *report) {
    struct json_value list, object;
    uint32_t index = 0;
    *report = (struct jwks_report){0};
    if (!read_list(text, &list, &report->fault))
        return NULL;
    if (!names_differ(list)) {
        report->fault = "has two keys with the same kid";
        return NULL;
    }
    struct jwks *s = mem_zalloc(sizeof(*s));
    s->refs = 1;
    buf_reserve(&s->names, text.n);
    for (size_t at = 0; json_each(list, &at, NULL, &object); index++)
        add_key(s, object, is_public, index, report);
    report->key_count = s->count;
    if (s->count)
        return s;
    report->fault = report->left_out ? "has no key that can be used" : "has no key";
    jwks_unref(s);
    return NULL;
}
