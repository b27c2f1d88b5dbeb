/* Environment variables: CARILLON_CLIENT_PING_INTERVAL=10s is client.ping_interval
 * (config_loader.h).
 *
 * An unknown CARILLON_ variable is a warning only, because the environment is not ours alone:
 * Kubernetes puts CARILLON_SERVICE_HOST, CARILLON_PORT=tcp://... and more there for a service that
 * is called carillon. Those are passed over in silence.
 *
 * A secret may also come from a file: CARILLON_HTTP_API_KEY_FILE=/run/secrets/key. The options of a
 * namespace that the file has can be set as CARILLON_CHANNEL_NAMESPACES_<NAME>_<OPTION>.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/config/config_foreign.h"
#include "server/config/config_names.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <stdio.h>
#include <string.h>

#define SOURCE "environment"

struct variable {
    struct str name; /* CARILLON_... */
    const char *value;
};

static bool ends_with(struct str s, struct str end) {
    return s.n >= end.n && str_equal(str_slice(s, s.n - end.n, s.n), end);
}

static bool contains(struct str s, const char *part) {
    return s.n && memmem(s.p, s.n, part, strlen(part));
}

/* ..._PORT_8000_TCP, ..._PORT_8000_TCP_ADDR and so on. */
static bool is_kubernetes_port(struct str name) {
    static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
    for (size_t i = 0; i + 6 < name.n; i++) {
        struct str rest = str_slice(name, i, name.n);
        if (!str_starts(rest, STR("_PORT_")))
            continue;
        rest = str_slice(rest, 6, rest.n);
        size_t digits = 0;
        while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9')
            digits++;
        for (size_t p = 0; digits && p < sizeof(protocols) / sizeof(protocols[0]); p++)
            if (str_starts(str_slice(rest, digits, rest.n), str_of(protocols[p])))
                return true;
    }
    return false;
}

static bool is_kubernetes(struct variable v) {
    static const char *const urls[] = {"tcp://", "udp://", "sctp://"};
    if (ends_with(v.name, STR("_SERVICE_HOST")) || contains(v.name, "_SERVICE_PORT") ||
        is_kubernetes_port(v.name))
        return true;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        if (ends_with(v.name, STR("_PORT")) && !strncmp(v.value, urls[i], strlen(urls[i])))
            return true;
    return false;
}

/* The name of an option of this section that the variable means, or NULL. */
static const char *find_option(struct str name, const char *section, const struct option *list) {
    for (const struct option *o = list; o->name; o++)
        if (config_env_matches(name, section, o->name, false))
            return o->name;
    return NULL;
}

/* The same among Centrifugo's options. Appends the path, also of what is below a section:
 * CARILLON_GRPC_API_PORT is about grpc_api. */
static bool find_foreign(struct str name, struct buf *path) {
    for (const struct foreign_group *g = config_foreign_groups; g->rows; g++) {
        char section[CONFIG_NAME_BYTES];
        size_t n = strlen(g->prefix);
        if (strchr(g->prefix, '['))
            continue;
        snprintf(section, sizeof(section), "%.*s", (int)(n ? n - 1 : 0), g->prefix); /* no dot */
        for (const struct foreign *row = g->rows; row->name; row++) {
            bool is_same = config_env_matches(name, section, row->name, false);
            if (!is_same && (row->type != FOREIGN_SECTION ||
                             !config_env_matches(name, section, row->name, true)))
                continue;
            buf_printf(path, "%s%s%s", g->prefix, row->name, is_same ? "" : ".*");
            return true;
        }
    }
    return false;
}

