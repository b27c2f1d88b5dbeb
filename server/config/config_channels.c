/* Checks between the options of channels, namespace by namespace, and what is made of them when all
 * sources are read: patterns of names, times that follow from others (config_loader.h).
 *
 * Refused is what Centrifugo refuses, what contradicts itself, and what would break a promise. What
 * only has no effect is warned about.
 *
 * Thread: one. Owns: nothing; the config owns the patterns.
 */
#include "server/config/config_loader.h"

#include "server/base/pattern.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <string.h>

/* One set of options and where it stands. */
struct scope {
    struct config_loader *l;
    const char *path; /* "channel.namespaces[0]" */
    struct channel_options *o;
};

#define PROBLEM true
#define WARNING false

static void say(const struct scope *s, bool is_problem, const char *name, const char *what) {
    struct buf option = {0};
    buf_printf(&option, "%s.%s", s->path, name);
    const char *source = config_loader_source(s->l, config_z(&option));
    if (is_problem)
        config_loader_problem(s->l, source, option.p, "%s", what);
    else
        config_loader_warn(s->l, source, option.p, "%s", what);
    buf_fini(&option);
}

static bool is_on(const struct scope *s, const char *name) {
    const struct option *o = config_option_find(config_channel_options, str_of(name));
    return *(const bool *)((const char *)s->o + o->offset);
}

/* ---- history ---- */

#define NO_HISTORY "has no effect without history_size and history_ttl"

static void check_history(const struct scope *s) {
    struct channel_options *o = s->o;
    if (o->history_meta_ttl_s == 0)
        o->history_meta_ttl_s = s->l->config->rules.history_meta_ttl_s;
    if (o->history_size > 0 && o->history_ttl_s == 0)
        say(s, PROBLEM, "history_size", "needs history_ttl, the time that publications are kept");
    if (o->history_size == 0 && o->history_ttl_s > 0)
        say(s, PROBLEM, "history_ttl", "needs history_size, the number of publications kept");
    if (o->history_ttl_s > o->history_meta_ttl_s)
        say(s, PROBLEM, "history_ttl",
            "is longer than history_meta_ttl (where that is not set, channel.history_meta_ttl): "
            "publications would be kept without their offsets");
}

static void check_use_of_history(const struct scope *s) {
    static const char *const uses[] = {
        "force_positioning", "allow_positioning",        "allow_recovery",
        "delta_publish",     "allow_history_for_client", "allow_history_for_subscriber",
    };
    if (s->o->history_size > 0 || s->o->history_ttl_s > 0)
        return;
    if (s->o->force_recovery)
        say(s, PROBLEM, "force_recovery",
            "needs history_size and history_ttl: nothing is recovered from nothing");
    if (s->o->allowed_delta_types)
        say(s, WARNING, "allowed_delta_types", NO_HISTORY);
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
        if (is_on(s, uses[i]))
            say(s, WARNING, uses[i], NO_HISTORY);
}

static void check_cache_mode(const struct scope *s) {
    if (s->o->auto_cache_recover && !(s->o->force_recovery && rules_is_cache_mode(s->o)))
        say(s, PROBLEM, "auto_cache_recover",
            "needs force_recovery, and force_recovery_mode \"cache\"");
}

/* ---- delivery ---- */

/* In cache mode nobody is promised more than the newest publication. */
static void check_conflation(const struct scope *s) {
    static const char *const promises[] = {"force_positioning", "allow_positioning",
                                           "force_recovery", "allow_recovery"};
    const char *clash = NULL;
    if (!s->o->conflation)
        return;
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]) && !clash; i++)
        if (!rules_is_cache_mode(s->o) && is_on(s, promises[i]))
            clash = promises[i];
    struct buf text = {0};
    if (clash)
        buf_printf(&text,
                   "contradicts %s, which promises every publication: a slow reader would miss "
                   "some; remove one of the two, or set force_recovery_mode to \"cache\"",
                   clash);
    else if (s->o->allowed_delta_types || s->o->delta_publish)
        buf_printf(&text,
                   "contradicts %s: a difference needs the publication before it, which a slow "
                   "reader may not get; remove one of the two",
                   s->o->allowed_delta_types ? "allowed_delta_types" : "delta_publish");
    if (text.n)
        say(s, PROBLEM, "conflation", config_z(&text));
    buf_fini(&text);
}

