/* The few parts of RFC 6455 that the load generator and the bare reference server share: frame
 * headers, masking, and the answer to Sec-WebSocket-Key.
 *
 * Header only, so that each of the two programs is its own sources and nothing else: no library but
 * libc, and nothing of the server that is being measured.
 *
 * Owns: nothing, no state. Thread: any.
 * Does not: put fragments together or judge a peer. It is no general WebSocket library.
 */
#ifndef CARILLON_BENCH_WS_WIRE_H
#define CARILLON_BENCH_WS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

#define WS_HEADER_MAX_BYTES 14
#define WS_ACCEPT_BYTES 28

struct ws_header {
    uint64_t length;
    size_t header_bytes;
    uint8_t opcode;
    bool is_final;
    bool is_masked;
    uint8_t key[4];
};

enum ws_parse { WS_PARSE_MORE, WS_PARSE_OK, WS_PARSE_BAD };

/* Reads one frame header from the n bytes at p. MORE: not all of it is there yet. */
static inline enum ws_parse ws_header_parse(const uint8_t *p, size_t n, struct ws_header *out) {
    if (n < 2)
        return WS_PARSE_MORE;
    if (p[0] & 0x70) /* no extension was negotiated */
        return WS_PARSE_BAD;
    uint64_t length = p[1] & 0x7f;
    size_t length_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    bool is_masked = (p[1] & 0x80) != 0;
    size_t header_bytes = 2 + length_bytes + (is_masked ? 4 : 0);
    if (n < header_bytes)
        return WS_PARSE_MORE;
    if (length_bytes > 0) {
        length = 0;
        for (size_t i = 0; i < length_bytes; i++)
            length = length << 8 | p[2 + i];
    }
    *out = (struct ws_header){.length = length,
                              .header_bytes = header_bytes,
                              .opcode = p[0] & 0x0f,
                              .is_final = (p[0] & 0x80) != 0,
                              .is_masked = is_masked};
    if (is_masked)
        memcpy(out->key, p + 2 + length_bytes, 4);
    return WS_PARSE_OK;
}

/* Writes the header of a whole (unfragmented) frame, masked with key unless that is NULL. Returns
 * its length, at most WS_HEADER_MAX_BYTES. */
static inline size_t ws_header_write(uint8_t *out, enum ws_opcode opcode, size_t length,
                                     const uint8_t *key) {
    size_t n = 2;
    out[0] = (uint8_t)(0x80 | opcode);
    if (length < 126) {
        out[1] = (uint8_t)length;
    } else if (length < 65536) {
        out[1] = 126;
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
        n = 4;
    } else {
        out[1] = 127;
        for (int i = 0; i < 8; i++)
            out[2 + i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
        n = 10;
    }
    if (key) {
        out[1] |= 0x80;
        memcpy(out + n, key, 4);
        n += 4;
    }
    return n;
}

/* Masks or unmasks in place, eight bytes at a time. */
static inline void ws_mask(uint8_t *p, size_t n, const uint8_t key[4]) {
    uint8_t key_twice[8];
    memcpy(key_twice, key, 4);
    memcpy(key_twice + 4, key, 4);
    uint64_t wide_key;
    memcpy(&wide_key, key_twice, 8);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        word ^= wide_key;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] ^= key[i & 3];
}

static inline uint32_t ws_rotate(uint32_t x, unsigned bits) {
    return x << bits | x >> (32 - bits);
}

static inline uint32_t ws_sha1_round(unsigned i, uint32_t b, uint32_t c, uint32_t d) {
    if (i < 20)
        return ((b & c) | (~b & d)) + 0x5a827999u;
    if (i < 40)
        return (b ^ c ^ d) + 0x6ed9eba1u;
    if (i < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    return (b ^ c ^ d) + 0xca62c1d6u;
}

static inline void ws_sha1_block(uint32_t state[5], const uint8_t block[64]) {
    uint32_t w[80];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = ws_rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned i = 0; i < 80; i++) {
        uint32_t t = ws_rotate(a, 5) + ws_sha1_round(i, b, c, d) + e + w[i];
        e = d;
        d = c;
        c = ws_rotate(b, 30);
        b = a;
        a = t;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* SHA-1 of exactly 60 bytes, the only length the handshake has: it takes two blocks, always. */
static inline void ws_sha1_60(const uint8_t text[60], uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t blocks[128] = {0};
    memcpy(blocks, text, 60);
    blocks[60] = 0x80;
    blocks[126] = (60 * 8) >> 8;
    blocks[127] = (60 * 8) & 0xff;
    ws_sha1_block(state, blocks);
    ws_sha1_block(state, blocks + 64);
    for (unsigned i = 0; i < 20; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* The Sec-WebSocket-Accept value for a 24-character key; out is terminated. */
static inline void ws_accept(const char key[24], char out[WS_ACCEPT_BYTES + 1]) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t text[60], digest[21] = {0};
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    ws_sha1_60(text, digest);
    for (unsigned i = 0; i < 7; i++) {
        uint32_t bits =
            (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (unsigned j = 0; j < 4; j++)
            out[4 * i + j] = letters[bits >> (18 - 6 * j) & 63];
    }
    out[27] = '='; /* 20 bytes are 26 2/3 letters */
    out[28] = '\0';
}

#endif
