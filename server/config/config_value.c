/* Values of options: see config_value.h.
 *
 * Text and JSON meet early: JSON is checked for its type, then a number goes to set_number() and a
 * text through the same path as one from the command line, so ranges are checked in one place.
 *
 * Thread: any. Owns: nothing.
 */
#include "server/config/config_value.h"

#include "server/base/mem.h"
#include "server/base/secret.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static void *field(const struct option *o, void *base) {
    return (char *)base + o->offset;
}

/* Some text fields are `char *`, some `const char *`: copying the pointer reads both. */
static const char *text_field(const struct option *o, const void *base) {
    const char *text;
    memcpy(&text, (const char *)base + o->offset, sizeof(text));
    return text;
}

void config_print_safe(struct buf *out, struct str s, size_t max_bytes) {
    struct str shown = str_slice(s, 0, max_bytes);
    for (size_t i = 0; i < shown.n; i++) {
        unsigned char c = (unsigned char)shown.p[i];
        if (c < 0x20 || c > 0x7e)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_char(out, (char)c);
    }
    if (shown.n < s.n)
        buf_add_z(out, "...");
}

const char *config_z(struct buf *b) {
    *buf_reserve(b, 1) = '\0';
    return b->p;
}

void config_strings_add(struct config_strings *list, struct str item) {
    assert(list->count < SIZE_MAX / sizeof(char *) - 1);
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof(char *));
    list->items[list->count++] = mem_strndup(item.p ? item.p : "", item.n);
}

static char *copy_text(const char *text, bool is_secret) {
    return is_secret ? secret_copy(str_of(text)) : mem_strndup(text, strlen(text));
}

static void free_text(char *text, bool is_secret) {
    if (is_secret)
        secret_free(text);
    else
        mem_free(text);
}

void config_strings_fini(struct config_strings *list) {
    for (size_t i = 0; i < list->count; i++)
        secret_wipe_text(list->items[i]); /* an address may hold a password */
    mem_free(list->items);
    *list = (struct config_strings){0};
}

void option_clear(void *base, const struct option *o) {
    switch (o->type) {
    case OPTION_BOOL:
        *(bool *)field(o, base) = false;
        break;
    case OPTION_COUNT:
    case OPTION_BYTES:
    case OPTION_DURATION:
    case OPTION_SECONDS:
    case OPTION_WORDS:
        *(uint32_t *)field(o, base) = 0;
        break;
    case OPTION_TEXT:
    case OPTION_WORD:
        free_text((char *)(uintptr_t)text_field(o, base), o->flags & OPTION_SECRET);
        memset(field(o, base), 0, sizeof(char *));
        break;
    case OPTION_LIST:
        config_strings_fini(field(o, base));
        break;
    }
}

/* ---- what is allowed ---- */

static void print_number(const struct option *o, uint64_t n, struct buf *out) {
    if (o->type == OPTION_DURATION || o->type == OPTION_SECONDS)
        duration_print(n, out);
    else
        buf_add_u64(out, n);
}

static void print_range(const struct option *o, const char *what, struct buf *out) {
    buf_printf(out, "%s from ", what);
    print_number(o, o->min, out);
    buf_add_z(out, " to ");
    print_number(o, o->max, out);
}

static void print_words(const char *words, struct buf *out) {
    buf_add_z(out, *words == ' ' ? "one of empty" : "one of ");
    for (const char *c = words; *c; c++)
        buf_add_z(out, *c == ' ' ? ", " : (char[]){*c, 0});
}

static void print_text_rule(const struct option *o, struct buf *out) {
    const char *allowed = "a text";
    if (o->check)
        o->check((char[]){""}, &allowed);
    buf_printf(out, "%s, at most %" PRIu64 " bytes", allowed, o->max);
}

void option_print_allowed(const struct option *o, struct buf *out) {
    switch (o->type) {
    case OPTION_BOOL:
        buf_add_z(out, "true or false");
        return;
    case OPTION_COUNT:
        print_range(o, "a whole number", out);
        return;
    case OPTION_BYTES:
        print_range(o, "a whole number of bytes", out);
        return;
    case OPTION_DURATION:
        print_range(o, "a duration such as \"10s\", \"1m30s\" or \"500ms\",", out);
        return;
    case OPTION_SECONDS:
        print_range(o, "a duration of whole seconds, such as \"10s\" or \"1h30m\",", out);
        return;
    case OPTION_WORD:
        print_words(o->words, out);
        return;
    case OPTION_WORDS:
        buf_add_z(out, "a list, each item ");
        print_words(o->words, out);
        return;
    case OPTION_LIST:
        buf_add_z(out, "a list, each item ");
        print_text_rule(o, out);
        return;
    case OPTION_TEXT:
        print_text_rule(o, out);
        return;
    }
}

