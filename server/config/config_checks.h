/* What a text must look like to be an address, a path, an origin, a name: checks that rows of the
 * table point to. Each sets *allowed to what will do, in words for an error.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_CONFIG_CHECKS_H
#define CARILLON_CONFIG_CHECKS_H

#include "server/base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* An IP address, "localhost" (becomes 127.0.0.1, which is as long), or "unix:/path". */
bool config_check_address(char *value, const char **allowed);

/* A path of a handler: "/a/b", not just "/". */
bool config_check_prefix(char *value, const char **allowed);

/* scheme://host[:port] with * and ?, or a pattern that starts with *. Lower-cases. "null" never: a
 * sandboxed page of anybody has that origin. */
bool config_check_origin(char *value, const char **allowed);

/* Printable ASCII without space. */
bool config_check_boundary(char *value, const char **allowed);

/* Centrifugo's rule for names of namespaces. */
bool config_check_namespace(char *value, const char **allowed);

/* True for 127.0.0.0/8, ::1 and unix:. */
bool config_is_loopback(const char *address);

/* Only letters, digits and some of "-._", or an IP address. */
bool config_check_host(char *value, const char **allowed);

/* host:port or [IPv6]:port; the host is a slice. */
bool config_parse_host_port(struct str s, struct str *host, uint32_t *port);

/* SCOPE=PERMISSIONS=CHANNELS */
bool config_check_scope(char *value, const char **allowed);

/* Any text: config_tls.c judges it when all options are there. */
bool config_check_pem(char *value, const char **allowed);

/* config_redis.c */
bool config_check_redis_address(char *value, const char **allowed);
bool config_check_redis_prefix(char *value, const char **allowed);
bool config_check_sentinel_address(char *value, const char **allowed);

/* The parts of an address, as slices of it; user, password and path are still percent-encoded. */
struct redis_address {
    struct str user, password, host, unix_path; /* either host and port or unix_path */
    uint32_t port;
    bool is_tls, has_db;
    uint32_t db;
};

bool config_redis_parse(struct str address, struct redis_address *out);

/* Gives the percent-decoded text; NULL for a broken escape or one of a control byte. */
char *config_percent_decode(struct str s);

#endif
