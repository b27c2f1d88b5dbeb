/* The command line: `carillon [serve] --config FILE --port 9000 --client.ping_interval=10s`
 * (config_loader.h).
 *
 * Reading and setting are two steps, because a file that is named last is still read first and
 * --ignore must be known before a guard is met. The value of an option is after "=" or the next
 * word; a bool needs none.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/config/config_foreign.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <string.h>

#define SOURCE "command line"

static const struct {
    const char *word, *path;
} short_names[] = {
    {"--port", "http_server.port"},
    {"-p", "http_server.port"},
    {"--address", "http_server.address"},
    {"-a", "http_server.address"},
    {"--log-level", "log.level"},
    {"-c", "config"},
    {"--workers", "workers"},
};

static bool is_word(struct str word, const char *expected) {
    return str_equal(word, str_of(expected));
}

/* Gives "http_server.port" for --port, "x.y" for --x.y; NULL when the word is no option. */
static char *path_of(struct str word) {
    for (size_t i = 0; i < sizeof(short_names) / sizeof(short_names[0]); i++)
        if (is_word(word, short_names[i].word))
            return mem_strndup(short_names[i].path, strlen(short_names[i].path));
    return word.n > 2 && str_starts(word, STR("--")) ? mem_strndup(word.p + 2, word.n - 2) : NULL;
}

static bool is_bool(const char *path) {
    struct buf normal = {0};
    config_normal_path(&normal, path);
    struct str name = buf_str(&normal), section = STR(CONFIG_NAMESPACES "[].");
    const struct option *o = config_option_find(config_options, name);
    struct foreign_option f = config_foreign_find(name);
    if (!str_starts(name, section))
        section = STR(CONFIG_WITHOUT_NAMESPACE ".");
    if (!o && str_starts(name, section))
        o = config_option_find(config_channel_options, str_slice(name, section.n, name.n));
    bool is_it = o ? o->type == OPTION_BOOL : f.row && f.row->type == FOREIGN_BOOL;
    buf_fini(&normal);
    return is_it;
}

/* The next word as the value of an option; NULL when there is none. */
static const char *next_value(const char *path, char **argv, int *at) {
    const char *next = argv[*at + 1];
    if (is_bool(path)) {
        if (!next || (strcmp(next, "true") != 0 && strcmp(next, "false") != 0))
            return "true";
    } else if (!next || !strncmp(next, "--", 2)) {
        return NULL;
    }
    ++*at;
    return next;
}

/* Takes path. */
static void add_item(struct config_args *args, char *path, const char *value) {
    args->items = mem_realloc(args->items, (args->count + 1) * sizeof(args->items[0]));
    args->items[args->count++] = (struct config_arg){path, value};
}

static void take_option(struct config_loader *l, struct config_args *args, char **argv, int *at) {
    const char *word = argv[*at];
    size_t equals = strcspn(word, "=");
    char *path = path_of((struct str){word, equals});
    if (!path) {
        config_loader_problem(l, SOURCE, word, "unexpected, see carillon --help");
        return;
    }
    const char *value = word[equals] ? word + equals + 1 : next_value(path, argv, at);
    if (!value)
        config_loader_problem(l, SOURCE, path, "needs a value");
    else if (!strcmp(path, "config"))
        args->file = value;
    else if (!strcmp(path, "ignore"))
        config_loader_ignore(l, value);
    else {
        add_item(args, path, value);
        return;
    }
    mem_free(path);
}

void config_args_parse(struct config_loader *l, int argc, char **argv, struct config_args *args) {
    *args = (struct config_args){0};
    for (int i = 1; i < argc && argv[i]; i++) {
        struct str word = str_of(argv[i]);
        if (i == 1 && is_word(word, "serve"))
            continue;
        if (is_word(word, "--help") || is_word(word, "-h"))
            args->wants_help = true;
        else if (is_word(word, "--strict"))
            l->is_strict = true;
        else if (is_word(word, "--version") || is_word(word, "-v"))
            args->wants_version = true;
        else
            take_option(l, args, argv, &i);
    }
}

static void refuse_secret(struct config_loader *l, const struct option *o) {
    struct buf env = {0};
    config_env_name(&env, "", o->name);
    config_loader_problem(l, SOURCE, o->name,
                          "holds a secret, and everybody on this machine can read the command "
                          "line; set it in the file%s%s%s%s",
                          o->flags & OPTION_SECRET ? ", in " : " or in ", config_z(&env),
                          o->flags & OPTION_SECRET ? " or in a file named by " : "",
                          o->flags & OPTION_SECRET ? "..._FILE" : "");
    buf_fini(&env);
}

void config_args_apply(struct config_loader *l, const struct config_args *args) {
    for (size_t i = 0; i < args->count; i++) {
        const struct config_arg *item = &args->items[i];
        void *base;
        const struct option *o = config_loader_find(l, item->path, &base);
        bool is_secret = o && ((o->flags & OPTION_SECRET) ||
                               ((o->flags & OPTION_QUIET) && strchr(item->value, '@')));
        if (is_secret)
            refuse_secret(l, o);
        else
            config_loader_text(l, SOURCE, item->path, item->value);
    }
}

void config_args_fini(struct config_args *args) {
    for (size_t i = 0; i < args->count; i++)
        mem_free(args->items[i].path);
    mem_free(args->items);
    *args = (struct config_args){0};
}
