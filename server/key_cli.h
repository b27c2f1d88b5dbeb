/* `carillon key hash`: an entry for http_api.keys_file, for a new random key or for one that is
 * read from stdin. Never from the command line, which everybody on the machine can read.
 *
 * Thread: main. Owns: nothing.
 */
#ifndef CARILLON_KEY_CLI_H
#define CARILLON_KEY_CLI_H

/* argv: what follows `carillon key`; argv[argc] is NULL. Gives the exit status. */
int key_command(int argc, char **argv);

#endif