/* found is not repeated when it is or may hold a secret. */
static void print_fault(const struct option *o, struct str found, struct buf *why) {
    buf_add_z(why, "found ");
    if (o->flags & (OPTION_SECRET | OPTION_QUIET))
        buf_add_z(why, "something else (not shown)");
    else
        config_print_safe(why, found, CONFIG_SHOWN_BYTES);
    buf_add_z(why, ", allowed is ");
    option_print_allowed(o, why);
}

/* ---- setting ---- */

static bool is_plain_text(const char *text, bool may_have_lines) {
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 || *text == 0x7f) &&
            !(may_have_lines && strchr("\r\n\t", *text)))
            return false;
    return true;
}

/* Where the word stands among words, from 0. */
static bool find_word(const char *words, struct str word, uint32_t *index) {
    struct str rest = str_of(words), found;
    for (*index = 0; str_cut(&rest, ' ', &found); ++*index)
        if (str_equal(found, word))
            return true;
    return false;
}

/* Empty is fine where it is the default or the row says so: it switches the thing off. */
static bool may_be_empty(const struct option *o) {
    return o->min == 0 || !*o->preset;
}

/* Text fields and list items; may normalise. */
static bool is_good_text(const struct option *o, char *text) {
    const char *allowed;
    size_t n = strlen(text);
    uint32_t index;
    if (o->type == OPTION_WORD)
        return find_word(o->words, (struct str){text, n}, &index);
    if (n == 0 && o->type == OPTION_TEXT)
        return may_be_empty(o);
    return n >= o->min && n <= o->max && is_plain_text(text, o->flags & OPTION_LINES) &&
           (!o->check || o->check(text, &allowed));
}

static bool set_text(void *base, const struct option *o, const char *text) {
    char *copy = copy_text(text, o->flags & OPTION_SECRET);
    if (!is_good_text(o, copy)) {
        free_text(copy, o->flags & OPTION_SECRET);
        return false;
    }
    option_clear(base, o);
    memcpy(field(o, base), &copy, sizeof(copy));
    return true;
}

static bool set_number(void *base, const struct option *o, uint64_t n) {
    uint32_t unit = o->type == OPTION_SECONDS ? 1000 : 1;
    if (n < o->min || n > o->max || n % unit)
        return false;
    assert(o->max / unit <= UINT32_MAX);
    *(uint32_t *)field(o, base) = (uint32_t)(n / unit);
    return true;
}

/* Takes the items. Appends the one that is no word to *bad. */
static bool set_words(void *base, const struct option *o, struct config_strings *items,
                      struct buf *bad) {
    uint32_t set = 0, index;
    bool is_good = true;
    for (size_t i = 0; is_good && i < items->count; i++) {
        is_good = find_word(o->words, str_of(items->items[i]), &index);
        if (is_good)
            set |= 1u << index;
        else
            buf_printf(bad, "\"%s\"", items->items[i]);
    }
    if (is_good)
        *(uint32_t *)field(o, base) = set;
    config_strings_fini(items);
    return is_good;
}

/* Takes the items; an empty list must be allowed. Appends the item that will not do to *bad. */
static bool set_list(void *base, const struct option *o, struct config_strings *items,
                     struct buf *bad) {
    if (o->type == OPTION_WORDS)
        return set_words(base, o, items, bad);
    bool is_good = items->count > 0 || !*o->preset;
    for (size_t i = 0; is_good && i < items->count; i++) {
        is_good = is_good_text(o, items->items[i]);
        if (!is_good)
            buf_printf(bad, "\"%s\"", items->items[i]);
    }
    if (!is_good) {
        config_strings_fini(items);
        return false;
    }
    option_clear(base, o);
    *(struct config_strings *)field(o, base) = *items;
    return true;
}

static bool set_list_text(void *base, const struct option *o, const char *text, struct buf *bad) {
    struct config_strings items = {0};
    for (;;) {
        text += strspn(text, ", \t\r\n");
        size_t n = strcspn(text, ", \t\r\n");
        if (n == 0)
            break;
        config_strings_add(&items, (struct str){text, n});
        text += n;
    }
    return set_list(base, o, &items, bad);
}

