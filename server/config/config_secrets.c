/* What is about secrets while loading (config_loader.h): secrets in files of their own, named by
 * "<option>_file" or CARILLON_..._FILE, who else can read them, and the file of API keys.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/base/secret.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <string.h>
#include <unistd.h>

#define SECRET_BYTES_MAX (64 * 1024)
#define FILE_ENDING "_file"

/* --- who else can read it --------------------------------------------------------------------- */

/* As ssh judges the file of a private key. root may own it and let a group of ours read it: that is
 * how a service gets its secrets. */
const char *config_file_exposure(const struct stat *st) {
    if (!S_ISREG(st->st_mode))
        return NULL;
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return "this file belongs to another user, who can read and change it";
    if (st->st_mode & S_IRWXO)
        return "everybody on this machine can read or change this file; chmod 600 it";
    if (st->st_mode & S_IWGRP)
        return "its group can change this file; chmod 600 it";
    if (st->st_uid == geteuid() && (st->st_mode & S_IRWXG))
        return "its group can read this file; chmod 600 it";
    return NULL;
}

/* --- secrets in files ------------------------------------------------------------------------- */

void config_loader_secret_file(struct config_loader *l, const char *option, const char *path,
                               const char *named_by) {
    const char *why = NULL, *exposure = NULL;
    char *secret = config_read_file(path, SECRET_BYTES_MAX, &exposure, &why);
    if (secret && !*secret)
        why = "is empty";
    if (why)
        config_loader_problem(l, named_by, option, "the file of %s %s%s", named_by,
                              secret ? "" : "cannot be read: ", why);
    else
        config_loader_text(l, path, option, secret);
    config_strings_add(&l->secret_files, str_of(path));
    if (!why && exposure)
        config_loader_warn(l, path, option, "%s", exposure);
    secret_wipe_text(secret);
}

const struct option *config_secret_of_file(struct config_loader *l, const char *path) {
    void *base;
    size_t n = strlen(path), ending_n = strlen(FILE_ENDING);
    if (n <= ending_n || strcmp(path + n - ending_n, FILE_ENDING) != 0)
        return NULL;
    char *name = mem_strndup(path, n - ending_n);
    const struct option *o = config_loader_find(l, name, &base);
    mem_free(name);
    return o && (o->flags & OPTION_SECRET) ? o : NULL;
}

/* The same source gave both: which of them was meant? */
static bool is_given_twice(const struct config_loader *l, const char *source, const char *option) {
    struct buf file = {0};
    bool has_value = false, has_file = false;
    buf_printf(&file, "%s" FILE_ENDING, option);
    for (size_t i = 0; i < l->used.count; i++) {
        const struct config_note *n = &l->used.items[i];
        has_value |= !strcmp(n->source, source) && !strcmp(n->option, option);
        has_file |= !strcmp(n->source, source) && !strcmp(n->option, config_z(&file));
    }
    buf_fini(&file);
    return has_value && has_file;
}

void config_loader_take_file(struct config_loader *l, const char *source, const struct option *o,
                             const char *file) {
    struct buf name = {0};
    buf_printf(&name, "%s" FILE_ENDING, o->name);
    if (!file || !*file)
        config_loader_problem(l, source, config_z(&name),
                              "allowed is the path of a file that holds the secret");
    else
        config_loader_secret_file(l, o->name, file, config_z(&name));
    config_loader_used(l, source, config_z(&name), file ? file : "");
    buf_fini(&name);
}

/* --- API keys --------------------------------------------------------------------------------- */

struct api_keys *config_read_api_keys(const char *path, const char **exposure, struct buf *why) {
    const char *fault = NULL;
    char *text = config_read_file(path, API_KEYS_FILE_MAX_BYTES, exposure, &fault);
    struct api_keys *keys = NULL;
    if (text)
        keys = api_keys_parse(str_of(text), why);
    else
        buf_printf(why, "cannot be read: %s", fault);
    secret_wipe_text(text);
    return keys;
}

/* Only in a configuration that holds it: others keep it apart already. */
static void warn_plain_key(struct config_loader *l) {
    const char *source = config_loader_source(l, "http_api.key");
    bool is_apart = str_starts(str_of(source), STR("environment"));
    for (size_t i = 0; i < l->secret_files.count; i++)
        is_apart |= !strcmp(l->secret_files.items[i], source);
    if (*l->config->http_api_key && !is_apart)
        config_loader_warn(l, source, "http_api.key",
                           "stands there as plain text and may call everything; "
                           "http_api.keys_file keeps only hashes, with scopes (carillon key hash)");
}

static void check_api_keys(struct config_loader *l) {
    static const char option[] = "http_api.keys_file";
    const char *path = l->config->http_api_keys_file, *exposure = NULL;
    const char *source = config_loader_source(l, option);
    struct buf why = {0};
    if (!*path)
        return;
    struct api_keys *keys = config_read_api_keys(path, &exposure, &why);
    if (!keys)
        config_loader_problem(l, source, option, "%s %s", path, config_z(&why));
    else if (exposure)
        config_loader_warn(l, source, option, "%s", exposure);
    api_keys_destroy(keys);
    buf_fini(&why);
}

void config_loader_secrets(struct config_loader *l) {
    for (const struct option *o = config_options; o->name; o++)
        for (size_t i = 0; (o->flags & OPTION_SECRET) && i < l->used.count; i++) {
            const struct config_note *n = &l->used.items[i];
            if (strcmp(n->option, o->name) != 0 || !is_given_twice(l, n->source, o->name))
                continue;
            config_loader_problem(l, n->source, o->name, "given both here and as %s" FILE_ENDING,
                                  o->name);
            break;
        }
    warn_plain_key(l);
    check_api_keys(l);
}
