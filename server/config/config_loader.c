/* Takes settings one by one: see config_loader.h.
 *
 * A path is looked up in this order: our table, Centrifugo's list, names of sections (walked), else
 * nobody's. Namespaces are ordinary sections but for one thing: their structs must exist before
 * their options are set.
 *
 * Owns: notes and config. Thread: one.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/base/pattern.h"
#include "server/config/config_foreign.h"
#include "server/config/config_names.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a name that is repeated in a message. */
#define SHOWN_NAME_BYTES 120

void config_loader_init(struct config_loader *l) {
    *l = (struct config_loader){.config = mem_zalloc(sizeof(struct config))};
    config_options_preset(config_options, l->config);
    config_options_preset(config_channel_options + 1, &l->config->rules.without_namespace);
}

static void free_notes(struct config_notes *notes) {
    for (size_t i = 0; i < notes->count; i++) {
        mem_free(notes->items[i].source);
        mem_free(notes->items[i].option);
        mem_free(notes->items[i].text);
    }
    mem_free(notes->items);
    *notes = (struct config_notes){0};
}

void config_loader_fini(struct config_loader *l) {
    config_destroy(l->config);
    config_strings_fini(&l->ignored);
    config_strings_fini(&l->secret_files);
    mem_free(l->namespaces_source);
    free_notes(&l->used);
    free_notes(&l->warnings);
    free_notes(&l->problems);
    *l = (struct config_loader){0};
}

struct config *config_loader_take(struct config_loader *l) {
    struct config *c = l->config;
    l->config = NULL;
    return c;
}

/* ---- notes ---- */

static void add_note(struct config_notes *notes, const char *source, const char *option,
                     struct str text) {
    struct buf name = {0};
    config_print_safe(&name, str_of(option), SHOWN_NAME_BYTES);
    notes->items = mem_realloc(notes->items, (notes->count + 1) * sizeof(notes->items[0]));
    notes->items[notes->count++] = (struct config_note){
        .source = mem_strndup(source, strlen(source)),
        .option = mem_strndup(name.p ? name.p : "", name.n),
        .text = mem_strndup(text.p ? text.p : "", text.n),
    };
    buf_fini(&name);
}

static void add_note_va(struct config_notes *notes, const char *source, const char *option,
                        const char *format, va_list args) {
    char text[1024]; /* all texts are ours and what they quote is cut */
    vsnprintf(text, sizeof(text), format, args);
    add_note(notes, source, option, str_of(text));
}

void config_loader_warn(struct config_loader *l, const char *source, const char *option,
                        const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_note_va(&l->warnings, source, option, format, args);
    va_end(args);
}

void config_loader_problem(struct config_loader *l, const char *source, const char *option,
                           const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_note_va(&l->problems, source, option, format, args);
    va_end(args);
}

void config_loader_used(struct config_loader *l, const char *source, const char *option,
                        const char *text) {
    add_note(&l->used, source, option, str_of(text));
}

const char *config_loader_source(const struct config_loader *l, const char *option) {
    for (size_t i = l->used.count; i > 0; i--)
        if (!strcmp(l->used.items[i - 1].option, option))
            return l->used.items[i - 1].source;
    return "default";
}

/* ---- paths ---- */

void config_normal_path(struct buf *out, const char *path) {
    for (; *path; path++) {
        buf_add_char(out, *path);
        if (*path == '[')
            path += strspn(path + 1, "0123456789");
    }
}

/* The struct of "channel.namespaces[N]." and what follows the dot; NULL when path is none such. */
static void *find_namespace(struct config_loader *l, const char *path, const char **rest) {
    struct rules *r = &l->config->rules;
    char *end;
    if (strncmp(path, CONFIG_NAMESPACES "[", sizeof(CONFIG_NAMESPACES)) != 0)
        return NULL;
    path += sizeof(CONFIG_NAMESPACES);
    unsigned long index = strtoul(path, &end, 10);
    if (end == path || end[0] != ']' || end[1] != '.' || index >= r->namespace_count)
        return NULL;
    *rest = end + 2;
    return &r->namespaces[index];
}

const struct option *config_loader_find(struct config_loader *l, const char *path, void **base) {
    const char *rest = path;
    if (!strncmp(path, CONFIG_WITHOUT_NAMESPACE ".", sizeof(CONFIG_WITHOUT_NAMESPACE))) {
        *base = &l->config->rules.without_namespace;
        rest += sizeof(CONFIG_WITHOUT_NAMESPACE);
        return config_option_find(config_channel_options + 1, str_of(rest));
    }
    *base = find_namespace(l, path, &rest);
    if (*base)
        return config_option_find(config_channel_options, str_of(rest));
    *base = l->config;
    return config_option_find(config_options, str_of(path));
}

