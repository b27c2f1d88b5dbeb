/* What the program prints about its configuration, for callers that choose where to.
 *
 * Thread: main. Owns: nothing.
 */
#ifndef CARILLON_CONFIG_CLI_H
#define CARILLON_CONFIG_CLI_H

#include <stdio.h>

void config_print_help(FILE *out);

/* docs/configuration.md. config_doc.c */
void config_print_doc(FILE *out);

/* As config_check() and config_init() in config.h. hints: for people, next to the result. */
int config_print_check(const char *path, FILE *out);
int config_print_init(FILE *out, FILE *hints);

#endif
