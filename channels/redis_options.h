/* What the broker was told about Redis, as its links need it: a copy that lives as long as they do.
 *
 * Owns: the texts and the TLS settings; passwords are wiped. Thread: one.
 */
#ifndef CARILLON_CHANNELS_REDIS_OPTIONS_H
#define CARILLON_CHANNELS_REDIS_OPTIONS_H

#include "channels/broker_redis.h"
#include "channels/redis_pair.h"

/* Calls are answered within BROKER_DEADLINE_MS, so links wait a little less. */
enum { IO_TIMEOUT_MAX_MS = 2500 };

/* Copies the texts, takes the TLS settings, borrows the uid. */
void redis_options_init(struct redis_pair_options *to, const struct broker_redis_options *from,
                        const char *uid);
void redis_options_fini(struct redis_pair_options *o);

#endif
