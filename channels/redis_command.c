/* See redis_command.h.
 *
 * Thread: any (no state).
 */
#include "channels/redis_command.h"

#include <assert.h>
#include <hiredis/hiredis.h>

void redis_args_add(struct redis_args *args, struct str text) {
    assert(args->count < REDIS_ARGS_MAX);
    args->texts[args->count] = text.p ? text.p : "";
    args->sizes[args->count++] = text.n;
}

struct str redis_command_make(struct redis_args *args) {
    char *text = NULL;
    int n = redisFormatCommandArgv(&text, (int)args->count, args->texts, args->sizes);
    assert(n > 0); /* only memory can lack */
    return (struct str){text, (size_t)n};
}

void redis_command_free(struct str command) {
    redisFreeCommand((char *)(uintptr_t)command.p);
}