/* Sections that are lists: JSON. */
static const char *find_list(struct str name) {
    static const char *const lists[] = {CONFIG_NAMESPACES, "rpc.namespaces", "proxies"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (config_env_matches(name, "", lists[i], false))
            return lists[i];
    return NULL;
}

/* CARILLON_CHANNEL_NAMESPACES_CHAT_PRESENCE: the path of an option of a namespace that is there. */
static bool find_in_namespaces(const struct config_loader *l, struct str name, struct buf *path) {
    const struct rules *r = &l->config->rules;
    for (uint32_t i = 0; i < r->namespace_count; i++) {
        struct buf section = {0};
        if (!*r->namespaces[i].name)
            continue; /* the missing name is reported later */
        buf_printf(&section, CONFIG_NAMESPACES "_%s", r->namespaces[i].name);
        const char *option = find_option(name, config_z(&section), config_channel_options + 1);
        for (const struct foreign_group *g = config_foreign_groups; g->rows && !option; g++)
            for (const struct foreign *row = g->rows; row->name && !option; row++)
                if (!strcmp(g->prefix, CONFIG_NAMESPACES "[].") &&
                    config_env_matches(name, config_z(&section), row->name, false))
                    option = row->name;
        buf_fini(&section);
        if (option) {
            buf_clear(path);
            buf_printf(path, CONFIG_NAMESPACES "[%u].%s", i, option);
            return true;
        }
    }
    return false;
}

/* Appends the path of the option that a variable means. */
static bool find_path(const struct config_loader *l, struct str name, struct buf *path) {
    const char *option = find_option(name, "", config_options);
    if (!option)
        option = find_list(name);
    if (option) {
        buf_add_z(path, option);
        return true;
    }
    option = find_option(name, CONFIG_WITHOUT_NAMESPACE, config_channel_options + 1);
    if (option) {
        buf_printf(path, CONFIG_WITHOUT_NAMESPACE ".%s", option);
        return true;
    }
    return find_foreign(name, path) || find_in_namespaces(l, name, path);
}

/* ---- secrets in files ---- */

/* The secret whose ..._FILE variable this is. */
static const struct option *find_secret(struct str name) {
    for (const struct option *o = config_options; o->name; o++)
        if ((o->flags & OPTION_SECRET) && ends_with(name, STR("_FILE")) &&
            config_env_matches(str_slice(name, 0, name.n - 5), "", o->name, false))
            return o;
    return NULL;
}

static bool is_in_list(char **environ_list, struct str name) {
    for (char **e = environ_list; *e; e++)
        if (!strncmp(*e, name.p, name.n) && (*e)[name.n] == '=')
            return true;
    return false;
}

static void take_secret_file(struct config_loader *l, const struct option *o, struct variable v,
                             char **environ_list) {
    if (is_in_list(environ_list, str_slice(v.name, 0, v.name.n - 5))) {
        config_loader_problem(l, SOURCE, o->name, "given both as a variable and as %.*s",
                              STR_ARG(v.name));
        return;
    }
    struct buf name = {0};
    buf_add(&name, v.name);
    config_loader_secret_file(l, o->name, v.value, config_z(&name));
    buf_fini(&name);
}

/* ---- all of it ---- */

static void warn_unknown(struct config_loader *l, struct variable v) {
    struct buf name = {0}, more = {0};
    buf_add(&name, v.name);
    if (l->suggestion_count++ < CONFIG_SUGGESTIONS_MAX)
        config_names_suggest_env(v.name, &more);
    config_loader_warn(l, SOURCE, config_z(&name), "means no option, ignored%s", config_z(&more));
    buf_fini(&name);
    buf_fini(&more);
}

static void take_variable(struct config_loader *l, struct variable v, char **environ_list) {
    struct buf path = {0};
    const struct option *secret = find_secret(v.name);
    if (is_kubernetes(v)) {
        /* not meant for us */
    } else if (secret) {
        take_secret_file(l, secret, v, environ_list);
    } else if (find_path(l, v.name, &path)) {
        struct buf source = {0};
        buf_printf(&source, SOURCE " %.*s", STR_ARG(v.name));
        config_loader_text(l, config_z(&source), config_z(&path), v.value);
        buf_fini(&source);
    } else {
        warn_unknown(l, v);
    }
    buf_fini(&path);
}

/* The variables stay with the process, also in a core dump. */
void config_wipe_env(char **environ_list) {
    for (char **e = environ_list; *e; e++) {
        size_t n = strcspn(*e, "=");
        const char *name = find_option((struct str){*e, n}, "", config_options);
        const struct option *o = name ? config_option_find(config_options, str_of(name)) : NULL;
        if (o && (o->flags & (OPTION_SECRET | OPTION_QUIET)) && (*e)[n])
            explicit_bzero(*e + n + 1, strlen(*e + n + 1));
    }
}

/* Somebody who comes from Centrifugo and takes the environment along: once is enough. */
static void warn_centrifugo(struct config_loader *l, char **environ_list) {
    for (char **e = environ_list; *e; e++) {
        size_t n = strcspn(*e, "=");
        struct variable v = {{*e, n}, (*e)[n] ? *e + n + 1 : ""};
        if (str_starts(v.name, STR("CENTRIFUGO_")) && !is_kubernetes(v)) {
            config_loader_warn(l, SOURCE, "",
                               "CENTRIFUGO_ variables such as %.*s are not read, "
                               "the same names with CARILLON_ are",
                               (int)(n < 100 ? n : 100), *e);
            return;
        }
    }
}

/* The list of namespaces first: other variables may be about them. */
void config_loader_env(struct config_loader *l, char **environ_list) {
    for (int pass = 0; pass < 2; pass++) {
        for (char **e = environ_list; *e; e++) {
            size_t n = strcspn(*e, "=");
            struct variable v = {{*e, n}, (*e)[n] ? *e + n + 1 : ""};
            bool is_list = config_env_matches(v.name, "", CONFIG_NAMESPACES, false);
            if (str_starts(v.name, STR(CONFIG_ENV_PREFIX)) && is_list == (pass == 0))
                take_variable(l, v, environ_list);
        }
    }
    warn_centrifugo(l, environ_list);
}
