/* The options of one TLS client (config_loader.h): what they name is read, so that a wrong path or
 * a key for another certificate stops the start and not the first connection.
 *
 * As in Centrifugo, a value is PEM, base64 of PEM, or the path of a file with PEM.
 *
 * Thread: one. Owns: nothing.
 */
#include "auth/pem.h"
#include "server/base/mem.h"
#include "server/base/secret.h"
#include "server/config/config_loader.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <string.h>

#define PEM_FILE_BYTES_MAX (1024 * 1024)

static void problem(struct config_loader *l, const char *section, const char *name,
                    const char *what) {
    struct buf option = {0};
    buf_printf(&option, "%s.%s", section, name);
    config_loader_problem(l, config_loader_source(l, config_z(&option)), option.p, "%s", what);
    buf_fini(&option);
}

/* Takes the text. */
static void replace(char **field, char *text, bool is_key) {
    if (!is_key) {
        mem_free(*field);
        *field = text;
        return;
    }
    secret_free(*field);
    *field = secret_copy(str_of(text));
    secret_wipe_text(text);
}

static bool load_file(struct config_loader *l, const char *option, bool is_secret, char **field) {
    const char *why = NULL;
    const char *exposure = NULL;
    char *text = config_read_file(*field, PEM_FILE_BYTES_MAX, &exposure, &why);
    if (!text) {
        config_loader_problem(
            l, config_loader_source(l, option), option,
            "is neither PEM nor base64 of PEM, and as a file it cannot be read: %s", why);
        return false;
    }
    if (is_secret && exposure)
        config_loader_warn(l, config_loader_source(l, option), option, "%s", exposure);
    replace(field, text, is_secret);
    return true;
}

bool config_loader_pem(struct config_loader *l, const char *option, bool is_secret, char **field) {
    char *pem;
    if (!**field)
        return true;
    if ((pem = pem_from_text(*field))) {
        replace(field, pem, is_secret);
        return true;
    }
    return load_file(l, option, is_secret, field);
}

static bool load(struct config_loader *l, const char *section, const char *name, char **field) {
    struct buf option = {0};
    buf_printf(&option, "%s.%s", section, name);
    bool is_loaded = config_loader_pem(l, config_z(&option), !strcmp(name, "key_pem"), field);
    buf_fini(&option);
    return is_loaded;
}

static void check_contents(struct config_loader *l, const char *section,
                           const struct config_tls *tls) {
    const char *why;
    if (*tls->server_ca_pem && (why = pem_check_certificates(tls->server_ca_pem)))
        problem(l, section, "server_ca_pem", why);
    if (*tls->cert_pem && (why = pem_check_certificates(tls->cert_pem)))
        problem(l, section, "cert_pem", why);
    else if (*tls->cert_pem && *tls->key_pem && (why = pem_check_key(tls->key_pem, tls->cert_pem)))
        problem(l, section, "key_pem", why);
}

static void check_unused(struct config_loader *l, const char *section,
                         const struct config_tls *tls) {
    const struct {
        const char *name;
        bool is_set;
    } all[] = {
        {"cert_pem", *tls->cert_pem},
        {"key_pem", *tls->key_pem},
        {"server_ca_pem", *tls->server_ca_pem},
        {"server_name", *tls->server_name},
        {"insecure_skip_verify", tls->insecure_skip_verify},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].is_set)
            problem(l, section, all[i].name, "is set, but TLS is off: \"enabled\" in this section");
}

void config_loader_tls(struct config_loader *l, const char *section, struct config_tls *tls) {
    if (!tls->enabled) {
        check_unused(l, section, tls);
        return;
    }
    if (*tls->cert_pem && !*tls->key_pem)
        problem(l, section, "key_pem", "is missing: cert_pem is set");
    if (*tls->key_pem && !*tls->cert_pem)
        problem(l, section, "cert_pem", "is missing: key_pem is set");
    bool is_loaded = load(l, section, "server_ca_pem", &tls->server_ca_pem);
    is_loaded &= load(l, section, "cert_pem", &tls->cert_pem);
    is_loaded &= load(l, section, "key_pem", &tls->key_pem);
    if (is_loaded)
        check_contents(l, section, tls);
    if (tls->insecure_skip_verify) {
        struct buf option = {0};
        buf_printf(&option, "%s.insecure_skip_verify", section);
        config_loader_warn(l, config_loader_source(l, config_z(&option)), option.p,
                           "any certificate is taken: whoever is in between can read and change "
                           "all");
        buf_fini(&option);
    }
}
