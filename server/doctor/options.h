/* What `carillon doctor` is asked: its command line, and what follows from the URL.
 *
 * Thread: main. Owns: its texts.
 */
#ifndef CARILLON_DOCTOR_OPTIONS_H
#define CARILLON_DOCTOR_OPTIONS_H

#include "server/base/buf.h"

struct doctor_options {
    const char *url, *origin, *ca_file, *config_file;
    struct buf token;    /* empty: none */
    uint32_t idle_s;     /* UINT32_MAX: as long as the pings need */
    uint32_t timeout_ms; /* of each step */
    bool is_insecure, is_json, wants_help;
};

/* Reads the command line, CARILLON_TOKEN and stdin. False after a line on stderr. */
bool doctor_options_read(struct doctor_options *o, int argc, char **argv);

void doctor_options_fini(struct doctor_options *o);

extern const char doctor_usage[];

#endif
