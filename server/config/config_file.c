/* Configuration files: JSON in, settings out (config_loader.h).
 *
 * A file is read whole, at most 1 MiB, from anything that can be opened. What the JSON parser says
 * is repeated with line and column, but without the piece of text it quotes: that may be a secret.
 *
 * Thread: one. Owns: nothing.
 */
#include "server/config/config_loader.h"

#include "server/base/mem.h"
#include "server/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1024 * 1024)
#define READ_BYTES 4096

/* Makes room for all of it, so that no piece of a secret stays in memory that was left. */
static bool is_openable(int fd, struct buf *content, const char **exposure, const char **why) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        *why = strerror(errno);
        return false;
    }
    *exposure = config_file_exposure(&st);
    if (S_ISREG(st.st_mode) && st.st_size < FILE_BYTES_MAX)
        buf_reserve(content, (size_t)st.st_size + 2 * READ_BYTES);
    *why = S_ISDIR(st.st_mode) ? "is a directory" : NULL;
    return !*why;
}

/* Appends all of fd to *content; at most one byte more than max_bytes. */
static const char *read_all(int fd, size_t max_bytes, struct buf *content) {
    while (content->n <= max_bytes) {
        ssize_t n = read(fd, buf_reserve(content, READ_BYTES), READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strerror(errno);
        if (n == 0)
            return NULL;
        content->n += (size_t)n;
    }
    return "is too large";
}

char *config_read_file(const char *path, size_t max_bytes, const char **exposure,
                       const char **why) {
    struct buf content = {0};
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (is_openable(fd, &content, exposure, why))
        *why = read_all(fd, max_bytes, &content);
    if (fd >= 0)
        close(fd);
    if (!*why && content.n && memchr(content.p, '\0', content.n))
        *why = "has a zero byte in it";
    while (content.n && (content.p[content.n - 1] == '\n' || content.p[content.n - 1] == '\r'))
        content.n--;
    if (!*why)
        text = mem_strndup(content.n ? content.p : "", content.n);
    if (content.cap)
        explicit_bzero(content.p, content.cap);
    buf_fini(&content);
    return text;
}

static bool has_ending(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && !strcmp(path + n - m, ending);
}

/* "file:line:column" as the source, and no quotation. */
static void report_syntax(struct config_loader *l, const char *path, const json_error_t *error) {
    struct buf source = {0};
    size_t shown = strlen(error->text);
    const char *quotation = strstr(error->text, " near '");
    if (quotation)
        shown = (size_t)(quotation - error->text);
    buf_printf(&source, "%s:%d:%d", path, error->line, error->column);
    buf_add_char(&source, '\0');
    bool is_other =
        has_ending(path, ".yaml") || has_ending(path, ".yml") || has_ending(path, ".toml");
    config_loader_problem(l, source.p, "", "no valid JSON: %.*s%s", (int)shown, error->text,
                          is_other ? "; only JSON files are read" : "");
    buf_fini(&source);
}

void config_loader_file_text(struct config_loader *l, const char *path, struct str text) {
    json_error_t error;
    json_t *root = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (root)
        config_loader_json(l, path, "", root);
    else
        report_syntax(l, path, &error);
    json_decref(root);
}

void config_loader_file(struct config_loader *l, const char *path) {
    const char *why;
    const char *exposure = NULL;
    char *text = config_read_file(path, FILE_BYTES_MAX, &exposure, &why);
    if (!text) {
        config_loader_problem(l, path, "", "cannot be read: %s", why);
        return;
    }
    l->has_secret = false;
    config_loader_file_text(l, path, str_of(text));
    if (l->has_secret && exposure)
        config_loader_warn(l, path, "", "holds secrets, and %s", exposure);
    secret_wipe_text(text);
}
