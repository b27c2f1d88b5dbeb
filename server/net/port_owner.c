/* See listener.h: who listens on a TCP port. Reads /proc/net/tcp{,6} for the socket's inode and
 * looks for it among the descriptors of all processes; other users' are visible to root only.
 *
 * Thread: main.
 */
#include "server/net/listener.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TCP_LISTEN_STATE = 0x0a };

static bool find_inode(const char *table, uint16_t port, unsigned long *inode) {
    char line[512];
    bool is_found = false;
    FILE *f = fopen(table, "re");
    while (f && !is_found && fgets(line, sizeof(line), f)) {
        unsigned local_port, state;
        is_found =
            sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu",
                   &local_port, &state, inode) == 3 &&
            local_port == port && state == TCP_LISTEN_STATE;
    }
    if (f)
        fclose(f);
    return is_found;
}

static bool holds(const char *pid, unsigned long inode) {
    char path[300], target[64], wanted[64];
    bool is_found = false;
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !is_found && (e = readdir(d));) {
        char link[600];
        snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            is_found = strcmp(target, wanted) == 0;
        }
    }
    if (d)
        closedir(d);
    return is_found;
}

static void read_name(const char *pid, char name[32]) {
    char path[300];
    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f && fgets(name, 32, f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        fclose(f);
}

bool port_owner(uint16_t port, long *pid, char name[32]) {
    unsigned long inode;
    bool is_found = false;
    if (!find_inode("/proc/net/tcp", port, &inode) && !find_inode("/proc/net/tcp6", port, &inode))
        return false;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && !is_found && (e = readdir(d));) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || !holds(e->d_name, inode))
            continue;
        is_found = true;
        *pid = strtol(e->d_name, NULL, 10);
        strcpy(name, "?");
        read_name(e->d_name, name);
    }
    if (d)
        closedir(d);
    return is_found;
}
