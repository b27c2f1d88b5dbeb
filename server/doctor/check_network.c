/* The way there: name, addresses, TLS.
 *
 * Thread: main.
 */
#include "server/doctor/checks.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SOON_DAYS = 14 };

/* --- names and addresses ---------------------------------------------------------------------- */

static void add_addresses(const struct target *t, struct buf *out) {
    for (uint32_t i = 0; i < t->address_count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", t->addresses[i].text);
}

static bool check_name(struct doctor *d) {
    struct target *t = &d->target;
    struct buf list = {0};
    const char *fault = target_resolve(t);
    add_addresses(t, &list);
    if (fault)
        report_add(&d->report, VERDICT_FAIL, "name",
                   "is the name spelled right, and does this machine's resolver know it "
                   "(`getent hosts NAME`)?",
                   "%.*s: %s", STR_ARG(t->url.host), fault);
    else
        report_add(&d->report, VERDICT_OK, "name", NULL, "%.*s is %.*s", STR_ARG(t->url.host),
                   STR_ARG(buf_str(&list)));
    buf_fini(&list);
    return !fault;
}

/* All of them: clients try them in their own order. */
static bool check_tcp(struct doctor *d) {
    struct target *t = &d->target;
    struct buf good = {0}, bad = {0};
    bool is_found = false;
    for (uint32_t i = 0; i < t->address_count; i++) {
        int fd;
        const char *fault = target_connect(t, i, &fd);
        if (fault) {
            buf_printf(&bad, "%s%s: %s", bad.n ? ", " : "", t->addresses[i].text, fault);
            continue;
        }
        close(fd);
        buf_printf(&good, "%s%s", good.n ? ", " : "", t->addresses[i].text);
        t->chosen = is_found ? t->chosen : i;
        is_found = true;
    }
    if (!is_found)
        report_add(
            &d->report, VERDICT_FAIL, "tcp",
            "refused: nothing listens there, see http_server.address and http_server.port or "
            "the proxy's listen; no answer, no route: a firewall or security group",
            "port %.*s: %.*s", STR_ARG(t->url.port), STR_ARG(buf_str(&bad)));
    else if (bad.n)
        report_add(&d->report, VERDICT_WARN, "tcp",
                   "clients that try this address first wait or fail: let the server listen there, "
                   "too, or take it out of the DNS",
                   "port %.*s: %.*s; %.*s answers", STR_ARG(t->url.port), STR_ARG(buf_str(&bad)),
                   STR_ARG(buf_str(&good)));
    else
        report_add(&d->report, VERDICT_OK, "tcp", NULL, "port %.*s of %.*s answers",
                   STR_ARG(t->url.port), STR_ARG(buf_str(&good)));
    buf_fini(&good);
    buf_fini(&bad);
    return is_found;
}

/* --- TLS -------------------------------------------------------------------------------------- */

static bool is_local(const struct target *t) {
    const char *text = t->addresses[t->chosen].text;
    return !strncmp(text, "127.", 4) || !strcmp(text, "::1");
}

/* The names it is for, as "a.example, b.example". */
static void add_names(X509 *certificate, struct buf *out) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && out->n < 300; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            buf_printf(out, "%s%.*s", out->n ? ", " : "", ASN1_STRING_length(name->d.dNSName),
                       (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        else if (name->type == GEN_IPADD)
            buf_printf(out, "%san address", out->n ? ", " : "");
    }
    GENERAL_NAMES_free(names);
    if (!out->n)
        buf_add_z(out, "no name");
}

/* "2026-12-01"; how many days that is from now. */
static int add_date(const ASN1_TIME *at, struct buf *out) {
    struct tm tm = {0};
    char text[32] = "?";
    int days = 0, seconds = 0;
    if (ASN1_TIME_to_tm(at, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d", &tm);
    buf_add_z(out, text);
    ASN1_TIME_diff(&days, &seconds, NULL, at);
    return days;
}

static const char *advice_for(int error) {
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "renew the certificate, and reload what serves it (nginx -s reload)";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "it is not valid yet: compare the clocks of this machine and of the one that made "
               "it";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "use a URL with a name the certificate is for, or get one for this name (nginx: is "
               "it "
               "the server block you mean?)";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "nobody trusts who signed it: get one from a public authority, or give --ca FILE "
               "and "
               "install that authority on all clients";
    default:
        return "the chain does not lead to an authority that is trusted: serve the whole chain "
               "(nginx: ssl_certificate with fullchain.pem), or give --ca FILE for an authority of "
               "your own";
    }
}

static void report_certificate(struct doctor *d, const struct link *l) {
    struct buf names = {0}, date = {0};
    X509 *certificate = SSL_get1_peer_certificate(l->ssl);
    const char *how = SSL_get_version(l->ssl);
    int days = 0;
    if (certificate) {
        add_names(certificate, &names);
        days = add_date(X509_get0_notAfter(certificate), &date);
    }
    if (l->verify_error)
        report_add(&d->report, d->target.is_insecure ? VERDICT_WARN : VERDICT_FAIL, "tls",
                   advice_for(l->verify_error), "%s; it is for %.*s, until %.*s%s",
                   X509_verify_cert_error_string(l->verify_error), STR_ARG(buf_str(&names)),
                   STR_ARG(buf_str(&date)), d->target.is_insecure ? "; going on (--insecure)" : "");
    else
        report_add(&d->report, days < SOON_DAYS ? VERDICT_WARN : VERDICT_OK, "tls",
                   days < SOON_DAYS ? "renew the certificate" : NULL,
                   "%s, certificate for %.*s, until %.*s (%d days)", how, STR_ARG(buf_str(&names)),
                   STR_ARG(buf_str(&date)), days);
    X509_free(certificate);
    buf_fini(&names);
    buf_fini(&date);
}

static bool check_tls(struct doctor *d) {
    struct link l;
    if (!d->target.url.is_tls) {
        if (!is_local(&d->target))
            report_add(&d->report, VERDICT_WARN, "tls",
                       "use https and wss: browsers refuse ws:// from https pages, tokens go in "
                       "clear text, and proxies on the way break WebSocket",
                       "there is none");
        else
            report_add(&d->report, VERDICT_SKIP, "tls", NULL, "none, on this machine");
        return true;
    }
    bool is_good = link_open(&l, &d->target);
    if (is_good || l.verify_error)
        report_certificate(d, &l);
    else
        report_add(
            &d->report, VERDICT_FAIL, "tls",
            "is it the TLS port (nginx: listen 443 ssl), and the right scheme in the URL? And "
            "HTTP/1.1 must be on offer beside HTTP/2 (HAProxy: alpn h2,http/1.1)",
            "%s", l.fault);
    link_close(&l);
    return is_good;
}

bool check_network(struct doctor *d) {
    return check_name(d) && check_tcp(d) && check_tls(d);
}
