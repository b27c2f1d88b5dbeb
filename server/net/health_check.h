/* `carillon health [URL]`: asks a running server whether it is well; for container health checks,
 * so that an image needs no curl.
 *
 * Thread: main.
 */
#ifndef CARILLON_NET_HEALTH_CHECK_H
#define CARILLON_NET_HEALTH_CHECK_H

/* url: http://HOST[:PORT][/PATH]; NULL is http://127.0.0.1:8000/health. The exit status: 0 when the
 * answer is 200, else 1 after a line on stderr. Waits at most 3 s for each step. */
int health_check(const char *url);

#endif
