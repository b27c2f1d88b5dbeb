/* Fuzzes the envelope of what nodes tell each other: whatever comes, reading must not look outside
 * of it, and what is believed is sound and, written again, is the same.
 *
 * Thread: one. Owns: nothing.
 */
#include "channels/cluster_envelope.c"

#include "server/base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct cluster_envelope *e, struct str bytes) {
    struct buf again = {0};
    bool is_written = cluster_envelope_add(&again, e);
    assert(is_written && str_equal(buf_str(&again), bytes));
    assert(e->from.n > 0 && e->from.n <= CLUSTER_UID_MAX && str_is_utf8(e->from));
    assert((e->kind == CLUSTER_TELLS) == (e->id == 0));
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = mem_alloc(size);
    struct cluster_envelope e;
    if (size)
        memcpy(copy, data, size);
    if (cluster_envelope_read((struct str){copy, size}, &e))
        check(&e, (struct str){copy, size});
    mem_free(copy);
    return 0;
}
