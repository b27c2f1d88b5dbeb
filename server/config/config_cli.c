/* `carillon --help`, `carillon config check` and `carillon config init`: see config.h.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/config/config_cli.h"

#include "server/config/config_loader.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <sodium.h>
#include <string.h>

#define KEY_BYTES 32

/* ---- help ---- */

/* Texts are Markdown for docs/configuration.md; a terminal needs no backquotes. Breaks lines. */
static void print_wrapped(FILE *out, const char *text, size_t indent) {
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column == 0 || column + 1 + n > 98) {
            fprintf(out, "%s%*s", column ? "\n" : "", (int)indent, "");
            column = indent;
        } else {
            fputc(' ', out);
            column++;
        }
        for (size_t i = 0; i < n; i++)
            if (text[i] != '`')
                fputc(text[i], out);
        column += n;
        text += n + strspn(text + n, " ");
    }
    fputc('\n', out);
}

static void print_options(FILE *out, const struct option *list, const char *section) {
    for (const struct option *o = list; o->name; o++) {
        bool is_secret = o->flags & OPTION_SECRET;
        fprintf(out, "  %s%s%s%s%s\n", is_secret ? "" : "--", section, o->name,
                is_secret || !*o->preset ? "" : "=",
                is_secret ? "   (not on the command line)" : o->preset);
        print_wrapped(out, o->text, 8);
    }
}

void config_print_help(FILE *out) {
    fputs(
        "Usage:\n"
        "  carillon [serve] [--config FILE] [--OPTION=VALUE ...]\n"
        "  carillon token --user ID      a connection token for trying things out\n"
        "  carillon token check TOKEN    why the server refuses a token, if it does\n"
        "  carillon key hash             a new API key and its hash, for http_api.keys_file\n"
        "  carillon health [URL]         asks a running server how it is\n"
        "  carillon doctor URL           why clients do not connect\n"
        "  carillon config check FILE    what of a file is used, ignored, refused\n"
        "  carillon config init          print a configuration one can expose\n"
        "  carillon config doc           print the manual of all options\n"
        "  carillon --version | --help\n"
        "\n"
        "  -c, --config FILE     read options from a JSON file\n"
        "  -p, --port N          --http_server.port\n"
        "  -a, --address A       --http_server.address\n"
        "      --log-level L     --log.level\n"
        "      --strict          refuse short HMAC keys, instead of a warning\n"
        "      --ignore OPTION   start although this Centrifugo option, which protects\n"
        "                        something, is not supported; may be repeated\n"
        "\n"
        "Options come from the file, then the environment (CARILLON_HTTP_SERVER_PORT=8000), then\n"
        "the command line; later ones win. Secrets are not taken from the command line: set\n"
        "CARILLON_HTTP_API_KEY, or CARILLON_HTTP_API_KEY_FILE to the name of a file. Without a\n"
        "key every API call is answered with 401.\n"
        "\n"
        "Options and their defaults:\n",
        out);
    print_options(out, config_options, "");
    fputs(
        "\nOptions of channels without a namespace; the same, with a name, are in the objects of\n"
        "channel.namespaces, which is JSON:\n",
        out);
    print_options(out, config_channel_options + 1, CONFIG_WITHOUT_NAMESPACE ".");
}

/* ---- check ---- */

static void print_notes(FILE *out, const char *title, const struct config_notes *notes,
                        const char *separator) {
    fprintf(out, "%s (%zu):\n", title, notes->count);
    for (size_t i = 0; i < notes->count; i++) {
        const struct config_note *n = &notes->items[i];
        bool is_whole = !*n->option; /* about the file */
        fprintf(out, "  %s%s%s\n", is_whole ? n->source : n->option, is_whole ? ": " : separator,
                n->text);
    }
}

int config_print_check(const char *path, FILE *out) {
    struct config_loader l;
    config_loader_init(&l);
    l.is_strict = true;
    config_loader_file(&l, path);
    config_loader_finish(&l);
    bool is_good = l.problems.count == 0;
    print_notes(out, "used", &l.used, " = ");
    print_notes(out, "warned about", &l.warnings, ": ");
    print_notes(out, "refuses the start", &l.problems, ": ");
    fprintf(out, "%s: %s\n", path, is_good ? "would start" : "would not start");
    config_loader_fini(&l);
    return is_good ? 0 : 1;
}

int config_check(const char *path) {
    return config_print_check(path, stdout);
}

/* ---- init ---- */

static void random_key(char text[2 * KEY_BYTES + 1]) {
    unsigned char bytes[KEY_BYTES];
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2hex(text, 2 * KEY_BYTES + 1, bytes, sizeof(bytes));
    sodium_memzero(bytes, sizeof(bytes));
}

/* Of the token key, then the API key. */
#define INIT_FORMAT                                                                                \
    "{\n"                                                                                          \
    "  \"http_server\": {\"address\": \"\", \"port\": 8000},\n"                                    \
    "  \"client\": {\n"                                                                            \
    "    \"allowed_origins\": [],\n"                                                               \
    "    \"token\": {\"hmac_secret_key\": \"%s\"}\n"                                               \
    "  },\n"                                                                                       \
    "  \"channel\": {\n"                                                                           \
    "    \"namespaces\": [\n"                                                                      \
    "      {\n"                                                                                    \
    "        \"name\": \"news\",\n"                                                                \
    "        \"allow_subscribe_for_client\": true\n"                                               \
    "      },\n"                                                                                   \
    "      {\n"                                                                                    \
    "        \"name\": \"chat\",\n"                                                                \
    "        \"presence\": true,\n"                                                                \
    "        \"join_leave\": true,\n"                                                              \
    "        \"allow_subscribe_for_client\": true,\n"                                              \
    "        \"allow_publish_for_subscriber\": true,\n"                                            \
    "        \"allow_presence_for_subscriber\": true\n"                                            \
    "      }\n"                                                                                    \
    "    ]\n"                                                                                      \
    "  },\n"                                                                                       \
    "  \"http_api\": {\"key\": \"%s\"},\n"                                                         \
    "  \"prometheus\": {\"enabled\": false}\n"                                                     \
    "}\n"

int config_print_init(FILE *out, FILE *hints) {
    char api_key[2 * KEY_BYTES + 1], token_key[2 * KEY_BYTES + 1];
    if (sodium_init() < 0) {
        fputs("carillon: libsodium finds no source of random numbers\n", hints);
        return 1;
    }
    random_key(api_key);
    random_key(token_key);
    fprintf(out, INIT_FORMAT, token_key, api_key);
    fputs("Fresh random keys: keep the file to yourself (chmod 600).\n"
          "client.allowed_origins is empty, so no web page may connect: add yours, for example\n"
          "\"https://example.com\". Users need a token signed with client.token.hmac_secret_key;\n"
          "nobody is let in without one. Metrics are off, because this port is open to all.\n",
          hints);
    sodium_memzero(api_key, sizeof(api_key));
    sodium_memzero(token_key, sizeof(token_key));
    return ferror(out) ? 1 : 0;
}

int config_init(void) {
    return config_print_init(stdout, stderr);
}
