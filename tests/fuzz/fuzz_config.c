/* Fuzzes the configuration: the first byte says where the rest comes from.
 *
 * f: a JSON file. e: lines of the environment. a: lines that are arguments. n: the JSON of
 * channel.namespaces. With the capital letter one "did you mean" is searched, too, which takes most
 * of the time. Whatever comes, the loader must end with a config whose numbers are in their ranges
 * and that can be freed, and what it says must be printable.
 *
 * Arguments and variables are kept from naming files: the fuzzer reads none.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.c"

#include "server/base/buf.h"

#include <ctype.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 24

static void check_numbers(const struct option *list, const void *base) {
    for (const struct option *o = list; o->name; o++) {
        const void *at = (const char *)base + o->offset;
        struct buf shown = {0};
        bool is_number =
            o->type == OPTION_COUNT || o->type == OPTION_BYTES || o->type == OPTION_DURATION;
        /* 0 workers become some, 0 bursts may become twice the rate: checked by their own tests */
        if (is_number && *o->preset != '0') {
            assert(*(const uint32_t *)at >= o->min);
            assert(*(const uint32_t *)at <= o->max);
        }
        option_print(base, o, &shown);
        buf_fini(&shown);
    }
}

static void check_notes(const struct config_notes *notes) {
    for (size_t i = 0; i < notes->count; i++) {
        const char *option = notes->items[i].option;
        for (size_t n = 0; option[n]; n++)
            assert(option[n] >= 0x20 && option[n] < 0x7f);
        assert(notes->items[i].source && notes->items[i].text);
    }
}

static void check(const struct config_loader *l) {
    const struct config *c = l->config;
    check_numbers(config_options, c);
    check_numbers(config_channel_options + 1, &c->rules.without_namespace);
    for (uint32_t i = 0; i < c->rules.namespace_count; i++)
        check_numbers(config_channel_options, &c->rules.namespaces[i]);
    check_notes(&l->used);
    check_notes(&l->warnings);
    check_notes(&l->problems);
    assert(c->workers >= 1 && c->workers <= 64);
    assert(l->problems.count || c->engine_redis_host);
    for (size_t i = 0; i < c->engine_redis_address.count && !l->problems.count; i++)
        assert(c->engine_redis_unix_path || !strchr(c->engine_redis_address.items[i], '@'));
}

/* Splits text at newlines into words[from...]; ends the list. Returns how many there are. */
static int split(char *text, char **words, int from) {
    char *rest = text;
    int n = from;
    while (n < WORDS_MAX - 1 && rest)
        words[n++] = strsep(&rest, "\n");
    words[n] = NULL;
    return n;
}

static bool names_a_file(char **words) {
    for (; *words; words++)
        if (strstr(*words, "_FILE") || strstr(*words, "config") || !strncmp(*words, "-c", 2))
            return true;
    return false;
}

static void run(char kind, bool has_suggestion, char *text) {
    char *words[WORDS_MAX] = {"carillon"}, *none[] = {NULL};
    struct config_loader l;
    struct config_args args;
    int argc = kind == 'a' ? split(text, words, 1) : 1;
    config_loader_init(&l);
    l.suggestion_count = CONFIG_SUGGESTIONS_MAX - has_suggestion;
    if (kind == 'e')
        split(text, words, 0);
    bool is_skipped = names_a_file(words + (kind == 'a'));
    config_args_parse(&l, is_skipped || kind != 'a' ? 1 : argc, words, &args);
    if (kind == 'f')
        config_loader_file_text(&l, "fuzz", str_of(text));
    if (kind == 'n')
        config_loader_text(&l, "fuzz", CONFIG_NAMESPACES, text);
    config_loader_env(&l, kind == 'e' && !is_skipped ? words : none);
    config_args_apply(&l, &args);
    config_loader_finish(&l);
    check(&l);
    config_args_fini(&args);
    config_loader_fini(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 64 * 1024)
        return 0;
    char *text = mem_strndup((const char *)data + 1, size - 1);
    run((char)tolower(data[0]), isupper(data[0]), text);
    mem_free(text);
    return 0;
}
