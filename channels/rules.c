/* Names and permissions of channels: see rules.h.
 *
 * All questions are answered from the name and constant options, without state and without memory
 * of our own: a name that nobody configured costs nothing. Namespaces are searched one by one;
 * there are few, and a comparison ends at the first different byte.
 *
 * Thread: any. Owns: nothing.
 */
#include "channels/rules.h"

#include "server/base/pattern.h"

#include <string.h>

/* Where part begins in s; s.n when it is not in it or empty. */
static size_t find_first(struct str s, struct str part) {
    const char *at = part.n && s.n ? memmem(s.p, s.n, part.p, part.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

/* What follows the last part in s. False when it is not in it or empty. */
static bool after_last(struct str s, struct str part, struct str *rest) {
    bool is_found = false;
    for (size_t at = find_first(s, part); at < s.n; at = find_first(s, part)) {
        s = str_slice(s, at + part.n, s.n);
        *rest = s;
        is_found = true;
    }
    return is_found;
}

/* Control characters, also those of Latin 1, which are two bytes in UTF-8. */
static bool has_control(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < s.n && (uint8_t)s.p[i + 1] < 0xa0)
            return true;
    }
    return false;
}

static bool is_good_name(const struct rules *r, struct str channel) {
    return channel.n <= r->name_max_bytes && !has_control(channel) && str_is_utf8(channel);
}

static bool is_private(const struct rules *r, struct str channel) {
    struct str prefix = str_of(r->private_prefix);
    return prefix.n && str_starts(channel, prefix);
}

/* Empty: without a namespace. Also for ":name", which Centrifugo takes for a name without one.
 * *rest is what follows the boundary; without one it is the whole name, private prefix included. */
static struct str namespace_of(const struct rules *r, struct str channel, struct str *rest) {
    struct str boundary = str_of(r->namespace_boundary), name = channel;
    if (is_private(r, channel))
        name = str_slice(channel, strlen(r->private_prefix), channel.n);
    size_t end = find_first(name, boundary);
    *rest = end < name.n ? str_slice(name, end + boundary.n, name.n) : channel;
    return end < name.n ? str_slice(name, 0, end) : STR_NONE;
}

static const struct channel_options *find_options(const struct rules *r, struct str name) {
    if (name.n == 0)
        return &r->without_namespace;
    for (uint32_t i = 0; i < r->namespace_count; i++)
        if (str_equal(str_of(r->namespaces[i].name), name))
            return &r->namespaces[i];
    return NULL;
}

enum rules_verdict rules_find(const struct rules *r, struct str channel,
                              const struct channel_options **options) {
    struct str rest;
    if (!is_good_name(r, channel))
        return RULES_BAD_NAME;
    const struct channel_options *o = find_options(r, namespace_of(r, channel, &rest));
    if (!o)
        return RULES_UNKNOWN_NAMESPACE;
    bool is_good =
        o->pattern ? pattern_matches(o->pattern, rest) : str_ascii_length(channel) == channel.n;
    if (!is_good)
        return RULES_BAD_NAME;
    *options = o;
    return RULES_OK;
}

void rules_personal_channel(const struct rules *r, struct str user, struct buf *out) {
    if (!r->has_personal_channels || user.n == 0)
        return;
    if (*r->personal_namespace) {
        buf_add_z(out, r->personal_namespace);
        buf_add_z(out, r->namespace_boundary);
    }
    buf_add_z(out, r->user_boundary);
    buf_add(out, user);
}

/* ---- who may ---- */

/* user is one of list, exactly. */
static bool is_listed(const struct rules *r, struct str list, struct str user) {
    struct str separator = str_of(r->user_separator);
    for (;;) {
        size_t end = find_first(list, separator);
        if (str_equal(str_slice(list, 0, end), user))
            return true;
        if (end == list.n)
            return false;
        list = str_slice(list, end + separator.n, list.n);
    }
}

bool rules_may_subscribe(const struct rules *r, const struct channel_options *o, struct str channel,
                         const struct rules_actor *actor) {
    struct str users = STR_NONE;
    bool is_anonymous = actor->user.n == 0;
    if (is_private(r, channel))
        return false;
    bool is_limited =
        o->allow_user_limited_channels && after_last(channel, str_of(r->user_boundary), &users);
    if (is_limited && !is_anonymous && is_listed(r, users, actor->user))
        return true;
    if (!is_limited && o->allow_subscribe_for_client &&
        (!is_anonymous || o->allow_subscribe_for_anonymous))
        return true;
    if (!is_limited && (actor->permitted & PERMIT_SUBSCRIBE))
        return true;
    return r->is_insecure;
}

/* One of the groups of three options: for clients, subscribers, anonymous. */
static bool may(const struct rules *r, const struct rules_actor *actor, enum permission permission,
                const bool options[3]) {
    bool is_allowed = options[0] || (options[1] && actor->is_subscribed);
    bool is_anonymous = actor->user.n == 0;
    return (is_allowed && (!is_anonymous || options[2])) || (actor->permitted & permission) ||
           r->is_insecure;
}

bool rules_may_publish(const struct rules *r, const struct channel_options *o,
                       const struct rules_actor *actor) {
    return may(r, actor, PERMIT_PUBLISH,
               (const bool[]){o->allow_publish_for_client, o->allow_publish_for_subscriber,
                              o->allow_publish_for_anonymous});
}

bool rules_may_read_presence(const struct rules *r, const struct channel_options *o,
                             const struct rules_actor *actor) {
    return may(r, actor, PERMIT_PRESENCE,
               (const bool[]){o->allow_presence_for_client, o->allow_presence_for_subscriber,
                              o->allow_presence_for_anonymous});
}

bool rules_may_read_history(const struct rules *r, const struct channel_options *o,
                            const struct rules_actor *actor) {
    return may(r, actor, PERMIT_HISTORY,
               (const bool[]){o->allow_history_for_client, o->allow_history_for_subscriber,
                              o->allow_history_for_anonymous});
}

/* ---- what a subscription gets ---- */

bool rules_keep_history(const struct channel_options *o) {
    return o->history_size > 0 && o->history_ttl_s > 0;
}

bool rules_is_cache_mode(const struct channel_options *o) {
    return o->force_recovery_mode && !strcmp(o->force_recovery_mode, "cache");
}

/* As if subscribed: that is what is asked for. */
static bool will_read_history(const struct rules *r, const struct channel_options *o,
                              const struct rules_actor *actor) {
    return rules_may_read_history(r, o, &(struct rules_actor){actor->user, true, actor->permitted});
}

struct rules_grant rules_grant(const struct rules *r, const struct channel_options *o,
                               const struct rules_actor *actor, struct rules_grant asked) {
    struct rules_grant granted = {0};
    if (!rules_keep_history(o))
        return granted;
    bool may_read = will_read_history(r, o, actor);
    if (!o->conflation || rules_is_cache_mode(o)) {
        granted.is_recoverable =
            o->force_recovery || (asked.is_recoverable && (o->allow_recovery || may_read));
        granted.is_positioned = granted.is_recoverable || o->force_positioning ||
                                (asked.is_positioned && (o->allow_positioning || may_read));
    }
    if (!o->conflation)
        granted.delta_types = asked.delta_types & o->allowed_delta_types;
    return granted;
}
