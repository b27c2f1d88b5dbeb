/* What the doctor found: one line per check on stdout, or one JSON document at the end.
 *
 *     FAIL  origin   403: this origin is not in client.allowed_origins -> add ...
 *
 * What others said is made safe for a terminal. Tokens must never get here.
 *
 * Thread: main. Owns: the JSON.
 */
#ifndef CARILLON_DOCTOR_REPORT_H
#define CARILLON_DOCTOR_REPORT_H

#include "server/base/buf.h"

enum verdict { VERDICT_OK, VERDICT_SKIP, VERDICT_WARN, VERDICT_FAIL, VERDICT_COUNT };

struct report {
    bool is_json;
    uint32_t counts[VERDICT_COUNT];
    struct buf json; /* the checks so far, with commas */
};

/* One line: what was seen, as printf says, and what to do (NULL: nothing). */
void report_add(struct report *r, enum verdict v, const char *check, const char *advice,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Ends it: prints the JSON, or the sum. Gives the exit status: 1 when a check failed. */
int report_end(struct report *r);

void report_fini(struct report *r);

#endif
