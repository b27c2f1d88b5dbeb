/* See word.h.
 *
 * Thread: any (no state).
 */
#include "server/base/word.h"

#include <string.h>

bool word_take(char **argv, int *at, const char *name, const char **value) {
    size_t n = strlen(name);
    const char *word = argv[*at];
    if (strncmp(word, name, n) != 0 || (word[n] != '\0' && word[n] != '='))
        return false;
    *value = word[n] ? word + n + 1 : argv[++*at];
    return true;
}
