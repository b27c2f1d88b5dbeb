/* A command to Redis while it is put together, and as Redis reads it. hiredis does the formatting.
 *
 * Owns: nothing. Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_REDIS_COMMAND_H
#define CARILLON_CHANNELS_REDIS_COMMAND_H

#include "server/base/str.h"

enum { REDIS_ARGS_MAX = 520 };

/* A command while it is put together. Borrows its texts. */
struct redis_args {
    size_t count;
    const char *texts[REDIS_ARGS_MAX];
    size_t sizes[REDIS_ARGS_MAX];
};

void redis_args_add(struct redis_args *args, struct str text);

/* Gives the command as Redis reads it; free it with redis_command_free(). */
struct str redis_command_make(struct redis_args *args);
void redis_command_free(struct str command);

#endif
