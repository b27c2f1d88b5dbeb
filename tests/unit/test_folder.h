/* A folder of a test's own with one file in it, removed by remove_folder().
 *
 * Include after <cmocka.h>. Thread: one. Owns: what it made.
 */
#ifndef CARILLON_TESTS_TEST_FOLDER_H
#define CARILLON_TESTS_TEST_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    char path[64];
    char file[80];
};

static inline void make_folder(struct folder *f) {
    strcpy(f->path, "/tmp/carillon-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->file, sizeof(f->file), "%s/c.json", f->path);
}

static inline void write_file(const struct folder *f, const void *content, size_t n, mode_t mode) {
    FILE *out = fopen(f->file, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(content, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(f->file, mode), 0);
}

static inline void remove_folder(const struct folder *f) {
    unlink(f->file);
    assert_int_equal(rmdir(f->path), 0);
}

#endif