static void report_unknown(struct config_loader *l, const char *source, const char *path,
                           struct str normal) {
    struct buf more = {0};
    if (l->suggestion_count++ < CONFIG_SUGGESTIONS_MAX)
        config_names_suggest(normal, &more);
    config_loader_problem(l, source, path, "there is no such option%s", config_z(&more));
    buf_fini(&more);
}

/* ---- options ---- */

static bool holds_secret(const struct option *o, const void *base) {
    const struct config_strings *list = (const void *)((const char *)base + o->offset);
    const char *text;
    bool is_found = false;
    if (o->flags & OPTION_SECRET) {
        memcpy(&text, list, sizeof(text));
        return *text != '\0';
    }
    if (o->flags & OPTION_QUIET) /* an address with user:password@ */
        for (size_t i = 0; i < list->count && !is_found; i++)
            is_found = strchr(list->items[i], '@') != NULL;
    return is_found;
}

static void report_own(struct config_loader *l, const char *source, const char *path, bool is_set,
                       struct buf *why) {
    void *base;
    const struct option *o = config_loader_find(l, path, &base);
    if (!is_set) {
        config_loader_problem(l, source, path, "%s", config_z(why));
        return;
    }
    l->has_secret = l->has_secret || holds_secret(o, base);
    struct buf value = {0};
    option_print(base, o, &value);
    add_note(&l->used, source, path, buf_str(&value));
    buf_fini(&value);
}

static bool is_ignored(const struct config_loader *l, const char *path, struct str normal,
                       struct foreign_option f) {
    struct buf row = {0};
    buf_add_z(&row, f.group->prefix);
    buf_add_z(&row, f.row->name);
    bool is_named = false;
    for (size_t i = 0; i < l->ignored.count && !is_named; i++) {
        struct str name = str_of(l->ignored.items[i]);
        is_named = str_equal(name, str_of(path)) || str_equal(name, normal) ||
                   str_equal(name, buf_str(&row));
    }
    buf_fini(&row);
    return is_named;
}

static void take_foreign(struct config_loader *l, const char *source, const char *path,
                         struct foreign_option f, const json_t *value) {
    const char *consequence = config_foreign_consequence(f);
    struct buf normal = {0};
    config_normal_path(&normal, path);
    if (config_foreign_is_default(f, value)) {
        /* nothing to say */
    } else if (!config_foreign_is_guard(f)) {
        config_loader_warn(l, source, path, "not supported, ignored: %s", consequence);
    } else if (is_ignored(l, path, buf_str(&normal), f)) {
        config_loader_warn(l, source, path, "not supported, let pass by --ignore: %s", consequence);
    } else {
        config_loader_problem(l, source, path,
                              "not supported, and without it %s; remove it, or accept that with "
                              "--ignore %s",
                              consequence, path);
    }
    buf_fini(&normal);
}

void config_loader_ignore(struct config_loader *l, const char *name) {
    void *base;
    struct buf normal = {0};
    config_normal_path(&normal, name);
    if (config_loader_find(l, name, &base))
        config_loader_problem(l, "--ignore", name, "Carillon has this option and cannot ignore it");
    else if (!config_foreign_find(buf_str(&normal)).row)
        report_unknown(l, "--ignore", name, buf_str(&normal));
    else
        config_strings_add(&l->ignored, str_of(name));
    buf_fini(&normal);
}

/* ---- JSON ---- */

static void take_json(struct config_loader *l, const char *source, struct buf *path,
                      const json_t *value);

static void take_members(struct config_loader *l, const char *source, struct buf *path,
                         const json_t *object) {
    const char *key;
    const json_t *value;
    size_t mark = path->n;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (path->n)
            buf_add_char(path, '.');
        buf_add_z(path, key);
        /* A key with a dot would name another section's option. */
        if (!*key || strpbrk(key, ".[]"))
            config_loader_problem(l, source, config_z(path),
                                  "a name may not be empty or have \".\" or \"[\" in it: write "
                                  "objects in objects, {\"a\": {\"b\": ...}}");
        else
            take_json(l, source, path, value);
        path->n = mark;
    }
}

static void take_list(struct config_loader *l, const char *source, struct buf *path,
                      const json_t *list) {
    size_t mark = path->n;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        buf_printf(path, "[%zu]", i);
        if (json_is_object(item))
            take_members(l, source, path, item);
        else
            config_loader_problem(l, source, config_z(path), "allowed is an object");
        path->n = mark;
    }
}

static void clear_channel_options(struct channel_options *o, const struct option *list) {
    pattern_destroy(o->pattern);
    config_options_clear(list, o);
}

static void free_namespaces(struct rules *r) {
    for (uint32_t i = 0; i < r->namespace_count; i++)
        clear_channel_options(&r->namespaces[i], config_channel_options);
    mem_free(r->namespaces);
    r->namespaces = NULL;
    r->namespace_count = 0;
}

