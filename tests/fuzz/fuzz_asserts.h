/* The assertions of the unit tests' helpers, for fuzzers, which are not linked with cmocka.
 *
 * Thread: any. Owns: nothing.
 */
#ifndef CARILLON_TESTS_FUZZ_ASSERTS_H
#define CARILLON_TESTS_FUZZ_ASSERTS_H

#include <assert.h>

#define assert_true(condition) assert(condition)
#define assert_false(condition) assert(!(condition))
#define assert_null(pointer) assert((pointer) == NULL)
#define assert_non_null(pointer) assert((pointer) != NULL)
#define assert_ptr_equal(a, b) assert((a) == (b))
#define assert_int_equal(a, b) assert((a) == (b))
#define print_error(...) ((void)0)

#endif
