/* Who on this worker listens to what: channel name -> its local subscribers. No locks.
 *
 * Joining and leaving are O(1). A channel keeps its subscribers in an array, in no order, so that a
 * fan-out can fetch the next ones while it serves this one. The hub knows nothing of clients; a
 * subscriber embeds a struct hub_sub.
 *
 * A channel exists here while it has subscribers, or while it is pinned: an attach to the broker
 * that is under way pins it, so that the answer finds it. hub_leave() and hub_unpin() say when it
 * became idle; the owner then detaches from the broker and calls hub_forget().
 *
 * Owns: the channels, not the subscribers. Thread: its worker. Who visits the subscribers of a
 * channel does it from the last to the first, and then the visited one may leave meanwhile; nothing
 * else may change.
 */
#ifndef CARILLON_CHANNELS_HUB_H
#define CARILLON_CHANNELS_HUB_H

#include "server/base/map.h"

enum hub_state {
    HUB_NEW,       /* nobody has asked the broker yet */
    HUB_ATTACHING, /* asked, not confirmed: subscribers wait */
    HUB_ATTACHED,
};

struct hub_channel {
    struct map_node node; /* key = name */
    struct hub_sub **subs;
    uint32_t sub_count, sub_capacity;
    uint32_t pin_count;
    enum hub_state state; /* kept by who talks to the broker */
    uint64_t heard_ms;    /* last sign of the channel; kept by who delivers */
    char name[];          /* not terminated */
};

struct hub_sub {
    struct hub_channel *channel; /* NULL: in no channel */
    uint32_t index;              /* in its subs */
};

struct hub {
    struct map channels;
    size_t sub_count;
};

void hub_init(struct hub *h);

/* Must have no subscribers and no pins. */
void hub_fini(struct hub *h);

/* NULL when nobody here listens. `hash` is map_hash(name). */
struct hub_channel *hub_find(const struct hub *h, struct str name, uint64_t hash);

/* Adds the subscriber to the channel, which is made when it is new; copies the name. */
struct hub_channel *hub_join(struct hub *h, struct str name, struct hub_sub *sub);

/* True when the channel became idle: call hub_forget() when done with it. */
bool hub_leave(struct hub *h, struct hub_sub *sub);

void hub_pin(struct hub_channel *c);

/* True when the channel became idle. */
bool hub_unpin(struct hub_channel *c);

/* Frees an idle channel. */
void hub_forget(struct hub *h, struct hub_channel *c);

#endif
