/* All option names: see config_names.h.
 *
 * Nearness is the edit distance (insert, delete, replace) and must be small against the length of
 * the last part of what was written: sections are long and alike. A name whose last parts are
 * exactly what was written is nearest of all: people forget sections ("ping_interval") more often
 * than letters.
 *
 * Owns: nothing. Thread: any.
 */
#include "server/config/config_names.h"

#include "server/config/config_foreign.h"
#include "server/config/config_options.h"

#include <assert.h>
#include <string.h>

#define SUGGESTIONS 3

/* True stops the walk. */
typedef bool (*visit_fn)(struct str name, void *arg);

static bool visit_one(const char *prefix, const char *name, visit_fn visit, void *arg) {
    char full[CONFIG_NAME_BYTES];
    size_t n = strlen(prefix), m = strlen(name);
    assert(n + m < sizeof(full));
    memcpy(full, prefix, n);
    memcpy(full + n, name, m + 1);
    return visit((struct str){full, n + m}, arg);
}

static bool visit_options(const char *prefix, const struct option *list, visit_fn visit,
                          void *arg) {
    for (const struct option *o = list; o->name; o++)
        if (visit_one(prefix, o->name, visit, arg))
            return true;
    return false;
}

/* Visits every name; true when a visit was. */
static bool visit_names(visit_fn visit, void *arg) {
    if (visit_options("", config_options, visit, arg) ||
        visit_options(CONFIG_WITHOUT_NAMESPACE ".", config_channel_options + 1, visit, arg) ||
        visit_options(CONFIG_NAMESPACES "[].", config_channel_options, visit, arg))
        return true;
    for (const struct foreign_group *g = config_foreign_groups; g->rows; g++)
        for (const struct foreign *row = g->rows; row->name; row++)
            if (visit_one(g->prefix, row->name, visit, arg))
                return true;
    return false;
}

struct prefix {
    struct str path, more;
};

static bool has_prefix(struct str name, void *arg) {
    const struct prefix *p = arg;
    return str_starts(name, p->path) && str_starts(str_slice(name, p->path.n, name.n), p->more);
}

bool config_names_is_section(struct str path) {
    return visit_names(has_prefix, &(struct prefix){path, STR(".")});
}

bool config_names_is_list(struct str path) {
    return visit_names(has_prefix, &(struct prefix){path, STR("[]")});
}

/* ---- did you mean ---- */

struct search {
    struct str wanted;
    size_t limit; /* of the distance */
    bool is_env;
    size_t found_count;
    struct {
        char name[CONFIG_NAME_BYTES];
        size_t distance;
    } found[SUGGESTIONS];
};

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Gives SIZE_MAX as soon as it is more than limit. Both are shorter than CONFIG_NAME_BYTES. */
static size_t edit_distance(struct str a, struct str b, size_t limit) {
    size_t row[CONFIG_NAME_BYTES + 1], same = 0;
    while (same < a.n && same < b.n && a.p[same] == b.p[same])
        same++;
    a = str_slice(a, same, a.n);
    b = str_slice(b, same, b.n);
    if (a.n > b.n + limit || b.n > a.n + limit)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0], smallest = i;
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = row[j];
            row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
            smallest = smaller(smallest, row[j]);
        }
        if (smallest > limit)
            return SIZE_MAX;
    }
    return row[b.n];
}

static bool is_tail_of(struct str tail, struct str name) {
    return name.n > tail.n && name.p[name.n - tail.n - 1] == '.' &&
           str_equal(str_slice(name, name.n - tail.n, name.n), tail);
}

/* Without its sections; the name itself when it has none. */
static struct str last_part(struct str name) {
    size_t start = name.n;
    while (start > 0 && name.p[start - 1] != '.')
        start--;
    return str_slice(name, start, name.n);
}

static size_t distance_of(const struct search *s, struct str name) {
    if (!s->is_env && is_tail_of(s->wanted, name))
        return 0;
    size_t distance = edit_distance(s->wanted, name, s->limit);
    if (!s->is_env && distance > 1 && last_part(s->wanted).n == s->wanted.n) {
        size_t part = edit_distance(s->wanted, last_part(name), s->limit);
        distance = smaller(distance, part == SIZE_MAX ? part : part + 1);
    }
    return distance;
}

static void keep(struct search *s, struct str name, size_t distance) {
    size_t at = s->found_count;
    while (at > 0 && s->found[at - 1].distance > distance)
        at--;
    if (at == SUGGESTIONS)
        return;
    if (s->found_count < SUGGESTIONS)
        s->found_count++;
    memmove(&s->found[at + 1], &s->found[at], (s->found_count - at - 1) * sizeof(s->found[0]));
    memcpy(s->found[at].name, name.p, name.n);
    s->found[at].name[name.n] = '\0';
    s->found[at].distance = distance;
}

static bool compare_name(struct str name, void *arg) {
    struct search *s = arg;
    if (s->is_env && str_find(name, '[') < name.n)
        return false; /* no variable can name an entry of a list */
    struct buf env = {0};
    if (s->is_env && name.n + sizeof(CONFIG_ENV_PREFIX) <= CONFIG_NAME_BYTES) {
        config_env_name(&env, "", name.p);
        name = buf_str(&env);
    }
    size_t distance = distance_of(s, name);
    if (distance <= s->limit)
        keep(s, name, distance);
    buf_fini(&env);
    return false;
}

static void suggest(struct search *s, struct buf *out) {
    size_t part_bytes = s->is_env ? s->wanted.n : last_part(s->wanted).n;
    if (s->wanted.n == 0 || s->wanted.n >= CONFIG_NAME_BYTES)
        return;
    s->limit = part_bytes < 8 ? 2 : part_bytes / 4;
    visit_names(compare_name, s);
    for (size_t i = 0; i < s->found_count; i++)
        buf_printf(out, "%s%s", i ? ", " : ", did you mean ", s->found[i].name);
    if (s->found_count)
        buf_add_char(out, '?');
}

void config_names_suggest(struct str path, struct buf *out) {
    suggest(&(struct search){.wanted = path}, out);
}

void config_names_suggest_env(struct str variable, struct buf *out) {
    suggest(&(struct search){.wanted = variable, .is_env = true}, out);
}
