/* See cluster_envelope.h.
 *
 * Thread: any.
 */
#include "channels/cluster_envelope.h"

#include "server/base/pack.h"

#include <ctype.h>

#define MAGIC STR("CRC1")
static const char letters[] = {'Q', 'A', 'T'};

static bool is_uid(struct str uid) {
    for (size_t i = 0; i < uid.n; i++)
        if (!isalnum((unsigned char)uid.p[i]) && uid.p[i] != '-' && uid.p[i] != '_')
            return false;
    return uid.n > 0 && uid.n <= CLUSTER_UID_MAX;
}

bool cluster_envelope_add(struct buf *b, const struct cluster_envelope *e) {
    if (e->body.n > CLUSTER_BODY_MAX)
        return false;
    buf_add(b, MAGIC);
    pack_u8(b, (uint8_t)letters[e->kind]);
    pack_u8(b, e->op);
    pack_u8(b, e->status);
    pack_u8(b, 0);
    pack_u64(b, e->id);
    pack_u32(b, (uint32_t)e->from.n);
    pack_u32(b, (uint32_t)e->body.n);
    buf_add(b, e->from);
    buf_add(b, e->body);
    return true;
}

static bool read_kind(uint8_t letter, enum cluster_kind *kind) {
    for (size_t i = 0; i < sizeof(letters); i++) {
        if ((uint8_t)letters[i] != letter)
            continue;
        *kind = (enum cluster_kind)i;
        return true;
    }
    return false;
}

static bool is_sound(const struct cluster_envelope *e) {
    return is_uid(e->from) && e->body.n <= CLUSTER_BODY_MAX &&
           (e->kind == CLUSTER_TELLS) == (e->id == 0) &&
           (e->kind == CLUSTER_ANSWERS || e->status == 0);
}

bool cluster_envelope_read(struct str bytes, struct cluster_envelope *out) {
    struct unpack u = {.rest = bytes};
    struct cluster_envelope e = {0};
    bool is_ours = str_equal(unpack_bytes(&u, MAGIC.n), MAGIC);
    is_ours &= read_kind(unpack_u8(&u), &e.kind);
    e.op = unpack_u8(&u);
    e.status = unpack_u8(&u);
    is_ours &= unpack_u8(&u) == 0;
    e.id = unpack_u64(&u);
    size_t uid_bytes = unpack_u32(&u), body_bytes = unpack_u32(&u);
    e.from = unpack_bytes(&u, uid_bytes);
    e.body = unpack_bytes(&u, body_bytes);
    if (!is_ours || !unpack_is_over(&u) || !is_sound(&e))
        return false;
    *out = e;
    return true;
}
