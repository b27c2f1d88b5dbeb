/* See scopes.h.
 *
 * Thread: any (no state).
 */
#include "auth/scopes.h"

#include "auth/capabilities.h"
#include "server/base/glob.h"
#include "server/base/mem.h"
#include "server/base/permissions.h"

#include <assert.h>
#include <string.h>

struct line {
    struct str scope, channels; /* slices of text */
    unsigned permissions;
    char *text;
};

struct scopes {
    size_t count;
    struct line lines[SCOPES_MAX];
};

/* RFC 6749 section 3.3, but for "=". */
static bool is_scope(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\\')
            return false;
    }
    return s.n > 0;
}

static bool read_permissions(struct str list, unsigned *out) {
    struct str word;
    *out = 0;
    while (str_cut(&list, '+', &word)) {
        unsigned bit = capability_named(word);
        if (!bit)
            return false;
        *out |= bit;
    }
    return *out != 0;
}

static bool read_line(struct str text, struct line *out) {
    size_t first = str_find(text, '=');
    struct str rest = str_slice(text, first + 1, text.n);
    size_t second = str_find(rest, '=');
    out->scope = str_slice(text, 0, first);
    out->channels = str_slice(rest, second + 1, rest.n);
    return is_scope(out->scope) &&
           read_permissions(str_slice(rest, 0, second), &out->permissions) && out->channels.n &&
           str_is_utf8(out->channels) && !glob_fault(out->channels);
}

bool scopes_check(struct str line) {
    struct line l;
    return read_line(line, &l);
}

struct scopes *scopes_create(char *const *lines, size_t count) {
    if (count == 0)
        return NULL;
    struct scopes *s = mem_zalloc(sizeof(*s));
    assert(count <= SCOPES_MAX);
    for (; s->count < count; s->count++) {
        struct line *l = &s->lines[s->count];
        char *text = mem_strndup(lines[s->count], strlen(lines[s->count]));
        bool is_good = read_line(str_of(text), l);
        assert(is_good);
        l->text = text;
    }
    return s;
}

void scopes_destroy(struct scopes *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        mem_free(s->lines[i].text);
    mem_free(s);
}

uint64_t scopes_find(const struct scopes *s, struct str list) {
    uint64_t found = 0;
    struct str word;
    while (str_cut(&list, ' ', &word))
        for (size_t i = 0; i < s->count; i++)
            if (str_equal(word, s->lines[i].scope))
                found |= UINT64_C(1) << i;
    return found;
}

unsigned scopes_in(const struct scopes *s, uint64_t lines, struct str channel) {
    unsigned permissions = 0;
    for (size_t i = 0; s && lines && i < s->count; i++)
        if ((lines & UINT64_C(1) << i) && (s->lines[i].permissions & ~permissions) &&
            glob_matches(s->lines[i].channels, channel))
            permissions |= s->lines[i].permissions;
    return permissions;
}
