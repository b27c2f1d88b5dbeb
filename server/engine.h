/* The broker that engine.type asks for. This and main are the only ones who know which one it is.
 *
 * Thread: main.
 */
#ifndef CARILLON_ENGINE_H
#define CARILLON_ENGINE_H

#include "server/net/worker.h"

/* Gives the broker; borrows what the server has, which must outlive it. NULL, and the reason is
 * logged, when there is none. */
struct broker *engine_create(const struct server *s);

#endif
