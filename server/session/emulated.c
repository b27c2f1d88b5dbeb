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
    size_t session_n, message_n;
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
    mem_free(n);
}

static void to_worker(struct sessions *s, uint32_t worker, struct str session, struct str message) {
    struct note *n = mem_alloc(sizeof(*n) + session.n + message.n);
    *n = (struct note){.control = {run_note}, .session_n = session.n, .message_n = message.n};
    memcpy(n->bytes, session.p, session.n);
    memcpy(n->bytes + session.n, message.p, message.n);
    mailbox_post_control(users_mailbox(s->users, worker), &n->control);
}

/* On this node. */
static bool deliver(struct sessions *s, struct str session, struct str message) {
    struct place at;
    if (!read_session(session, &at) || at.worker >= s->config->workers)
        return false;
    if (at.worker == s->worker)
        arrive(s, session, message);
    else
        to_worker(s, (uint32_t)at.worker, session, message);
    return true;
}

enum emulated_result emulated_send(struct sessions *s, struct str node, struct str session,
                                   struct str message) {
    struct place at;
    struct buf body = {0};
    if (!read_session(session, &at))
        return EMULATED_BAD;
    if (str_equal(node, str_of(s->node_uid)))
        return deliver(s, session, message) ? EMULATED_SENT : EMULATED_BAD;
    if (cluster_is_alone(s->cluster) || node.n == 0 || node.n > NODE_UID_MAX_BYTES)
        return EMULATED_NO_NODE;
    pack_str(&body, node);
    pack_str(&body, session);
    pack_str(&body, message);
    bool is_sent = cluster_tell(s->cluster, NODE_EMULATED, buf_str(&body));
    buf_fini(&body);
    return is_sent ? EMULATED_SENT : EMULATED_NO_WAY;
}

void emulated_run(void *arg, struct cluster_request *q, void *reader) {
    struct sessions *s = reader;
    struct unpack u = {.rest = q->body};
    struct str node = unpack_str(&u, NODE_UID_MAX_BYTES);
    struct str session = unpack_str(&u, EMULATED_SESSION_MAX_BYTES);
    struct str message = unpack_str(&u, q->body.n);
    (void)arg;
    if (unpack_is_over(&u) && str_equal(node, str_of(s->node_uid)))
        (void)deliver(s, session, message);
    cluster_answer(q, CLUSTER_DONE, STR_NONE);
}