/* A list replaces the one of an earlier source. */
static void take_namespaces(struct config_loader *l, const char *source, struct buf *path,
                            const json_t *list) {
    struct rules *r = &l->config->rules;
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > CONFIG_NAMESPACES_MAX) {
        config_loader_problem(l, source, config_z(path),
                              "allowed is a list of at most %d objects, one per namespace",
                              CONFIG_NAMESPACES_MAX);
        return;
    }
    free_namespaces(r);
    mem_free(l->namespaces_source);
    l->namespaces_source = mem_strndup(source, strlen(source));
    if (count == 0)
        return;
    r->namespaces = mem_array(count, sizeof(r->namespaces[0]));
    r->namespace_count = (uint32_t)count;
    for (uint32_t i = 0; i < r->namespace_count; i++)
        config_options_preset(config_channel_options, &r->namespaces[i]);
    take_list(l, source, path, list);
}

static void take_section(struct config_loader *l, const char *source, struct buf *path,
                         const json_t *value) {
    struct buf normal = {0};
    config_normal_path(&normal, config_z(path));
    bool is_section = config_names_is_section(buf_str(&normal));
    bool is_list = config_names_is_list(buf_str(&normal));
    if (!is_section && !is_list)
        report_unknown(l, source, config_z(path), buf_str(&normal));
    else if (is_section && json_is_object(value))
        take_members(l, source, path, value);
    else if (is_list && json_is_array(value))
        take_list(l, source, path, value);
    else if (!json_is_null(value))
        config_loader_problem(l, source, config_z(path), "this is a section, allowed is %s",
                              is_section ? "an object" : "a list of objects");
    buf_fini(&normal);
}

static void take_json(struct config_loader *l, const char *source, struct buf *path,
                      const json_t *value) {
    void *base;
    const char *name = config_z(path);
    const struct option *o = config_loader_find(l, name, &base);
    struct buf scratch = {0};
    config_normal_path(&scratch, name);
    struct foreign_option f = config_foreign_find(buf_str(&scratch));
    buf_clear(&scratch);
    if (o)
        report_own(l, source, name, option_set_json(base, o, value, &scratch), &scratch);
    else if (f.row)
        take_foreign(l, source, name, f, value);
    else if (!json_is_null(value) && (o = config_secret_of_file(l, name)))
        config_loader_take_file(l, source, o, json_string_value(value));
    else if (!strcmp(name, CONFIG_NAMESPACES) && !json_is_null(value))
        take_namespaces(l, source, path, value);
    else
        take_section(l, source, path, value);
    buf_fini(&scratch);
}

void config_loader_json(struct config_loader *l, const char *source, const char *path,
                        const json_t *value) {
    struct buf p = {0};
    buf_add_z(&p, path);
    if (*path)
        take_json(l, source, &p, value);
    else if (json_is_object(value))
        take_members(l, source, &p, value);
    else
        config_loader_problem(l, source, "", "allowed is a JSON object");
    buf_fini(&p);
}

/* ---- text ---- */

/* Sections on the command line and in the environment are JSON. */
static void take_section_text(struct config_loader *l, const char *source, const char *path,
                              const char *text) {
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (value)
        config_loader_json(l, source, path, value);
    else
        config_loader_problem(l, source, path, "this is a section, allowed is JSON");
    json_decref(value);
}

void config_loader_text(struct config_loader *l, const char *source, const char *path,
                        const char *text) {
    void *base;
    const struct option *o = config_loader_find(l, path, &base);
    struct buf scratch = {0};
    config_normal_path(&scratch, path);
    struct foreign_option f = config_foreign_find(buf_str(&scratch));
    if (o) {
        buf_clear(&scratch);
        report_own(l, source, path, option_set_text(base, o, text, &scratch), &scratch);
    } else if (f.row) {
        json_t *value = config_foreign_from_text(f, text);
        take_foreign(l, source, path, f, value);
        json_decref(value);
    } else if ((o = config_secret_of_file(l, path))) {
        config_loader_take_file(l, source, o, text);
    } else if (config_names_is_section(buf_str(&scratch)) ||
               config_names_is_list(buf_str(&scratch))) {
        take_section_text(l, source, path, text);
    } else {
        report_unknown(l, source, path, buf_str(&scratch));
    }
    buf_fini(&scratch);
}

/* ---- config ---- */

void config_destroy(struct config *c) {
    if (!c)
        return;
    config_claims_fini(&c->client_token_claims);
    config_claims_fini(&c->client_subscription_token_claims);
    free_namespaces(&c->rules);
    clear_channel_options(&c->rules.without_namespace, config_channel_options + 1);
    config_keys_fini(&c->client_token_keys);
    config_keys_fini(&c->client_subscription_token_keys);
    config_options_clear(config_options, c);
    mem_free(c->engine_redis_host);
    mem_free(c->engine_redis_unix_path);
    for (uint32_t i = 0; i < c->engine_redis_sentinel_count; i++)
        mem_free(c->engine_redis_sentinels[i].host);
    mem_free(c);
}
