/* Memory that never fails: see mem.h.
 *
 * The line for "out of memory" is written by hand and not by log.c, because formatting may
 * allocate. A size of 0 gives one byte, so that NULL always means "nothing there".
 *
 * Thread: any. Owns: nothing.
 */
#include "server/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void out_of_memory(void) {
    static const char line[] = "carillon: out of memory\n";
    if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
        abort();
    abort();
}

void *mem_zalloc(size_t size_bytes) {
    void *p = calloc(1, size_bytes ? size_bytes : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *mem_array(size_t count, size_t size_bytes) {
    if (size_bytes && count > SIZE_MAX / size_bytes)
        out_of_memory();
    return mem_zalloc(count * size_bytes);
}

void *mem_alloc(size_t size_bytes) {
    void *p = malloc(size_bytes ? size_bytes : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *mem_realloc(void *p, size_t size_bytes) {
    void *q = realloc(p, size_bytes ? size_bytes : 1);
    if (!q)
        out_of_memory();
    return q;
}

char *mem_strndup(const char *s, size_t n) {
    if (n == SIZE_MAX)
        out_of_memory();
    char *copy = mem_alloc(n + 1);
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void mem_free(void *p) {
    free(p);
}
