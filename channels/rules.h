/* What a channel name keeps and allows: names, namespaces, and who may subscribe and publish.
 *
 * A channel belongs to the namespace before the first boundary (":") of its name, after a private
 * prefix ("$") is taken off; without a boundary the options "without_namespace" apply. Option names
 * and meanings are Centrifugo's (channel.without_namespace, channel.namespaces[]).
 *
 * Owns: nothing; rules and options are constant after start. Thread: any.
 */
#ifndef CARILLON_CHANNELS_RULES_H
#define CARILLON_CHANNELS_RULES_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct channel_options {
    const char *name; /* of the namespace; NULL for without_namespace */
    bool presence;
    bool join_leave;
    bool force_push_join_leave;
    bool allow_subscribe_for_client;
    bool allow_subscribe_for_anonymous;
    bool allow_publish_for_client;
    bool allow_publish_for_subscriber;
    bool allow_publish_for_anonymous;
    bool allow_presence_for_client;
    bool allow_presence_for_subscriber;
    bool allow_presence_for_anonymous;
    bool allow_user_limited_channels; /* off: the user boundary means nothing here */
};

struct rules {
    struct channel_options without_namespace;
    struct channel_options *namespaces;
    uint32_t namespace_count;
    uint32_t name_max_bytes;        /* channel.max_length, 255 */
    const char *private_prefix;     /* "$"; empty: off */
    const char *namespace_boundary; /* ":"; empty: off */
    const char *user_boundary;      /* "#"; empty: off */
    const char *user_separator;     /* "," */
    bool is_insecure;               /* client.insecure: everybody may do everything */
};

enum rules_verdict {
    RULES_OK,
    RULES_BAD_NAME,          /* too long, or a byte outside printable ASCII */
    RULES_UNKNOWN_NAMESPACE, /* configured nowhere */
};

/* Borrows the options that apply to a channel; *options is untouched unless RULES_OK. An empty name
 * is the caller's business (protocols treat it as a broken command). */
enum rules_verdict rules_find(const struct rules *r, struct str channel,
                              const struct channel_options **options);

/* Who asks. */
struct rules_actor {
    struct str user;    /* empty: anonymous */
    bool is_subscribed; /* to this channel, now */
};

/* Without a token: a private channel never, a user-limited one (a user boundary in the name, where
 * the options allow such channels) only for the users named after its last boundary, never for
 * anonymous. With is_insecure everything but private channels. */
bool rules_may_subscribe(const struct rules *r, const struct channel_options *o, struct str channel,
                         const struct rules_actor *actor);

/* The name does not matter for what follows: as in Centrifugo, who may publish to a namespace may
 * publish to its private and user-limited channels, too. */
bool rules_may_publish(const struct rules *r, const struct channel_options *o,
                       const struct rules_actor *actor);

bool rules_may_read_presence(const struct rules *r, const struct channel_options *o,
                             const struct rules_actor *actor);

#endif
