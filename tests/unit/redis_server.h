/* A redis-server for tests: on a unix socket and a free port, in a folder of its own, with nothing
 * on disk; stopped by its pid.
 *
 * Include once. Owns: the process and the folder. Thread: one.
 */
#ifndef CARILLON_TESTS_REDIS_SERVER_H
#define CARILLON_TESTS_REDIS_SERVER_H

#include <assert.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    char folder[64];
    char socket[96];
    const char *options[32]; /* more for the command line, NULL at the end */
};

static inline void short_pause(void) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* Starts a program that dies with us, also when a test aborts. */
static inline pid_t start_program(const char *const *argv) {
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char **)(uintptr_t)argv);
    _exit(127);
}

static inline bool has_ended(pid_t pid) {
    return waitpid(pid, NULL, WNOHANG) == pid;
}

/* A connection for the test itself; NULL when the server does not answer PING. */
static inline redisContext *redis_server_connect(const struct redis_server *s) {
    redisContext *c = redisConnectUnixWithTimeout(s->socket, (struct timeval){.tv_sec = 1});
    redisReply *r = c && !c->err ? redisCommand(c, "PING") : NULL;
    bool is_there = r != NULL;
    if (r)
        freeReplyObject(r);
    if (is_there)
        return c;
    if (c)
        redisFree(c);
    return NULL;
}

/* Waits until it answers; a server that wants a password answers too. */
static inline void redis_server_start(struct redis_server *s) {
    char log_file[96];
    const char *argv[48] = {
        "redis-server", "--port", "0",     "--unixsocket", s->socket,   "--save", "",
        "--appendonly", "no",     "--dir", s->folder,      "--logfile", log_file};
    size_t count = 13;
    redisContext *c = NULL;
    if (!s->folder[0]) {
        strcpy(s->folder, "/tmp/carillon-redis-XXXXXX");
        char *made = mkdtemp(s->folder);
        assert(made);
        snprintf(s->socket, sizeof(s->socket), "%s/socket", s->folder);
    }
    snprintf(log_file, sizeof(log_file), "%s/log", s->folder);
    for (size_t i = 0; s->options[i]; i++)
        argv[count++] = s->options[i];
    unlink(s->socket);
    s->pid = start_program(argv);
    while (!(c = redis_server_connect(s))) {
        if (has_ended(s->pid)) {
            fprintf(stderr, "redis-server is needed, and did not start: %s\n", log_file);
            exit(1);
        }
        short_pause();
    }
    redisFree(c);
}

/* Once this returns, a server that was told to stop does nothing any more. */
static inline void redis_server_signal(const struct redis_server *s, int signal_number) {
    int failed = kill(s->pid, signal_number);
    assert(!failed);
    if (signal_number == SIGSTOP)
        waitpid(s->pid, NULL, WUNTRACED);
}

static inline void redis_server_kill(struct redis_server *s) {
    if (!s->pid)
        return;
    redis_server_signal(s, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void redis_server_end(struct redis_server *s) {
    static const char *const names[] = {"log", "socket", "nodes.conf", "dump.rdb"};
    char file[96];
    redis_server_kill(s);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(file, sizeof(file), "%s/%s", s->folder, names[i]);
        unlink(file);
    }
    rmdir(s->folder);
}

/* One command; the caller frees the reply. */
static inline redisReply *redis_server_ask(const struct redis_server *s, const char *format, ...) {
    redisContext *c = redis_server_connect(s);
    assert(c);
    va_list list;
    va_start(list, format);
    redisReply *r = redisvCommand(c, format, list);
    va_end(list);
    assert(r);
    redisFree(c);
    return r;
}

/* One command whose integer answer matters, or nothing of it. */
static inline long long redis_server_do(const struct redis_server *s, const char *format, ...) {
    redisContext *c = redis_server_connect(s);
    assert(c);
    va_list list;
    va_start(list, format);
    redisReply *r = redisvCommand(c, format, list);
    va_end(list);
    assert(r);
    long long integer = r->integer;
    freeReplyObject(r);
    redisFree(c);
    return integer;
}

#endif
