/* Delta compression in the format of Fossil: a patch that makes one payload out of another.
 *
 *     <size>\n            bytes of the target
 *     <n>@<offset>,       copy n bytes of the base from there
 *     <n>:<n bytes>       these n bytes
 *     <checksum>;         the end: sum of the target's big-endian 32-bit words, modulo 2^32
 *
 * Numbers are in base 64 with the digits 0-9 A-Z _ a-z ~, the most significant first; the last word
 * of the checksum is padded with zeros.
 *
 * A patch travels inside a JSON string, so it must not cut a character: when the target is UTF-8,
 * so is each run of bytes in the patch, and with them the patch.
 *
 * Time and memory are linear in both sizes, whatever the payloads are.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_DELTA_H
#define CARILLON_CHANNELS_DELTA_H

#include "server/base/buf.h"

/* Payloads above this are always sent whole. */
enum { DELTA_PAYLOAD_MAX_BYTES = 8 << 20 };

/* Appends a patch that makes target of base. False, and nothing is appended, when it would not be
 * smaller than the target, or when one of them is too large. Borrows all; base and target must not
 * be in out. */
bool delta_make(struct buf *out, struct str base, struct str target);

/* Appends what the patch makes of base. False, and nothing is appended, when the patch is
 * malformed, was made for another base, or its target is too large. Borrows all; base and patch
 * must not be in out. */
bool delta_apply(struct buf *out, struct str base, struct str patch);

#endif
