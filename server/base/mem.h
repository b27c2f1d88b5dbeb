/* Memory that never fails: out of memory aborts with one line on stderr.
 *
 * A server that cannot allocate cannot keep a promise either, so no caller checks. Sizes that come
 * from input are bounded by the caller before they get here.
 *
 * Thread: any.
 */
#ifndef CARILLON_MEM_H
#define CARILLON_MEM_H

#include <stddef.h>

/* Gives size_bytes of zeroed memory. */
void *mem_zalloc(size_t size_bytes);

/* Gives count * size_bytes of zeroed memory; aborts on overflow. */
void *mem_array(size_t count, size_t size_bytes);

/* Gives size_bytes of uninitialised memory. */
void *mem_alloc(size_t size_bytes);

/* Takes p (may be NULL), gives size_bytes; the added part is uninitialised. */
void *mem_realloc(void *p, size_t size_bytes);

/* Gives a zero-terminated copy of n bytes. */
char *mem_strndup(const char *s, size_t n);

/* Takes p; NULL is fine. */
void mem_free(void *p);

#endif
