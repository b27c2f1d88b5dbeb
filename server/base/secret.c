/* See secret.h.
 *
 * Thread: any.
 */
#include "server/base/secret.h"

#include "server/base/mem.h"

#include <assert.h>
#include <malloc.h>
#include <sodium.h>
#include <string.h>

/* Most secrets are not set: these need no pages. Never written to. */
static char nothing[1];

char *secret_copy(struct str s) {
    if (s.n == 0)
        return nothing;
    int is_ready = sodium_init(); /* of the pages' guards; fine to call again */
    char *copy = is_ready < 0 ? NULL : sodium_malloc(s.n + 1);
    assert(copy && "no memory for a secret");
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

void secret_free(char *secret) {
    if (secret != nothing)
        sodium_free(secret);
}

void secret_wipe_text(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    mem_free(text);
}

void *secret_malloc(size_t size_bytes) {
    return mem_alloc(size_bytes);
}

void secret_wipe_block(void *block) {
    if (block)
        explicit_bzero(block, malloc_usable_size(block));
    mem_free(block);
}
