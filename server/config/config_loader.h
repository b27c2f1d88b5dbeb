/* The loader: takes settings from file, environment and command line into one struct config, and
 * collects what there is to say about them.
 *
 * A setting is a source (for messages), a path ("client.ping_interval",
 * "channel.namespaces[0].presence") and a value. It is ours and gets checked, or Centrifugo's and
 * is passed over, warned about or refused, or nobody's and is refused. Nothing is printed here, so
 * that tests, `config check` and the server can each say it their way.
 *
 * Owns: the config until config_loader_take(). Thread: one.
 */
#ifndef CARILLON_CONFIG_LOADER_H
#define CARILLON_CONFIG_LOADER_H

#include "server/config/config.h"
#include "server/config/config_options.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

/* A search for near names walks all there are; a file of nothing but mistakes shall not take
 * seconds. */
#define CONFIG_SUGGESTIONS_MAX 50

/* One thing to say; option is "" when it is about the source as a whole. */
struct config_note {
    char *source, *option, *text;
};

struct config_notes {
    struct config_note *items;
    size_t count;
};

struct config_loader {
    struct config *config;
    struct config_strings ignored; /* from --ignore */
    struct config_notes used, warnings, problems;
    size_t suggestion_count;
    char *namespaces_source;            /* who gave channel.namespaces */
    struct config_strings secret_files; /* that secrets came from */
    bool has_secret;                    /* a secret was set since somebody cleared this */
    bool is_strict;                     /* weak keys are refused where a warning would do */
};

/* Everything has its default. */
void config_loader_init(struct config_loader *l);
void config_loader_fini(struct config_loader *l);

/* Gives the config; the loader has none any more. */
struct config *config_loader_take(struct config_loader *l);

/* Sets options. Names of sections in a JSON object are walked. */
void config_loader_json(struct config_loader *l, const char *source, const char *path,
                        const json_t *value);
void config_loader_text(struct config_loader *l, const char *source, const char *path,
                        const char *text);

/* What the whole file holds. config_file.c */
void config_loader_file(struct config_loader *l, const char *path);
void config_loader_file_text(struct config_loader *l, const char *path, struct str text);

/* "CARILLON_..." of a NULL-terminated list. config_env.c */
void config_loader_env(struct config_loader *l, char **environ_list);

/* What stands on the command line. config_args.c */
struct config_args {
    const char *file; /* --config, or NULL */
    bool wants_help, wants_version;
    struct config_arg {
        char *path;
        const char *value;
    } * items;
    size_t count;
};

/* Reads the words, without setting an option: the file and --ignore must come first. *args borrows
 * argv. */
void config_args_parse(struct config_loader *l, int argc, char **argv, struct config_args *args);
void config_args_apply(struct config_loader *l, const struct config_args *args);
void config_args_fini(struct config_args *args);

/* Checks between options, and values that are computed. config_finish.c */
void config_loader_finish(struct config_loader *l);

/* The part of it that is about channels. config_channels.c */
void config_loader_channels(struct config_loader *l);

/* The part about the keys of tokens. config_keys.c */
void config_loader_keys(struct config_loader *l);

/* Frees what the loader made of the options, which are freed with all others. */
void config_keys_fini(struct config_keys *k);

/* Replaces the text of an option, if it is not empty, by the PEM text that it is, is base64 of, or
 * is the path of a file with. False when it is said why not. config_tls.c */
bool config_loader_pem(struct config_loader *l, const char *option, bool is_secret, char **field);

/* The part about the claims of tokens. config_claims.c */
void config_loader_claims(struct config_loader *l);

/* Frees what the loader made of the options, which are freed with all others. */
void config_claims_fini(struct config_claims *c);

/* The part about Redis, and about TLS to it. config_redis.c, config_tls.c */
void config_loader_redis(struct config_loader *l);
void config_loader_tls(struct config_loader *l, const char *section, struct config_tls *tls);

/* Secrets: files of their own, who can read them, API keys. config_secrets.c */
void config_loader_secrets(struct config_loader *l);

/* Sets a secret to what a file holds; named_by is for messages. */
void config_loader_secret_file(struct config_loader *l, const char *option, const char *path,
                               const char *named_by);

/* The secret that "<option>_file" is about; NULL: none. */
const struct option *config_secret_of_file(struct config_loader *l, const char *path);

/* Takes the value of "<option>_file" of o; file is NULL when it is no text. */
void config_loader_take_file(struct config_loader *l, const char *source, const struct option *o,
                             const char *file);

/* Notes what is used. */
void config_loader_used(struct config_loader *l, const char *source, const char *option,
                        const char *text);

/* Who set an option last, or "default". */
const char *config_loader_source(const struct config_loader *l, const char *option);

/* All sources in their order; the result is l->config, if there are no l->problems. */
void config_loader_run(struct config_loader *l, const struct config_args *args,
                       char **environ_list);

/* One more --ignore; must be known before settings come. */
void config_loader_ignore(struct config_loader *l, const char *name);

/* text is printf's. */
void config_loader_warn(struct config_loader *l, const char *source, const char *option,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
void config_loader_problem(struct config_loader *l, const char *source, const char *option,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The option of a path and the struct its field is in; NULL when it is none of ours. */
const struct option *config_loader_find(struct config_loader *l, const char *path, void **base);

/* Appends path with "[]" for each index. */
void config_normal_path(struct buf *out, const char *path);

/* Gives at most max_bytes of a file with its end of line trimmed, or NULL with *why in words.
 * *exposure is as config_file_exposure() says. config_file.c */
char *config_read_file(const char *path, size_t max_bytes, const char **exposure, const char **why);

/* Who else can read or change a file with secrets, in words; NULL: nobody. config_secrets.c */
const char *config_file_exposure(const struct stat *st);

#endif