static void check_joins(const struct scope *s) {
    static const char text[] = "has no effect without join_leave";
    if (s->o->join_leave)
        return;
    if (s->o->join_leave_max_members)
        say(s, WARNING, "join_leave_max_members", text);
    if (s->o->join_leave_interval_ms)
        say(s, WARNING, "join_leave_interval", text);
}

/* ---- names ---- */

static void compile_pattern(const struct scope *s) {
    const char *why;
    struct str source = str_of(s->o->channel_regex);
    if (source.n == 0)
        return;
    s->o->pattern = pattern_create(source, &why);
    if (s->o->pattern)
        return;
    struct buf text = {0};
    buf_add_z(&text, "found \"");
    config_print_safe(&text, source, CONFIG_SHOWN_BYTES);
    buf_printf(&text, "\", allowed is a regular expression in Go's syntax: %s", why);
    say(s, PROBLEM, "channel_regex", config_z(&text));
    buf_fini(&text);
}

/* ---- personal channels ---- */

#define PERSONAL "client.subscribe_to_user_personal_channel."

static const struct channel_options *find_personal(const struct rules *r) {
    if (!*r->personal_namespace)
        return &r->without_namespace;
    for (uint32_t i = 0; i < r->namespace_count; i++)
        if (!strcmp(r->namespaces[i].name, r->personal_namespace))
            return &r->namespaces[i];
    return NULL;
}

static void refuse(struct config_loader *l, const char *option, const char *what) {
    config_loader_problem(l, config_loader_source(l, option), option, "%s", what);
}

static void warn(struct config_loader *l, const char *option, const char *what) {
    config_loader_warn(l, config_loader_source(l, option), option, "%s", what);
}

static void check_personal_channels(struct config_loader *l) {
    const struct rules *r = &l->config->rules;
    const struct channel_options *o = find_personal(r);
    bool is_single = l->config->client_personal_channel_single_connection;
    if (!r->has_personal_channels) {
        if (is_single)
            warn(l, PERSONAL "single_connection", "has no effect without " PERSONAL "enabled");
        return;
    }
    if (!o)
        refuse(l, PERSONAL "personal_channel_namespace",
               "names a namespace that is not in channel.namespaces");
    if (!*r->user_boundary)
        refuse(l, PERSONAL "enabled", "needs channel.user_boundary, which tells whose they are");
    if (*r->personal_namespace && !*r->namespace_boundary)
        refuse(l, PERSONAL "personal_channel_namespace", "needs channel.namespace_boundary");
    if (o && is_single && !o->presence)
        refuse(l, PERSONAL "single_connection", "needs presence in the namespace of the channels");
    if (o && o->allow_subscribe_for_client && !o->allow_user_limited_channels)
        warn(l, PERSONAL "enabled",
             "every user may subscribe to the channels of the others; set "
             "allow_user_limited_channels in their namespace");
}

/* ---- all of it ---- */

static void check_scope(struct config_loader *l, const char *path, struct channel_options *o) {
    const struct scope s = {l, path, o};
    check_history(&s);
    check_use_of_history(&s);
    check_cache_mode(&s);
    check_conflation(&s);
    check_joins(&s);
    compile_pattern(&s);
}

void config_loader_channels(struct config_loader *l) {
    struct rules *r = &l->config->rules;
    check_scope(l, CONFIG_WITHOUT_NAMESPACE, &r->without_namespace);
    for (uint32_t i = 0; i < r->namespace_count; i++) {
        struct buf path = {0};
        buf_printf(&path, CONFIG_NAMESPACES "[%u]", i);
        check_scope(l, config_z(&path), &r->namespaces[i]);
        buf_fini(&path);
    }
    check_personal_channels(l);
}
