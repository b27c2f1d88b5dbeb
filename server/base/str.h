/* A borrowed piece of text: pointer and length, not terminated, never owned.
 *
 * Everything that is read from a socket is passed on as a struct str into the buffer it was read
 * to.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_STR_H
#define CARILLON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

/* Borrows a zero-terminated string; NULL gives STR_NONE. */
struct str str_of(const char *z);

bool str_equal(struct str a, struct str b);

/* ASCII case is ignored. */
bool str_equal_nocase(struct str a, struct str b);

bool str_starts(struct str s, struct str prefix);

/* Index of the first c, or s.n when there is none. */
size_t str_find(struct str s, char c);

/* Bytes from..to-1; what is behind the end is cut off. */
struct str str_slice(struct str s, size_t from, size_t to);

/* Takes the next piece of a list off *rest: what stands before the first separator, which is
 * dropped. False, and *piece is untouched, when nothing is left; so a separator at the end adds no
 * empty piece. */
bool str_cut(struct str *rest, char separator, struct str *piece);

/* Takes the next line off *rest, without its LF or CRLF. False, and *line is untouched, when there
 * is no whole one. */
bool str_cut_line(struct str *rest, struct str *line);

/* How many of the first bytes are ASCII. */
size_t str_ascii_length(struct str s);

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);

/* Decimal digits only, no sign, no overflow; false leaves *out untouched. */
bool str_to_u64(struct str s, uint64_t *out);

/* True when s is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
 */
bool str_is_utf8(struct str s);

/* Bytes of the well-formed UTF-8 sequence at the start of s, 1 to 4; 0 when there is none. */
size_t str_utf8_length(struct str s);

#endif
