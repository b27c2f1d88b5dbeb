/* Answers of HTTP/1.1 (RFC 9112) as they come in: the head, then the body piece by piece, because
 * when a piece comes is what the doctor wants to know. (auth/http_answer.h reads whole documents
 * with status 200, and nothing else.)
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_DOCTOR_ANSWER_H
#define CARILLON_DOCTOR_ANSWER_H

#include "server/base/buf.h"

enum { ANSWER_HEAD_BYTES_MAX = 16384, ANSWER_FIELDS_MAX = 100 };

enum answer_state { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD };

struct answer_field {
    struct str name, value;
};

/* Borrows the text it was read from. */
struct answer_head {
    int status;
    int minor; /* of HTTP/1.x */
    struct answer_field fields[ANSWER_FIELDS_MAX];
    uint32_t field_count;
    size_t size_bytes; /* with the empty line */
};

/* DONE fills *out, BAD sets *fault, a static text. */
enum answer_state answer_head_read(struct str in, struct answer_head *out, const char **fault);

/* How many fields have this name (lower case); the first one's value, if there is one. */
uint32_t answer_find(const struct answer_head *h, const char *name, struct str *value);

/* How the body is cut, and how far it has come. */
struct answer_body {
    enum { BODY_LENGTH, BODY_CHUNKS, BODY_TO_END } kind;
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER } at;
    uint64_t left; /* of the length, or of the chunk */
    bool is_done;
};

/* False when the head does not say it, or in two ways. */
bool answer_body_begin(struct answer_body *b, const struct answer_head *h);

/* Takes what it can use off *in and appends it to *out. False when it is broken. */
bool answer_body_feed(struct answer_body *b, struct buf *in, struct buf *out);

#endif
