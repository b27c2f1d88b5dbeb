/* The methods presence and presence_stats: who is in a channel, and how many.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/mem.h"
#include "server/session/client_info.h"

struct asking {
    struct presence_reply presence;
    struct api_command *command;
};

static void add_members(struct buf *b, const struct presence_reply *p) {
    buf_add_z(b, "{\"presence\":{");
    for (uint32_t i = 0; i < p->client_count; i++) {
        const struct msg_parts *member = &p->members[i]->parts;
        if (i)
            buf_add_char(b, ',');
        json_add_string(b, member->client);
        buf_add_char(b, ':');
        client_info_add(b, member);
    }
    buf_add_z(b, "}}");
}

static void presence_done(struct reply *reply) {
    struct presence_reply *p = list_entry(reply, struct presence_reply, reply);
    struct asking *a = list_entry(p, struct asking, presence);
    struct api_command *c = a->command;
    if (reply->result != BROKER_OK) {
        api_fail(c, API_INTERNAL);
    } else {
        if (p->wants_members)
            add_members(&c->result, p);
        else
            buf_printf(&c->result, "{\"num_clients\":%u,\"num_users\":%u}", p->client_count,
                       p->user_count);
        api_done(c);
    }
    presence_reply_fini(p);
    mem_free(a);
}

static void question(struct api_command *c, struct json_value params, bool wants_members) {
    struct json_field f[] = {JSON_FIELD("channel")};
    struct broker *broker = c->sessions->broker;
    const struct channel_options *o;
    struct buf scratch = {0};
    struct str name;
    if (!api_fields(c, params, f, 1) || !api_channel(c, f[0].value, &scratch, &name, &o)) {
        /* it is answered */
    } else if (!o->presence) {
        api_fail(c, API_NOT_AVAILABLE);
    } else if (!wants_members || api_has_room(c)) {
        struct asking *a = mem_zalloc(sizeof(*a));
        a->presence.reply = (struct reply){.to = c->sessions->mailbox, .done = presence_done};
        a->presence.wants_members = wants_members;
        a->command = c;
        broker->ops->presence(broker, name, &a->presence);
    }
    buf_fini(&scratch);
}

void api_presence(struct api_command *c, struct json_value params) {
    question(c, params, true);
}

void api_presence_stats(struct api_command *c, struct json_value params) {
    question(c, params, false);
}
