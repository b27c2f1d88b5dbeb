/* The broker of a single process: messages go straight from the publisher's thread to the mailboxes
 * of the workers that have subscribers.
 *
 * Thread: any.
 */
#ifndef CARILLON_CHANNELS_BROKER_MEMORY_H
#define CARILLON_CHANNELS_BROKER_MEMORY_H

#include "channels/broker.h"
#include "channels/fanout.h"

/* Borrows the fanout, which must outlive the broker. */
struct broker *broker_memory_create(struct fanout *fanout);

#endif
