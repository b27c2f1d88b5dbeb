/* Texts that nobody but us shall see: keys and passwords.
 *
 * Each lies on pages of its own (libsodium's), which the kernel leaves out of core dumps and, when
 * RLIMIT_MEMLOCK allows, out of the swap; between pages that cannot be touched. It is wiped when it
 * is freed. That costs some pages each: for the few secrets of a configuration, not for those of
 * requests.
 *
 * Thread: any.
 */
#ifndef CARILLON_SECRET_H
#define CARILLON_SECRET_H

#include "server/base/str.h"

/* Gives a zero-terminated copy; free with secret_free() and nothing else. */
char *secret_copy(struct str s);

/* Takes it; NULL is fine. */
void secret_free(char *secret);

/* Frees an ordinary text after wiping it; NULL is fine. */
void secret_wipe_text(char *text);

/* malloc() and free() for libraries that are given secrets: free wipes the whole block. */
void *secret_malloc(size_t size_bytes);
void secret_wipe_block(void *block);

#endif
