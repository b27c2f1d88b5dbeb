/* See base64url.h. Four characters are three bytes; a rest of two or three characters is one or two
 * bytes, with 4 or 2 bits left over.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/base64url.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of each of them plus one; 0: does not belong. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64};

void base64url_encode(struct str bytes, struct buf *out) {
    char *to = buf_reserve(out, base64url_length(bytes.n));
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        bits = bits << 8 | (unsigned char)bytes.p[i];
        for (bit_count += 8; bit_count >= 6; bit_count -= 6)
            *to++ = letters[bits >> (bit_count - 6) & 63];
    }
    if (bit_count)
        *to = letters[bits << (6 - bit_count) & 63];
    out->n += base64url_length(bytes.n);
}

bool base64url_decode(struct str text, struct buf *out) {
    char *to = buf_reserve(out, text.n / 4 * 3 + 2);
    const char *start = to;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned value = values[(unsigned char)text.p[i]];
        if (!value)
            return false;
        bits = bits << 6 | (value - 1);
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            *to++ = (char)(bits >> bit_count);
        }
    }
    if (text.n % 4 == 1 || (bits & ((1u << bit_count) - 1)))
        return false;
    out->n += (size_t)(to - start);
    return true;
}
