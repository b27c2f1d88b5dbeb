/* Names and permissions of channels: see rules.h.
 *
 * All questions are answered from the name and constant options, without state and without memory
 * of our own: a name that nobody configured costs nothing. Namespaces are searched one by one;
 * there are few, and a comparison ends at the first different byte.
 *
 * Thread: any. Owns: nothing.
 */
#include "channels/rules.h"

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

static bool is_good_name(const struct rules *r, struct str channel) {
    if (channel.n > r->name_max_bytes)
        return false;
    for (size_t i = 0; i < channel.n; i++)
        if (channel.p[i] < 0x20 || channel.p[i] > 0x7e)
            return false;
    return true;
}

static bool is_private(const struct rules *r, struct str channel) {
    struct str prefix = str_of(r->private_prefix);
    return prefix.n && str_starts(channel, prefix);
}

/* Empty: without a namespace. Also for ":name", which Centrifugo takes for a name without one. */
static struct str namespace_of(const struct rules *r, struct str channel) {
    if (is_private(r, channel))
        channel = str_slice(channel, strlen(r->private_prefix), channel.n);
    size_t end = find_first(channel, str_of(r->namespace_boundary));
    return end < channel.n ? str_slice(channel, 0, end) : STR_NONE;
}

enum rules_verdict rules_find(const struct rules *r, struct str channel,
                              const struct channel_options **options) {
    if (!is_good_name(r, channel))
        return RULES_BAD_NAME;
    struct str name = namespace_of(r, channel);
    if (name.n == 0) {
        *options = &r->without_namespace;
        return RULES_OK;
    }
    for (uint32_t i = 0; i < r->namespace_count; i++) {
        if (str_equal(str_of(r->namespaces[i].name), name)) {
            *options = &r->namespaces[i];
            return RULES_OK;
        }
    }
    return RULES_UNKNOWN_NAMESPACE;
}

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
    return r->is_insecure;
}

bool rules_may_publish(const struct rules *r, const struct channel_options *o,
                       const struct rules_actor *actor) {
    bool is_allowed =
        o->allow_publish_for_client || (o->allow_publish_for_subscriber && actor->is_subscribed);
    bool is_anonymous = actor->user.n == 0;
    return (is_allowed && (!is_anonymous || o->allow_publish_for_anonymous)) || r->is_insecure;
}

bool rules_may_read_presence(const struct rules *r, const struct channel_options *o,
                             const struct rules_actor *actor) {
    bool is_allowed =
        o->allow_presence_for_client || (o->allow_presence_for_subscriber && actor->is_subscribed);
    bool is_anonymous = actor->user.n == 0;
    return (is_allowed && (!is_anonymous || o->allow_presence_for_anonymous)) || r->is_insecure;
}
