/* See emulated.h.
 *
 * Thread: see the header.
 */
#include "server/session/emulated.h"

#include "server/base/mem.h"
#include "server/base/pack.h"
#include "server/session/node_calls.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { EMULATED_WAITING_MAX_BYTES = 4 << 20 };
enum { SECRET_BYTES = 16, SECRET_DIGITS = 2 * SECRET_BYTES, NODE_UID_MAX_BYTES = 64 };

void emulated_begin(struct client *c) {
    uint8_t secret[SECRET_BYTES];
    char hex[SECRET_DIGITS + 1], text[EMULATED_SESSION_MAX_BYTES];
    randombytes_buf(secret, sizeof(secret));
    sodium_bin2hex(hex, sizeof(hex), secret, sizeof(secret));
    snprintf(text, sizeof(text), "%s.%u.%u.%u", hex, c->sessions->worker, c->slot, c->generation);
    c->session = mem_strndup(text, strlen(text));
}

/* --- where a client is ------------------------------------------------------------------------ */

struct place {
    uint64_t worker, slot, generation;
};

static bool read_number(struct str *rest, uint64_t *out) {
    struct str part;
    return str_cut(rest, '.', &part) && str_to_u64(part, out) && *out <= UINT32_MAX;
}

static bool read_session(struct str session, struct place *out) {
    struct str rest = session, secret;
    return session.n < EMULATED_SESSION_MAX_BYTES && str_cut(&rest, '.', &secret) &&
           secret.n == SECRET_DIGITS && read_number(&rest, &out->worker) &&
           read_number(&rest, &out->slot) && read_number(&rest, &out->generation) && rest.n == 0;
}

static struct client *find(struct sessions *s, struct str session) {
    struct place at;
    if (!read_session(session, &at) || at.worker != s->worker)
        return NULL;
    struct client *c =
        sessions_find(s, (struct client_handle){(uint32_t)at.slot, (uint32_t)at.generation});
    bool is_it = c && c->session && strlen(c->session) == session.n &&
                 sodium_memcmp(c->session, session.p, session.n) == 0;
    return is_it ? c : NULL;
}

/* --- on the way ------------------------------------------------------------------------------- */

struct note {
    struct control control;
    struct sessions *from;
    size_t size_bytes, session_n, message_n;
    char bytes[];
};

static void arrive(struct sessions *s, struct str session, struct str message) {
    struct client *c = find(s, session);
    if (c)
        client_receive(c, message);
}

static void run_note(struct control *control, void *reader) {
    struct note *n = list_entry(control, struct note, control);
    arrive(reader, (struct str){n->bytes, n->session_n},
           (struct str){n->bytes + n->session_n, n->message_n});
    atomic_fetch_sub(&n->from->emulated_bytes, n->size_bytes);
    mem_free(n);
}

/* What waits for a worker that stands still is bounded. */
static enum emulated_result to_worker(struct sessions *s, uint32_t worker, struct str session,
                                      struct str message) {
    size_t size_bytes = sizeof(struct note) + session.n + message.n;
    if (atomic_load(&s->emulated_bytes) + size_bytes > EMULATED_WAITING_MAX_BYTES)
        return EMULATED_NO_WAY;
    struct note *n = mem_alloc(size_bytes);
    *n = (struct note){.control = {run_note},
                       .from = s,
                       .size_bytes = size_bytes,
                       .session_n = session.n,
                       .message_n = message.n};
    memcpy(n->bytes, session.p, session.n);
    memcpy(n->bytes + session.n, message.p, message.n);
    atomic_fetch_add(&s->emulated_bytes, size_bytes);
    mailbox_post_control(users_mailbox(s->users, worker), &n->control);
    return EMULATED_SENT;
}

/* On this node. */
static enum emulated_result deliver(struct sessions *s, struct str session, struct str message) {
    struct place at;
    if (!read_session(session, &at) || at.worker >= s->config->workers)
        return EMULATED_BAD;
    if (at.worker != s->worker)
        return to_worker(s, (uint32_t)at.worker, session, message);
    arrive(s, session, message);
    return EMULATED_SENT;
}

static bool is_node(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n > 0 && s.n <= NODE_UID_MAX_BYTES;
}

enum emulated_result emulated_send(struct sessions *s, struct str node, struct str session,
                                   struct str message) {
    struct place at;
    struct buf body = {0};
    if (!read_session(session, &at))
        return EMULATED_BAD;
    if (str_equal(node, str_of(s->node_uid)))
        return deliver(s, session, message);
    if (cluster_is_alone(s->cluster) || !is_node(node))
        return EMULATED_NO_NODE;
    pack_str(&body, session);
    pack_str(&body, message);
    bool is_sent = cluster_tell(s->cluster, node, NODE_EMULATED, buf_str(&body));
    buf_fini(&body);
    return is_sent ? EMULATED_SENT : EMULATED_NO_WAY;
}

void emulated_run(void *arg, struct cluster_request *q, void *reader) {
    struct unpack u = {.rest = q->body};
    struct str session = unpack_str(&u, EMULATED_SESSION_MAX_BYTES);
    struct str message = unpack_str(&u, q->body.n);
    (void)arg;
    if (unpack_is_over(&u))
        (void)deliver(reader, session, message);
    cluster_answer(q, CLUSTER_DONE, STR_NONE);
}
