/* See hub.h. A hash map of channels, each with an array of its subscribers.
 *
 * Thread: its worker.
 */
#include "channels/hub.h"

#include "server/base/list.h"
#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

void hub_init(struct hub *h) {
    map_init(&h->channels);
    h->sub_count = 0;
}

void hub_fini(struct hub *h) {
    assert(h->sub_count == 0 && h->channels.count == 0);
    map_fini(&h->channels);
}

static struct hub_channel *of_node(struct map_node *n) {
    return n ? list_entry(n, struct hub_channel, node) : NULL;
}

struct hub_channel *hub_find(const struct hub *h, struct str name, uint64_t hash) {
    return of_node(map_find_hashed(&h->channels, name, hash));
}

static struct hub_channel *make(struct hub *h, struct str name) {
    struct hub_channel *c = mem_zalloc(sizeof(*c) + name.n);
    memcpy(c->name, name.p, name.n);
    map_insert(&h->channels, &c->node, (struct str){c->name, name.n});
    return c;
}

static void resize(struct hub_channel *c, uint32_t capacity) {
    c->subs = mem_realloc(c->subs, capacity * sizeof(struct hub_sub *));
    c->sub_capacity = capacity;
}

struct hub_channel *hub_join(struct hub *h, struct str name, struct hub_sub *sub) {
    struct hub_channel *c = of_node(map_find(&h->channels, name));
    assert(!sub->channel);
    if (!c)
        c = make(h, name);
    if (c->sub_count == c->sub_capacity)
        resize(c, c->sub_capacity ? c->sub_capacity * 2 : 1);
    sub->channel = c;
    sub->index = c->sub_count;
    c->subs[c->sub_count++] = sub;
    h->sub_count++;
    return c;
}

static bool is_idle(const struct hub_channel *c) {
    return c->sub_count == 0 && c->pin_count == 0;
}

bool hub_leave(struct hub *h, struct hub_sub *sub) {
    struct hub_channel *c = sub->channel;
    assert(c && c->sub_count > 0);
    assert(c->subs[sub->index] == sub);
    struct hub_sub *last = c->subs[--c->sub_count];
    c->subs[sub->index] = last;
    last->index = sub->index;
    sub->channel = NULL;
    if (c->sub_capacity > 16 && c->sub_count < c->sub_capacity / 4)
        resize(c, c->sub_capacity / 2);
    h->sub_count--;
    return is_idle(c);
}

void hub_pin(struct hub_channel *c) {
    c->pin_count++;
}

bool hub_unpin(struct hub_channel *c) {
    assert(c->pin_count > 0);
    c->pin_count--;
    return is_idle(c);
}

void hub_forget(struct hub *h, struct hub_channel *c) {
    assert(is_idle(c));
    map_remove(&h->channels, &c->node);
    mem_free(c->subs);
    mem_free(c);
}
