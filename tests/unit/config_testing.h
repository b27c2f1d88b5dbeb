/* What the tests of the configuration share: loads JSON, environment and arguments as config_load()
 * does, but from memory and without printing, and looks into what the loader has to say.
 *
 * Include after the .c file under test. Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_CONFIG_TESTING_H
#define CARILLON_TESTS_CONFIG_TESTING_H

#include "server/config/config_loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LIST(...)                                                                                  \
    (char *[]) {                                                                                   \
        __VA_ARGS__, NULL                                                                          \
    }
#define NONE ((char *[]){NULL})

/* argv without the program's name. json, which may be NULL, takes the place of a --config FILE. The
 * caller frees with config_loader_fini(). */
static inline void load(struct config_loader *l, const char *json, char **env, char **argv) {
    char *full[32] = {"carillon"};
    int argc = 1;
    struct config_args args;
    for (; *argv; argv++)
        full[argc++] = *argv;
    config_loader_init(l);
    config_args_parse(l, argc, full, &args);
    if (json)
        config_loader_file_text(l, "test.json", str_of(json));
    config_loader_run(l, &args, env);
    config_args_fini(&args);
}

static inline void load_json(struct config_loader *l, const char *json) {
    load(l, json, NONE, NONE);
}

static inline void print_notes_of(const char *title, const struct config_notes *notes) {
    for (size_t i = 0; i < notes->count; i++)
        print_error("%s: %s: %s: %s\n", title, notes->items[i].source, notes->items[i].option,
                    notes->items[i].text);
}

/* Exactly these many problems and warnings. */
static inline void expect_counts(const struct config_loader *l, size_t problems, size_t warnings) {
    if (l->problems.count != problems || l->warnings.count != warnings) {
        print_notes_of("problem", &l->problems);
        print_notes_of("warning", &l->warnings);
    }
    assert_int_equal(l->problems.count, problems);
    assert_int_equal(l->warnings.count, warnings);
}

/* One note about the option has all the words; NULL fits any option. */
static inline void expect_note(const struct config_notes *notes, const char *option,
                               const char *words) {
    for (size_t i = 0; i < notes->count; i++)
        if ((!option || !strcmp(notes->items[i].option, option)) &&
            strstr(notes->items[i].text, words))
            return;
    print_notes_of("note", notes);
    fail_msg("no note about %s says \"%s\"", option ? option : "anything", words);
}

/* No note anywhere has the words in it. */
static inline void expect_no_word(const struct config_loader *l, const char *word) {
    const struct config_notes *all[] = {&l->used, &l->warnings, &l->problems};
    for (size_t a = 0; a < 3; a++)
        for (size_t i = 0; i < all[a]->count; i++) {
            assert_null(strstr(all[a]->items[i].source, word));
            assert_null(strstr(all[a]->items[i].option, word));
            assert_null(strstr(all[a]->items[i].text, word));
        }
}

#endif
