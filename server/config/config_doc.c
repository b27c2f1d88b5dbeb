/* `carillon config doc`: docs/configuration.md, made from the tables so that it cannot be wrong.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/config/config_cli.h"

#include "server/config/config.h"
#include "server/config/config_foreign.h"
#include "server/config/config_options.h"
#include "server/config/config_value.h"

#include <string.h>

/* Markdown tables need their bars escaped; nothing else in our texts is special. */
static void print_cell(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputs(" |", out);
}

static void print_option(FILE *out, const struct option *o, const char *section) {
    struct buf env = {0}, allowed = {0};
    config_env_name(&env, section, o->name);
    option_print_allowed(o, &allowed);
    bool has_env = strchr(section, '[') == NULL;
    fprintf(out, "| `%s%s%s`%s | %s%s%s | ", section, *section ? "." : "", o->name,
            o->flags & OPTION_OWN ? " \\*" : "", *o->preset ? "`" : "",
            *o->preset ? o->preset : "empty", *o->preset ? "`" : "");
    print_cell(out, config_z(&allowed));
    fputc(' ', out);
    print_cell(out, o->text);
    if (o->flags & OPTION_SECRET)
        fprintf(out, " secret");
    fprintf(out, "%s%s%s |\n", has_env ? " `" : "", has_env ? config_z(&env) : "",
            has_env ? "`" : "");
    buf_fini(&env);
    buf_fini(&allowed);
}

static void print_options(FILE *out, const struct option *list, const char *section) {
    fputs("\n| option | default | allowed | meaning | variable |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
    for (const struct option *o = list; o->name; o++)
        print_option(out, o, section);
}

static void print_foreign(FILE *out, bool is_guard) {
    fputs("\n| option | without it |\n| --- | --- |\n", out);
    for (const struct foreign_group *g = config_foreign_groups; g->rows; g++) {
        for (const struct foreign *row = g->rows; row->name; row++) {
            struct foreign_option f = {g, row};
            if (row->type == FOREIGN_NAME || config_foreign_is_guard(f) != is_guard)
                continue;
            fprintf(out, "| `%s%s`%s | ", g->prefix, row->name,
                    row->type == FOREIGN_SECTION ? " and below" : "");
            print_cell(out, config_foreign_consequence(f));
            fputc('\n', out);
        }
    }
}

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "This page is printed by `carillon config doc`; do not edit it.\n"
    "\n"
    "Every option has a name with dots and can be set in three places. Later ones win:\n"
    "\n"
    "1. a JSON file, `--config FILE`, where dots are objects in objects:\n"
    "   `{\"client\": {\"ping_interval\": \"10s\"}}`;\n"
    "2. the environment: `CARILLON_CLIENT_PING_INTERVAL=10s`;\n"
    "3. the command line: `--client.ping_interval=10s`. `--port`, `--address`, `--workers` and\n"
    "   `--log-level` are short names.\n"
    "\n"
    "Durations are texts such as `\"10s\"`, `\"1m30s\"`, `\"500ms\"` or `\"720h\"`. Lists on the\n"
    "command line and in the environment are separated by commas or spaces. `null` in a file "
    "means\n"
    "\"not set\".\n"
    "\n"
    "Secrets are refused on the command line, where everybody can read them. Besides the file and\n"
    "the environment, they can come from a file of their own: "
    "`CARILLON_HTTP_API_KEY_FILE=/run/key`,\n"
    "or `\"key_file\"` next to where `\"key\"` would stand: [auth.md](auth.md#secrets).\n"
    "They are never printed or logged.\n"
    "\n"
    "A wrong type, a value out of range, or an option that does not exist stops the start with "
    "one\n"
    "line per problem. `carillon config check FILE` says what of a file is used, what is ignored, "
    "and\n"
    "what would stop the start; short HMAC keys do so there and with `--strict`, else they only "
    "get a warning. `carillon config init` prints a file to begin with. An unknown\n"
    "`CARILLON_` variable is only warned about, because others put variables there, too; what\n"
    "Kubernetes adds for a service named `carillon` is passed over.\n"
    "\n"
    "## Options\n"
    "\n"
    "Names are Centrifugo's; options with \\* are Carillon's own.\n";

void config_print_doc(FILE *out) {
    fputs(introduction, out);
    print_options(out, config_options, "");
    fputs(
        "\n## Options of channels\n"
        "\n"
        "For channels without a namespace in `channel.without_namespace`; for a namespace in an\n"
        "object of the list `channel.namespaces`, next to its `name`. In the environment the "
        "options\n"
        "of a namespace `chat` that the file has are `CARILLON_CHANNEL_NAMESPACES_CHAT_...`; the\n"
        "whole list is `CARILLON_CHANNEL_NAMESPACES`, as JSON.\n",
        out);
    print_options(out, config_channel_options + 1, CONFIG_WITHOUT_NAMESPACE);
    fputs("\n## Centrifugo's options that Carillon does not have\n"
          "\n"
          "An option that has its default value is passed over in silence.\n"
          "\n"
          "### Guards: they refuse the start\n"
          "\n"
          "Each protects, limits or authenticates, so starting without it would leave something "
          "open.\n"
          "`--ignore OPTION`, once for each, accepts that.\n",
          out);
    print_foreign(out, true);
    fputs("\n### Harmless: one warning each\n", out);
    print_foreign(out, false);
}

int config_doc(void) {
    config_print_doc(stdout);
    return ferror(stdout) ? 1 : 0;
}
