/* What a channel name keeps and allows: names, namespaces, and who may subscribe, publish and read.
 *
 * A channel belongs to the namespace before the first boundary (":") of its name, after a private
 * prefix ("$") is taken off; without a boundary the options "without_namespace" apply. Option names
 * and meanings are Centrifugo's (channel.without_namespace, channel.namespaces[]).
 *
 * Owns: nothing; rules and options are constant after start. Thread: any.
 */
#ifndef CARILLON_CHANNELS_RULES_H
#define CARILLON_CHANNELS_RULES_H

#include "server/base/buf.h"
#include "server/base/permissions.h"
#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct pattern;

/* Bits of allowed_delta_types. */
#define RULES_DELTA_FOSSIL 1u

struct channel_options {
    const char *name; /* of the namespace; NULL for without_namespace */
    bool presence;
    bool join_leave;
    bool force_push_join_leave;
    uint32_t join_leave_max_members; /* own: more members hear of no joins and leaves; 0: always */
    uint32_t join_leave_interval_ms; /* own: they are announced at most so often; 0: at once */
    uint32_t history_size;           /* publications; 0: no history */
    uint32_t history_ttl_s;          /* 0: no history */
    uint32_t history_meta_ttl_s;     /* 0 became channel.history_meta_ttl */
    bool force_positioning;
    bool allow_positioning;
    bool force_recovery;
    bool allow_recovery;
    const char *force_recovery_mode; /* "", "stream" or "cache": see rules_is_cache_mode() */
    bool auto_cache_recover;
    uint32_t allowed_delta_types; /* RULES_DELTA_... */
    bool delta_publish;
    bool conflation; /* own: a slow reader gets only the newest publication, instead of a close */
    const char *channel_regex;
    struct pattern *pattern;             /* channel_regex, compiled; NULL: any ASCII name */
    const char *publication_data_format; /* "" or "json", which are the same here */
    bool allow_subscribe_for_client;
    bool allow_subscribe_for_anonymous;
    bool allow_publish_for_client;
    bool allow_publish_for_subscriber;
    bool allow_publish_for_anonymous;
    bool allow_presence_for_client;
    bool allow_presence_for_subscriber;
    bool allow_presence_for_anonymous;
    bool allow_history_for_client;
    bool allow_history_for_subscriber;
    bool allow_history_for_anonymous;
    bool allow_user_limited_channels; /* off: the user boundary means nothing here */
};

struct rules {
    struct channel_options without_namespace;
    struct channel_options *namespaces;
    uint32_t namespace_count;
    uint32_t name_max_bytes;     /* channel.max_length, 255 */
    uint32_t history_meta_ttl_s; /* channel.history_meta_ttl, 720h */
    const char *publication_data_format;
    const char *private_prefix;     /* "$"; empty: off */
    const char *namespace_boundary; /* ":"; empty: off */
    const char *user_boundary;      /* "#"; empty: off */
    const char *user_separator;     /* "," */
    bool has_personal_channels;     /* client.subscribe_to_user_personal_channel.enabled */
    const char *personal_namespace; /* empty: without a namespace */
    bool is_insecure;               /* client.insecure: everybody may do everything */
};

enum rules_verdict {
    RULES_OK,
    RULES_BAD_NAME,          /* too long, a control character, not what channel_regex wants */
    RULES_UNKNOWN_NAMESPACE, /* configured nowhere */
};

/* Borrows the options that apply to a channel; *options is untouched unless RULES_OK. An empty name
 * is the caller's business (protocols treat it as a broken command).
 *
 * As in Centrifugo, channel_regex is held against what follows the namespace boundary; in a name
 * without a namespace against all of it. Where there is one, names may be any UTF-8 without control
 * characters, else only ASCII. */
enum rules_verdict rules_find(const struct rules *r, struct str channel,
                              const struct channel_options **options);

/* Appends the name of a user's personal channel, "#7" or "ns:#7"; nothing for anonymous, or when
 * there are no such channels. It may be too long a name: rules_find() tells. */
void rules_personal_channel(const struct rules *r, struct str user, struct buf *out);

/* Who asks. */
struct rules_actor {
    struct str user;    /* empty: anonymous */
    bool is_subscribed; /* to this channel, now */
    /* Bits of enum permission that a token gives in this channel: they count like the options
     * allow_..._for_client and _for_anonymous. */
    unsigned permitted;
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

bool rules_may_read_history(const struct rules *r, const struct channel_options *o,
                            const struct rules_actor *actor);

/* Is anything kept? */
bool rules_keep_history(const struct channel_options *o);

/* Is only the newest publication recovered, not all that were missed? */
bool rules_is_cache_mode(const struct channel_options *o);

/* Of a subscription. */
struct rules_grant {
    bool is_positioned;
    bool is_recoverable;  /* then it is positioned, too */
    uint32_t delta_types; /* RULES_DELTA_... */
};

/* What a subscription gets of what the client asked for: what is forced always, what is allowed to
 * all or to those that may read history (actor counts as subscribed) if asked for. Nothing without
 * history, though Centrifugo grants it there, too: a client that returns would be told that it
 * missed nothing, whatever it missed. */
struct rules_grant rules_grant(const struct rules *r, const struct channel_options *o,
                               const struct rules_actor *actor, struct rules_grant asked);

#endif
