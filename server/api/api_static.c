/* The demo page: files below demo.path, read when asked for, with an entity tag.
 *
 * Names are checked by what they may contain: path segments of letters, digits, ".", "-" and "_"
 * that do not begin with a dot, and an extension from the list. Nothing else is ever opened, links
 * that lead elsewhere neither.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 8 << 20 };

/* Pages that may stand in each other's frames: two nodes on one machine, side by side. */
#define NODES_HERE "'self' http://localhost:* http://127.0.0.1:*"

static const char *content_type_of(struct str path) {
    static const struct {
        const char *extension, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".map", "application/json"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct str e = str_of(types[i].extension);
        if (path.n > e.n && str_equal(str_slice(path, path.n - e.n, path.n), e))
            return types[i].type;
    }
    return NULL;
}

static bool is_safe(struct str path) {
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && !memchr("._-/", c, 4))
            return false;
        if (c == '.' && (i == 0 || path.p[i - 1] == '/' || path.p[i - 1] == '.'))
            return false;
    }
    return path.n > 0 && path.p[0] == '/';
}

/* Opens root + path when it is a regular file that lies, links resolved, below root. */
static int open_below(const char *root, struct str path, struct stat *st) {
    char joined[4096], real_root[4096], real[4096];
    if (snprintf(joined, sizeof(joined), "%s%.*s", root, STR_ARG(path)) >= (int)sizeof(joined) ||
        !realpath(root, real_root) || !realpath(joined, real))
        return -1;
    size_t n = strlen(real_root);
    if (strncmp(real, real_root, n) != 0 || real[n] != '/')
        return -1;
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || (fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size <= FILE_MAX_BYTES))
        return fd;
    close(fd);
    return -1;
}

static bool read_all(int fd, size_t n, struct buf *b) {
    while (n > 0) {
        ssize_t got = read(fd, buf_reserve(b, n), n);
        if (got <= 0)
            return false;
        b->n += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

struct api_call *api_static(const struct api_context *x) {
    struct http_response *r = x->response;
    struct str path = x->request->path;
    struct stat st;
    if (str_equal(path, STR("/")))
        path = STR("/index.html");
    const char *type = content_type_of(path);
    int fd = type && is_safe(path) ? open_below(x->sessions->config->demo_path, path, &st) : -1;
    if (fd < 0) {
        http_response_text(r, 404, "no such path");
        return NULL;
    }
    r->status = 200;
    r->content_type = type;
    r->headers = "Cache-Control: no-cache\r\nReferrer-Policy: no-referrer\r\n"
                 "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
                 "img-src 'self' data:; frame-src " NODES_HERE "; frame-ancestors " NODES_HERE
                 "; base-uri 'none'\r\n";
    snprintf(r->etag, sizeof(r->etag), "\"%llx-%llx-%lx\"", (unsigned long long)st.st_size,
             (unsigned long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    if (str_equal(x->request->if_none_match, str_of(r->etag)))
        r->status = 304;
    else if (!read_all(fd, (size_t)st.st_size, &r->body))
        http_response_text(r, 500, "the file could not be read");
    close(fd);
    return NULL;
}
