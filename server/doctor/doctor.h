/* `carillon doctor URL`: why do clients not connect? Goes the way of a client, step by step, and
 * says of each what it saw and, when something is wrong, what to do: which option of Carillon,
 * which directive of the proxy.
 *
 * A client from outside: it needs nothing but the URL, and a token if the server wants one. It
 * publishes and subscribes to nothing. Every wait ends in time and every answer is bounded,
 * whatever the other side does. The token is in no output, and never sent to a server whose
 * certificate is not trusted (but with --insecure).
 *
 * Thread: main. Owns: nothing.
 */
#ifndef CARILLON_DOCTOR_H
#define CARILLON_DOCTOR_H

/* argv: what follows `carillon doctor`; argv[argc] is NULL; a token in it is wiped. Gives the exit
 * status: 0 when all is well, 1 when a check failed, 2 when the command makes no sense. */
int doctor_command(int argc, char **argv);

#endif
