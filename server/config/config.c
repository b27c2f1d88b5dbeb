/* Loading the configuration: see config.h.
 *
 * The parts: config_options (our table), config_foreign (Centrifugo's other options), config_value
 * and config_checks (from text to fields), config_loader (one setting), config_file, config_env and
 * config_args (the sources), config_finish and config_channels (checks between options), config_cli
 * and config_doc (what is printed).
 *
 * Problems go to stderr as plain lines, because nobody knows yet how to log. Warnings belong to a
 * server that runs: they go through the log, in its format.
 *
 * Owns: nothing. Thread: main.
 */
#include "server/config/config.h"

#include "server/base/log.h"
#include "server/base/mem.h"
#include "server/base/secret.h"
#include "server/base/version.h"
#include "server/config/config_cli.h"
#include "server/config/config_loader.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void config_loader_run(struct config_loader *l, const struct config_args *args,
                       char **environ_list) {
    if (args->file)
        config_loader_file(l, args->file);
    config_loader_env(l, environ_list);
    config_args_apply(l, args);
    config_loader_finish(l);
}

static void print_problems(const struct config_notes *problems) {
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_note *n = &problems->items[i];
        fprintf(stderr, "carillon: %s: %s%s%s\n", n->source, n->option, *n->option ? ": " : "",
                n->text);
    }
}

static void log_warnings(const struct config *c, const struct config_notes *warnings) {
    enum log_level level;
    bool is_known = log_level_parse(c->log_level, &level);
    assert(is_known && "the table allows only levels the log knows");
    log_setup(level, !strcmp(c->log_format, "json"));
    for (size_t i = 0; i < warnings->count; i++) {
        const struct config_note *n = &warnings->items[i];
        log_warn("%s: %s%s%s", n->source, n->option, *n->option ? ": " : "", n->text);
    }
}

enum config_action config_load(int argc, char **argv, char **environ_list, struct config **out) {
    struct config_loader l;
    struct config_args args;
    enum config_action action = CONFIG_EXIT_OK;
    json_set_alloc_funcs(secret_malloc, secret_wipe_block); /* a file may hold secrets */
    config_loader_init(&l);
    config_args_parse(&l, argc, argv, &args);
    if (args.wants_help) {
        config_print_help(stdout);
    } else if (args.wants_version) {
        puts("carillon " CARILLON_VERSION);
    } else {
        config_loader_run(&l, &args, environ_list);
        action = l.problems.count ? CONFIG_EXIT_BAD : CONFIG_RUN;
    }
    print_problems(action == CONFIG_EXIT_BAD ? &l.problems : &(struct config_notes){0});
    if (action == CONFIG_RUN) {
        log_warnings(l.config, &l.warnings);
        *out = config_loader_take(&l);
    }
    config_args_fini(&args);
    config_loader_fini(&l);
    json_set_alloc_funcs(mem_alloc, mem_free);
    return action;
}
