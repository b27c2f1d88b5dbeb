/* See revocations.h.
 *
 * What has ended counts no more, and is taken out when there is no room for more.
 *
 * Thread: one lock for all; who asks takes it only when there is anything to find.
 */
#include "auth/revocations.h"

#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"
#include "server/base/pack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct entry {
    struct map_node node;
    int64_t issued_before_s, expires_at_s;
    char id[];
};

struct revocations {
    pthread_rwlock_t lock;
    struct map tokens, users; /* under lock */
    _Atomic size_t count;     /* of both; changed under lock */
};

void revocation_pack(const struct revocation *v, struct buf *b) {
    pack_u8(b, (uint8_t)v->kind);
    pack_u64(b, (uint64_t)v->issued_before_s);
    pack_str(b, v->id);
}

bool revocation_unpack(struct str bytes, struct revocation *out) {
    struct unpack u = {.rest = bytes};
    uint8_t kind = unpack_u8(&u);
    uint64_t issued_before_s = unpack_u64(&u);
    struct str id = unpack_str(&u, REVOCATION_ID_MAX_BYTES);
    if (!unpack_is_over(&u) || (kind != REVOKED_TOKEN && kind != REVOKED_USER) || !id.n ||
        issued_before_s > INT64_MAX)
        return false;
    *out = (struct revocation){.kind = kind, .id = id, .issued_before_s = (int64_t)issued_before_s};
    return true;
}

struct revocations *revocations_create(void) {
    struct revocations *r = mem_zalloc(sizeof(*r));
    pthread_rwlock_init(&r->lock, NULL);
    map_init(&r->tokens);
    map_init(&r->users);
    return r;
}

static void drop(struct map_node *n, void *arg) {
    (void)arg;
    mem_free(list_entry(n, struct entry, node));
}

void revocations_destroy(struct revocations *r) {
    if (!r)
        return;
    map_clear(&r->tokens, drop, NULL);
    map_clear(&r->users, drop, NULL);
    pthread_rwlock_destroy(&r->lock);
    mem_free(r);
}

static struct entry *find(const struct map *m, struct str id) {
    struct map_node *n = map_find(m, id);
    return n ? list_entry(n, struct entry, node) : NULL;
}

/* The map must not change while it is walked. */
static void expire(struct map *m, int64_t now_s, _Atomic size_t *count) {
    struct entry **ended = mem_array(m->count + 1, sizeof(struct entry *));
    size_t ended_count = 0;
    for (struct map_node *n = NULL; (n = map_next(m, n));) {
        struct entry *e = list_entry(n, struct entry, node);
        if (e->expires_at_s <= now_s)
            ended[ended_count++] = e;
    }
    for (size_t i = 0; i < ended_count; i++) {
        map_remove(m, &ended[i]->node);
        mem_free(ended[i]);
    }
    *count -= ended_count;
    mem_free(ended);
}

static void expire_all(struct revocations *r, int64_t now_s) {
    expire(&r->tokens, now_s, &r->count);
    expire(&r->users, now_s, &r->count);
}

static struct entry *make(struct revocations *r, struct map *m, struct str id) {
    struct entry *e = mem_zalloc(sizeof(*e) + id.n);
    memcpy(e->id, id.p, id.n);
    map_insert(m, &e->node, (struct str){e->id, id.n});
    r->count++;
    return e;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

bool revocations_add(struct revocations *r, const struct revocation *v, int64_t now_s) {
    if (v->expires_at_s <= now_s)
        return true;
    pthread_rwlock_wrlock(&r->lock);
    struct map *m = v->kind == REVOKED_TOKEN ? &r->tokens : &r->users;
    struct entry *e = find(m, v->id);
    if (!e && r->count >= REVOCATIONS_MAX)
        expire_all(r, now_s);
    if (!e && r->count < REVOCATIONS_MAX)
        e = make(r, m, v->id);
    if (e) {
        e->issued_before_s = later(e->issued_before_s, v->issued_before_s);
        e->expires_at_s = later(e->expires_at_s, v->expires_at_s);
    }
    pthread_rwlock_unlock(&r->lock);
    return e != NULL;
}

bool revocations_refuse(struct revocations *r, const struct token_identity *t, int64_t now_s) {
    if (!r || r->count == 0)
        return false;
    pthread_rwlock_rdlock(&r->lock);
    const struct entry *of_token = t->id.n ? find(&r->tokens, t->id) : NULL;
    const struct entry *of_user = t->user.n ? find(&r->users, t->user) : NULL;
    bool is_refused =
        (of_token && now_s < of_token->expires_at_s) ||
        (of_user && now_s < of_user->expires_at_s && t->issued_at_s < of_user->issued_before_s);
    pthread_rwlock_unlock(&r->lock);
    return is_refused;
}

size_t revocations_count(struct revocations *r) {
    return r->count;
}
