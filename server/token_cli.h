/* `carillon token`: makes connection tokens for trying things out, and says why one is refused.
 *
 * The key comes from where the server gets it: --config FILE, or the environment
 * (CARILLON_CLIENT_TOKEN_HMAC_SECRET_KEY, or ..._FILE with the name of a file). Never from the
 * command line, which everybody on the machine can read.
 *
 * Thread: main. Owns: nothing.
 */
#ifndef CARILLON_TOKEN_CLI_H
#define CARILLON_TOKEN_CLI_H

/* argv: what follows `carillon token`; argv[argc] is NULL. Gives the exit status: 0 when a token
 * was printed or the server would take the one that was checked. */
int token_command(int argc, char **argv);

#endif
