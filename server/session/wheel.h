/* Deadlines of many objects with one timer: a wheel of WHEEL_SLOTS lists, one per WHEEL_TICK_MS.
 *
 * Setting and cancelling are O(1). An entry fires in the turn after its time, so up to a tick late.
 * Times beyond the wheel's span stay in their slot and are looked at once per round.
 *
 * Owns: nothing. Thread: its worker.
 */
#ifndef CARILLON_SESSION_WHEEL_H
#define CARILLON_SESSION_WHEEL_H

#include "server/base/list.h"

#include <stdint.h>

#define WHEEL_SLOTS 512
#define WHEEL_TICK_MS 64

struct wheel_entry {
    struct list link;
    uint64_t due_ms;
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t turned_to_tick; /* all slots up to this tick have been looked at */
};

typedef void wheel_fire_fn(struct wheel_entry *e, void *arg);

void wheel_init(struct wheel *w, uint64_t now_ms);

/* Before the entry is used. */
void wheel_entry_init(struct wheel_entry *e);

/* (Re)sets the time; one in the past fires in the next turn. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_ms);

void wheel_cancel(struct wheel_entry *e);

/* Fires everything due; fire may set or cancel any entry. */
void wheel_turn(struct wheel *w, uint64_t now_ms, wheel_fire_fn *fire, void *arg);

#endif
