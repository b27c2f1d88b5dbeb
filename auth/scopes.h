/* What OAuth scopes permit: a table of the configuration that maps words of the claim "scope"
 * (RFC 8693 section 4.2) to capabilities, for login services that know scopes and not our "caps".
 *
 * A line of the table is SCOPE=PERMISSIONS=CHANNELS, such as "chat.read=sub+hst=chat:*": who has
 * the scope may do that in channels that match the wildcard (glob.h).
 *
 * Owns: its lines. Thread: any, once it is made.
 */
#ifndef CARILLON_AUTH_SCOPES_H
#define CARILLON_AUTH_SCOPES_H

#include "server/base/str.h"

#define SCOPES_MAX 64

struct scopes;

/* True when it is a line of the table. */
bool scopes_check(struct str line);

/* Gives the table; all lines must be checked, and at most SCOPES_MAX. NULL when there are none. */
struct scopes *scopes_create(char *const *lines, size_t count);

void scopes_destroy(struct scopes *s);

/* A set of lines of the table, a bit each: those of the scopes in a list, which has spaces between
 * them. */
uint64_t scopes_find(const struct scopes *s, struct str list);

/* What these lines permit in a channel, as bits of enum permission; s may be NULL. */
unsigned scopes_in(const struct scopes *s, uint64_t lines, struct str channel);

#endif
