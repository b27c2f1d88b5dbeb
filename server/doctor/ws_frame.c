/* See ws_frame.h.
 *
 * Thread: any (no state).
 */
#include "server/doctor/ws_frame.h"

#include <openssl/evp.h>
#include <sodium.h>

void ws_frame_add(struct buf *out, uint8_t opcode, struct str payload) {
    uint8_t mask[4];
    buf_add_char(out, (char)(0x80 | opcode));
    if (payload.n < 126) {
        buf_add_char(out, (char)(0x80 | payload.n));
    } else if (payload.n <= 0xffff) {
        buf_add_char(out, (char)(0x80 | 126));
        buf_add_char(out, (char)(payload.n >> 8));
        buf_add_char(out, (char)payload.n);
    } else {
        buf_add_char(out, (char)(0x80 | 127));
        for (int shift = 56; shift >= 0; shift -= 8)
            buf_add_char(out, (char)((uint64_t)payload.n >> shift));
    }
    randombytes_buf(mask, sizeof(mask));
    buf_add(out, (struct str){(const char *)mask, sizeof(mask)});
    for (size_t i = 0; i < payload.n; i++)
        buf_add_char(out, (char)((uint8_t)payload.p[i] ^ mask[i % 4]));
}

/* Reads the length behind the first two bytes. False when they are not there yet. */
static bool read_length(struct str in, size_t *head_bytes, uint64_t *length) {
    uint8_t small = (uint8_t)in.p[1] & 0x7f;
    size_t more = small == 126 ? 2 : small == 127 ? 8 : 0;
    *length = small;
    *head_bytes = 2 + more;
    if (in.n < *head_bytes)
        return false;
    if (more)
        *length = 0;
    for (size_t i = 0; i < more; i++)
        *length = *length << 8 | (uint8_t)in.p[2 + i];
    return true;
}

enum answer_state ws_frame_read(struct str in, size_t max_bytes, struct ws_frame *out) {
    size_t head_bytes;
    uint64_t length;
    if (in.n < 2)
        return ANSWER_MORE;
    uint8_t first = (uint8_t)in.p[0], opcode = first & 0x0f;
    bool is_control = opcode & 0x8;
    if ((first & 0x70) || ((uint8_t)in.p[1] & 0x80) || (opcode > WS_BINARY && opcode < WS_CLOSE) ||
        opcode > WS_PONG || (is_control && !(first & 0x80)))
        return ANSWER_BAD;
    if (!read_length(in, &head_bytes, &length))
        return ANSWER_MORE;
    if (length > (is_control ? 125 : max_bytes))
        return ANSWER_BAD;
    if (in.n - head_bytes < length)
        return ANSWER_MORE;
    *out = (struct ws_frame){.opcode = opcode,
                             .is_last = first & 0x80,
                             .payload = str_slice(in, head_bytes, head_bytes + (size_t)length),
                             .size_bytes = head_bytes + (size_t)length};
    return ANSWER_DONE;
}

void ws_accept_of(struct str key, char out[29]) {
    struct buf text = {0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    buf_add(&text, key);
    buf_add_z(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    out[0] = '\0';
    if (EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL) == 1)
        sodium_bin2base64(out, 29, digest, n, sodium_base64_VARIANT_ORIGINAL);
    buf_fini(&text);
}