static bool set_bool_text(void *base, const struct option *o, const char *text) {
    bool is_true = !strcmp(text, "true") || !strcmp(text, "1");
    if (!is_true && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return false;
    *(bool *)field(o, base) = is_true;
    return true;
}

static bool set_any_text(void *base, const struct option *o, const char *text, struct buf *bad) {
    uint64_t n;
    switch (o->type) {
    case OPTION_BOOL:
        return set_bool_text(base, o, text);
    case OPTION_COUNT:
    case OPTION_BYTES:
        return str_to_u64(str_of(text), &n) && set_number(base, o, n);
    case OPTION_DURATION:
    case OPTION_SECONDS:
        return duration_parse(str_of(text), &n) && set_number(base, o, n);
    case OPTION_TEXT:
    case OPTION_WORD:
        return set_text(base, o, text);
    case OPTION_WORDS:
    case OPTION_LIST:
        return set_list_text(base, o, text, bad);
    }
    return false;
}

static void wipe_and_free(struct buf *b) {
    if (b->n)
        explicit_bzero(b->p, b->n);
    buf_fini(b);
}

bool option_set_text(void *base, const struct option *o, const char *text, struct buf *why) {
    struct buf bad = {0};
    bool is_set = set_any_text(base, o, text, &bad);
    if (!is_set) {
        if (bad.n == 0)
            buf_printf(&bad, "\"%s\"", text);
        print_fault(o, buf_str(&bad), why);
    }
    wipe_and_free(&bad);
    return is_set;
}

static bool set_list_json(void *base, const struct option *o, const json_t *value,
                          struct buf *bad) {
    struct config_strings items = {0};
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item)) {
            buf_printf(bad, "item %zu that is no text", i + 1);
            config_strings_fini(&items);
            return false;
        }
        config_strings_add(&items, str_of(json_string_value(item)));
    }
    return set_list(base, o, &items, bad);
}

static bool set_any_json(void *base, const struct option *o, const json_t *value, struct buf *bad) {
    switch (o->type) {
    case OPTION_BOOL:
        if (json_is_boolean(value))
            *(bool *)field(o, base) = json_is_true(value);
        return json_is_boolean(value);
    case OPTION_COUNT:
    case OPTION_BYTES:
        return json_is_integer(value) && json_integer_value(value) >= 0 &&
               set_number(base, o, (uint64_t)json_integer_value(value));
    case OPTION_DURATION:
    case OPTION_SECONDS:
    case OPTION_TEXT:
    case OPTION_WORD:
        return json_is_string(value) && set_any_text(base, o, json_string_value(value), bad);
    case OPTION_WORDS:
    case OPTION_LIST:
        if (json_is_string(value)) /* one item needs no brackets, as in Centrifugo */
            return set_list_text(base, o, json_string_value(value), bad);
        return json_is_array(value) && set_list_json(base, o, value, bad);
    }
    return false;
}

/* A value for an error text; what is in objects and lists is left out. */
static void print_json(const json_t *value, struct buf *out) {
    if (json_is_object(value))
        buf_add_z(out, "an object");
    else if (json_is_array(value))
        buf_add_z(out, json_array_size(value) ? "a list" : "an empty list");
    else if (json_is_string(value))
        buf_printf(out, "\"%s\"", json_string_value(value));
    else if (json_is_integer(value))
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        buf_printf(out, "%g", json_real_value(value));
    else
        buf_add_z(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
}

bool option_set_json(void *base, const struct option *o, const json_t *value, struct buf *why) {
    struct buf bad = {0};
    bool is_set = json_is_null(value) || set_any_json(base, o, value, &bad);
    if (!is_set) {
        if (bad.n == 0)
            print_json(value, &bad);
        print_fault(o, buf_str(&bad), why);
    }
    wipe_and_free(&bad);
    return is_set;
}

static void print_word_set(const struct option *o, uint32_t set, struct buf *out) {
    struct str rest = str_of(o->words), word;
    buf_add_char(out, '[');
    for (uint32_t i = 0; str_cut(&rest, ' ', &word); i++)
        if (set >> i & 1)
            buf_printf(out, "%s\"%.*s\"", set & ((1u << i) - 1) ? ", " : "", STR_ARG(word));
    buf_add_char(out, ']');
}

void option_print(const void *base, const struct option *o, struct buf *out) {
    const void *at = (const char *)base + o->offset;
    const struct config_strings *list = at;
    const char *text;
    if (o->flags & OPTION_QUIET) {
        buf_add_z(out, "(not shown)");
        return;
    }
    switch (o->type) {
    case OPTION_BOOL:
        buf_add_z(out, *(const bool *)at ? "true" : "false");
        return;
    case OPTION_COUNT:
    case OPTION_BYTES:
    case OPTION_DURATION:
        print_number(o, *(const uint32_t *)at, out);
        return;
    case OPTION_SECONDS:
        print_number(o, UINT64_C(1000) * *(const uint32_t *)at, out);
        return;
    case OPTION_WORDS:
        print_word_set(o, *(const uint32_t *)at, out);
        return;
    case OPTION_TEXT:
    case OPTION_WORD:
        text = text_field(o, base);
        if ((o->flags & OPTION_SECRET) && *text)
            buf_add_z(out, "(secret)");
        else if (o->flags & OPTION_LINES)
            config_print_safe(out, str_of(text), CONFIG_SHOWN_BYTES);
        else
            buf_printf(out, "\"%s\"", text);
        return;
    case OPTION_LIST:
        buf_add_char(out, '[');
        for (size_t i = 0; i < list->count; i++)
            buf_printf(out, "%s\"%s\"", i ? ", " : "", list->items[i]);
        buf_add_char(out, ']');
        return;
    }
}
