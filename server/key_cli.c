/* See key_cli.h. The entry goes to stdout and the new key to stderr, so that the one can be
 * redirected into a file without the other.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/key_cli.h"

#include "auth/api_keys.h"
#include "server/base/word.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage:\n"
    "  carillon key hash [--name NAME] [--scope SCOPE ...]     make a new key\n"
    "  carillon key hash [--name NAME] [--scope SCOPE ...] -   take the key from stdin\n"
    "\n"
    "  --name NAME     letters, digits, _ and -; what logs and metrics call it; \"key\" without "
    "it\n"
    "  --scope SCOPE   publish, read or all; may be repeated; all without it\n"
    "\n"
    "Prints an entry for the list \"keys\" in the file that http_api.keys_file names, and a new "
    "key\n"
    "on stderr: it is kept nowhere. The entry holds a hash only. After a change of the file send\n"
    "the server SIGHUP.\n";

struct request {
    const char *name;
    struct buf scopes; /* "publish","read" */
    bool is_from_stdin;
};

/* Another word may be a key: it is not repeated. */
static bool parse(int argc, char **argv, struct request *q) {
    const char *scope;
    for (int at = 1; at < argc; at++) {
        if (word_take(argv, &at, "--name", &q->name)) {
            q->name = q->name ? q->name : "";
        } else if (word_take(argv, &at, "--scope", &scope)) {
            buf_printf(&q->scopes, "%s\"%.20s\"", q->scopes.n ? "," : "", scope ? scope : "");
        } else if (!strcmp(argv[at], "-")) {
            q->is_from_stdin = true;
        } else {
            fputs("carillon: a word of the command line is no option. A key is never taken from\n"
                  "there, where everybody on this machine can read it: make a new one, or pipe it\n"
                  "into carillon key hash -\n",
                  stderr);
            return false;
        }
    }
    return true;
}

/* False, after a line on stderr, when it may not be used. Its end of line does not belong to it. */
static bool read_key(struct buf *key) {
    const size_t max_bytes = API_KEY_MAX_BYTES + 3;
    size_t n = fread(buf_reserve(key, max_bytes), 1, max_bytes, stdin);
    while (n > 0 && (key->p[n - 1] == '\n' || key->p[n - 1] == '\r'))
        n--;
    key->n = n;
    const char *fault = api_key_fault(buf_str(key));
    if (fault)
        fprintf(stderr, "carillon: the key %s\n", fault);
    return !fault;
}

/* The server's own reader judges the entry before anybody gets it. */
static bool print_entry(const struct request *q, struct str key) {
    struct buf entry = {0}, file = {0}, why = {0};
    buf_printf(&entry, "{\"name\": \"%.100s\", \"scopes\": [%.*s], \"hash\": \"", q->name,
               STR_ARG(buf_str(&q->scopes)));
    api_key_hash(key, &entry);
    buf_add_z(&entry, "\"}");
    buf_printf(&file, "{\"keys\": [%.*s]}", STR_ARG(buf_str(&entry)));
    struct api_keys *keys = api_keys_parse(buf_str(&file), &why);
    if (keys)
        printf("%.*s\n", STR_ARG(buf_str(&entry)));
    else
        fprintf(stderr, "carillon: --name or --scope: %.*s\n", STR_ARG(buf_str(&why)));
    bool is_good = keys != NULL;
    api_keys_destroy(keys);
    buf_fini(&entry);
    buf_fini(&file);
    buf_fini(&why);
    return is_good;
}

static bool hash(struct request *q) {
    struct buf key = {0};
    bool is_good;
    if (!q->scopes.n)
        buf_add_z(&q->scopes, "\"all\"");
    if (q->is_from_stdin)
        is_good = read_key(&key);
    else
        is_good = (api_key_make(&key), true);
    is_good = is_good && print_entry(q, buf_str(&key));
    if (is_good && !q->is_from_stdin)
        fprintf(stderr, "The key, which is kept nowhere: %.*s\n", STR_ARG(buf_str(&key)));
    if (key.cap)
        explicit_bzero(key.p, key.cap);
    buf_fini(&key);
    return is_good;
}

int key_command(int argc, char **argv) {
    struct request q = {.name = "key"};
    bool is_good = false;
    if (argc < 1 || strcmp(argv[0], "hash") != 0 || (argc > 1 && !strcmp(argv[1], "--help")))
        fputs(usage, argc > 1 ? stdout : stderr);
    else
        is_good = parse(argc, argv, &q) && hash(&q);
    buf_fini(&q.scopes);
    return is_good || (argc > 1 && !strcmp(argv[1], "--help")) ? EXIT_SUCCESS : EXIT_FAILURE;
}
