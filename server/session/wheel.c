/* See wheel.h. The rejected way, a sorted list as in libwebsockets, costs O(n) per client.
 *
 * 512 slots of 64 ms are 33 s, longer than the ping interval, so in normal life an entry is touched
 * only when it fires. 8 KB per worker.
 *
 * Thread: its worker.
 */
#include "server/session/wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms) {
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->turned_to_tick = now_ms / WHEEL_TICK_MS;
}

void wheel_entry_init(struct wheel_entry *e) {
    list_init(&e->link);
    e->due_ms = 0;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms) {
    /* Round up: never early. What is past goes to the next slot to be looked at. */
    uint64_t tick = due_ms / WHEEL_TICK_MS + 1;
    if (tick <= w->turned_to_tick)
        tick = w->turned_to_tick + 1;
    list_remove(&e->link);
    e->due_ms = due_ms;
    list_append(&w->slots[tick % WHEEL_SLOTS], &e->link);
}

void wheel_cancel(struct wheel_entry *e) {
    list_remove(&e->link);
}

static void turn_slot(struct wheel *w, struct list *slot, uint64_t now_ms, wheel_fire_fn *fire,
                      void *arg) {
    struct list visited;
    /* Moved to a list of its own, so that an entry set again to this very slot is not seen twice.
     */
    list_init(&visited);
    list_splice(&visited, slot);
    while (!list_is_empty(&visited)) {
        struct wheel_entry *e = list_entry(visited.next, struct wheel_entry, link);
        list_remove(&e->link);
        if (e->due_ms > now_ms)
            wheel_set(w, e, e->due_ms);
        else
            fire(e, arg);
    }
}

void wheel_turn(struct wheel *w, uint64_t now_ms, wheel_fire_fn *fire, void *arg) {
    uint64_t now_tick = now_ms / WHEEL_TICK_MS;
    uint64_t tick_count = now_tick > w->turned_to_tick ? now_tick - w->turned_to_tick : 0;
    uint64_t from = w->turned_to_tick + 1;

    /* After a long sleep each slot needs one look only. */
    if (tick_count > WHEEL_SLOTS)
        tick_count = WHEEL_SLOTS;
    w->turned_to_tick = now_tick;
    for (uint64_t i = 0; i < tick_count; i++)
        turn_slot(w, &w->slots[(from + i) % WHEEL_SLOTS], now_ms, fire, arg);
}
