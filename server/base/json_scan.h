/* A small strict JSON scanner (RFC 8259): it validates a text and slices out what the caller asks
 * for, and never builds a tree.
 *
 * Payloads pass through here untouched: a struct json_value is a span of the caller's bytes. The
 * whole text is validated, UTF-8 and escapes included (an escaped lone surrogate is refused, as
 * jansson does; \u0000 is valid JSON, and json_decode() decodes it to a zero byte).
 * Values may nest JSON_DEPTH_MAX deep. Numbers keep their text.
 *
 * No name here is one of jansson's, so that a file may include both headers.
 *
 * Owns: nothing. Thread: any (no state).
 */
#ifndef CARILLON_JSON_SCAN_H
#define CARILLON_JSON_SCAN_H

#include "server/base/buf.h"
#include "server/base/str.h"

#define JSON_DEPTH_MAX 512

enum json_kind {
    JSON_KIND_MISSING, /* a zeroed struct json_value: no such member */
    JSON_KIND_NULL,
    JSON_KIND_FALSE,
    JSON_KIND_TRUE,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT,
};

/* The kind of a valid value that begins with this byte. */
enum json_kind json_kind_of(char first);

struct json_value {
    struct str text; /* the value without surrounding white space; strings with their quotes */
    enum json_kind kind;
    bool has_escape;  /* a string with a backslash: decode before comparing */
    bool has_newline; /* raw CR or LF between its tokens: json_add_line() drops them */
};

/* What is wrong, in words for an error text, and where (byte offset in the text given). */
struct json_fault {
    const char *what; /* static text: "unexpected character", "invalid UTF-8", ... */
    size_t at;
};

/* Scans one value at the start of text (white space before it is skipped) and returns how many
 * bytes it took, without white space after it; 0 and *fault when there is no valid value. What
 * follows the value is not looked at: after "01" or "[]x" one byte or two are taken. */
size_t json_scan(struct str text, struct json_value *out, struct json_fault *fault);

/* True when text is exactly one value with optional white space around it. */
bool json_scan_all(struct str text, struct json_value *out, struct json_fault *fault);

struct json_field {
    struct str name;         /* in: the member's name, as it is after decoding */
    struct json_value value; /* out: kind JSON_KIND_MISSING when there is no such member */
};

/* A field to look for. */
#define JSON_FIELD(literal)                                                                        \
    {                                                                                              \
        .name = {(literal), sizeof(literal) - 1 }                                                  \
    }

/* Finds members of an object. `object` must be a JSON_KIND_OBJECT value that a json_scan call gave,
 * so its syntax is not checked again. False, with a fault, when one of the fields occurs twice;
 * members that nobody asked for are skipped and may repeat. */
bool json_fields(struct json_value object, struct json_field *fields, size_t field_count,
                 struct json_fault *fault);

/* Walks a JSON_KIND_ARRAY or JSON_KIND_OBJECT value given by a json_scan call: `*at` starts at 0.
 * False at the end. For an array `key` is left alone (may be NULL). */
bool json_each(struct json_value container, size_t *at, struct json_value *key,
               struct json_value *value);

/* The decoded content of a JSON_KIND_STRING: borrows the text when there is nothing to decode, else
 * writes to scratch (which is cleared first) and borrows that. */
struct str json_decode(struct json_value string, struct buf *scratch);

/* A JSON_KIND_NUMBER that is an integer without sign, fraction and exponent, 0 to max. */
bool json_u64(struct json_value number, uint64_t max, uint64_t *out);

/* The same with an optional minus. */
bool json_i64(struct json_value number, int64_t *out);

/* Appends s as a JSON string with quotes; s must be UTF-8. Escapes quote, backslash and bytes below
 * 0x20, nothing else. */
void json_add_string(struct buf *b, struct str s);

/* Appends a value's text without its raw CR and LF between tokens: JSON clients split frames at
 * newlines. */
void json_add_line(struct buf *b, struct json_value value);

#endif
