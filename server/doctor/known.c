/* See known.h. The texts of Carillon are those of net/handshake.c, net/door.c, net/emulation.c and
 * api/api.c; tests/integration/doctor.test.mjs holds them together.
 *
 * Thread: any (constant).
 */
#include "server/doctor/known.h"

#include <stddef.h>

/* --- Carillon's own refusals ------------------------------------------------------------------ */

static const struct {
    int status;
    const char *text, *advice;
} refusals[] = {
    {400, "the only upgrade offered here is websocket",
     "the proxy swallows the header Upgrade: nginx needs `proxy_http_version 1.1; proxy_set_header "
     "Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";` in this location; Apache "
     "needs mod_proxy_wstunnel or `upgrade=websocket`; on a load balancer switch WebSocket on"},
    {400, "Connection: Upgrade is missing",
     "the proxy swallows the header Connection: nginx needs `proxy_set_header Connection "
     "\"upgrade\";` in this location"},
    {505, "a WebSocket handshake needs HTTP/1.1",
     "the proxy speaks HTTP/1.0 to Carillon: nginx needs `proxy_http_version 1.1;` and the headers "
     "Upgrade and Connection in this location"},
    {426, "Sec-WebSocket-Version must be 13",
     "the proxy swallows or changes Sec-WebSocket-Version: pass all Sec-WebSocket-* headers on"},
    {400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed",
     "the proxy swallows or changes Sec-WebSocket-Key: pass all Sec-WebSocket-* headers on"},
    {400, "a WebSocket handshake has no body",
     "the proxy adds Content-Length or Transfer-Encoding to the handshake: it must pass it on as "
     "it is"},
    {400, "more than one Origin",
     "the proxy adds an Origin of its own: it must pass it on as it is"},
    {400, "exactly one Host header is needed", "the proxy must send exactly one Host header"},
    {404, "no WebSocket at this path",
     "look at websocket.handler_prefix and websocket.disabled, and at what the proxy makes of the "
     "path (nginx: a path at the end of proxy_pass replaces the location's)"},
    {404, "no such path",
     "look at the handler_prefix of this endpoint, whether it is enabled, and what the proxy makes "
     "of the path (nginx: a path at the end of proxy_pass replaces the location's)"},
    {403, "this origin is not in client.allowed_origins",
     "add it to client.allowed_origins (a list; https://*.example.com covers subdomains), exactly "
     "as browsers send it: scheme, host, and the port if it is not the usual one"},
    {503, "too many connections, come back later",
     "the node is full: raise client.connection_limit, client.connection_rate_limit or the "
     "descriptor limit (systemd: LimitNOFILE=, docker: --ulimit nofile=), or add nodes"},
    {405, "not a method of this endpoint",
     "the proxy changes the method (a redirect makes a GET of a POST)"},
    {405, "a WebSocket handshake is a GET", "the proxy changes the method"},
};

const char known_added_origin[] =
    "no Origin was sent, so the proxy adds one (nginx: proxy_set_header Origin): it must pass on "
    "what browsers send, and nothing else";

const char *known_refusal(int status, struct str body) {
    while (body.n && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r'))
        body.n--;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (refusals[i].status == status && str_equal(body, str_of(refusals[i].text)))
            return refusals[i].advice ? refusals[i].advice : "";
    return NULL;
}

/* --- what others answer ----------------------------------------------------------------------- */

static const struct {
    int status;
    const char *advice;
} statuses[] = {
    {200, "a page came instead: the request did not get to Carillon; the proxy needs a location "
          "for this path that leads there (for WebSocket with the headers Upgrade and Connection)"},
    {301, "it redirects, which no WebSocket client follows: use the URL it names"},
    {302, "it redirects, which no WebSocket client follows: use the URL it names, or let the proxy "
          "ask nobody to log in at this path"},
    {307, "it redirects, which no WebSocket client follows: use the URL it names"},
    {308, "it redirects, which no WebSocket client follows: use the URL it names"},
    {400, "the proxy refuses the handshake, or swallows Upgrade: nginx needs `proxy_http_version "
          "1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`"},
    {401,
     "the proxy wants a log-in at this path (nginx: auth_basic, auth_request): Carillon checks "
     "tokens itself"},
    {403, "the proxy or a firewall in front of it refuses (nginx: deny; WAF rules)"},
    {404, "the proxy has no location for this path, or adds to it or cuts it (nginx: a path at the "
          "end of proxy_pass replaces the location's)"},
    {405, "the proxy changes the method, or another application answers: look at the location for "
          "this path"},
    {413, "the proxy takes no body of this size: nginx needs `client_max_body_size 1100k;`"},
    {426, "what answers does not see the header Upgrade: nginx needs `proxy_http_version 1.1; "
          "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`"},
    {429, "the proxy limits requests (nginx: limit_req, limit_conn): exempt this path"},
    {499, "the proxy gave up"},
    {500, "the proxy or another application failed: its log says why"},
    {502, "the proxy does not reach Carillon: is it running, and are address and port those of "
          "proxy_pass (http_server.address, http_server.port)?"},
    {503, "the proxy has no server that is up: is Carillon running, and what does its health check "
          "say (/health, /ready)?"},
    {504, "the proxy waits in vain for Carillon: is it the right port, and is the node alive?"},
};

const char *known_status(int status) {
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].status == status)
            return statuses[i].advice;
    return "look at the proxy's log for this request";
}

/* --- codes of the protocol -------------------------------------------------------------------- */

static const char wants_token[] =
    "give a token with --token-file; or, if strangers may connect, set "
    "client.allow_anonymous_connect_without_token";

static const struct {
    uint64_t code;
    const char *advice;
} codes[] = {
    {100, "the server cannot reach its engine: see /ready and the log for \"redis is away\""},
    {101, "the server does not know who this is: the token is missing or not valid"},
    {102, "a channel in the token has a namespace that does not exist: channel.namespaces"},
    {103, "no permission: look at the allow_... options of the channel's namespace"},
    {106, "a limit: client.channel_limit"},
    {107, "the server did not understand the command: is it Carillon?"},
    {109, "the token has expired, or its nbf has not come: make a new one, and compare the clocks; "
          "clients get one from getToken"},
    {110, "it has expired: make a new token"},
    {111, "too many commands: client.command_rate_limit, client.bytes_rate_limit"},
    {3001, "the node is shutting down: try again, another one should take over"},
    {3004, "the server failed: its log says why"},
    {3005, "the token has expired: make a new one"},
    {3500, "the token is not valid: signed with another key than client.token has "
           "(hmac_secret_key, ..._public_key, jwks_...), a claim is wrong, or it was taken back; "
           "`carillon token check - --config FILE`, or this command with --config, says which"},
    {3503, "the back end disconnected it"},
    {3504, "client.connection_limit is reached"},
    {3505, "the token names more channels than client.channel_limit allows"},
};

const char *known_code(uint64_t code, bool has_token) {
    if (!has_token && (code == 3500 || code == 3501 || code == 101))
        return wants_token;
    if (code == 3501)
        return "the server did not understand the command: is something in between that changes "
               "messages?";
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return codes[i].advice;
    return "see the codes in the documentation of the client protocol, and the server's log with "
           "log.level debug";
}
