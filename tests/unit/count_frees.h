/* Counts what is freed: replaces mem_free() for the whole test, so that "the last reference frees
 * it" can be asserted and not only be left to the leak checker.
 *
 * Include after the .c file under test. Thread: any; the count is atomic. Owns: nothing.
 */
#ifndef CARILLON_TESTS_COUNT_FREES_H
#define CARILLON_TESTS_COUNT_FREES_H

#include "server/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint freed_count;

void mem_free(void *p) {
    if (p)
        atomic_fetch_add(&freed_count, 1);
    free(p);
}

#endif
