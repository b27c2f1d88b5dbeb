/* Checks of texts: see config_checks.h. All are strict: what is not understood fully is refused,
 * because these texts decide who may connect and from where.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "server/config/config_checks.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Every byte is a letter, a digit or one of others. */
static bool has_only(struct str s, const char *others) {
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr(others, s.p[i])))
            return false;
    return true;
}

static bool is_ip(const char *text) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

bool config_check_address(char *value, const char **allowed) {
    *allowed = "empty (all addresses), an IP address without brackets, localhost or unix:/path";
    if (!strcmp(value, "localhost"))
        memcpy(value, "127.0.0.1", sizeof("127.0.0.1"));
    return is_ip(value) || (!strncmp(value, "unix:/", 6) && value[6] != '\0');
}

bool config_is_loopback(const char *address) {
    unsigned char bytes[sizeof(struct in6_addr)];
    if (!strncmp(address, "unix:", 5))
        return true;
    if (inet_pton(AF_INET, address, bytes) == 1)
        return bytes[0] == 127;
    return inet_pton(AF_INET6, address, bytes) == 1 &&
           !memcmp(bytes, &in6addr_loopback, sizeof(bytes));
}

bool config_check_prefix(char *value, const char **allowed) {
    size_t n = strlen(value);
    *allowed = "a path that begins with \"/\", such as /some/path, of letters, digits and -._~, "
               "without \"/\" at its end";
    return n >= 2 && value[0] == '/' && value[n - 1] != '/' && !strstr(value, "//") &&
           !strstr(value, "/.") && has_only(str_of(value), "-._~/");
}

static void make_lower(char *text) {
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text + ('a' - 'A'));
}

/* host, host:port or [IPv6]:port, with * and ? */
static bool is_authority_pattern(struct str s) {
    if (s.n && s.p[0] == '[') {
        size_t end = str_find(s, ']');
        if (end == s.n || !has_only(str_slice(s, 1, end), ":.*?"))
            return false;
        s = str_slice(s, end + 1, s.n);
        return s.n == 0 || (s.p[0] == ':' && has_only(s, ":*?"));
    }
    return s.n > 0 && has_only(s, "-._:*?");
}

bool config_check_origin(char *value, const char **allowed) {
    *allowed = "an origin such as https://example.com or https://*.example.com:8443 (scheme, host "
               "and port as browsers send them, no path; * and ? are wild cards), or *; null is "
               "never allowed";
    make_lower(value);
    const char *host = strstr(value, "://");
    if (!host)
        return value[0] == '*' && is_authority_pattern(str_of(value));
    struct str scheme = {value, (size_t)(host - value)};
    return scheme.n > 0 && has_only(scheme, "+-.*?") && is_authority_pattern(str_of(host + 3));
}

bool config_check_boundary(char *value, const char **allowed) {
    *allowed = "printable ASCII characters without spaces";
    for (; *value; value++)
        if (*value <= 0x20 || *value >= 0x7f)
            return false;
    return true;
}

bool config_check_namespace(char *value, const char **allowed) {
    *allowed = "a name of two or more letters, digits, \"-\", \"_\" and \".\"";
    return strlen(value) >= 2 && has_only(str_of(value), "-_.");
}

bool config_check_pem(char *value, const char **allowed) {
    (void)value;
    *allowed = "PEM, base64 of PEM, or the path of a PEM file";
    return true;
}

bool config_check_host(char *value, const char **allowed) {
    *allowed = "a host name, or an IP address without brackets";
    return is_ip(value) || (*value && has_only(str_of(value), "-._"));
}

bool config_parse_host_port(struct str s, struct str *host, uint32_t *port) {
    size_t colon;
    uint64_t n;
    if (s.n && s.p[0] == '[') {
        size_t end = str_find(s, ']');
        if (end == s.n || !has_only(str_slice(s, 1, end), ":."))
            return false;
        *host = str_slice(s, 1, end);
        colon = end + 1;
    } else {
        colon = str_find(s, ':');
        *host = str_slice(s, 0, colon);
        if (!has_only(*host, "-._"))
            return false;
    }
    if (host->n == 0 || colon >= s.n || s.p[colon] != ':' || s.n - colon > 6 ||
        !str_to_u64(str_slice(s, colon + 1, s.n), &n) || n == 0 || n > 65535)
        return false;
    *port = (uint32_t)n;
    return true;
}
