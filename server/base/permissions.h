/* What a token may permit in a channel, as bits of a set. Whoever reads tokens (auth/) and whoever
 * judges commands (channels/rules.h) mean the same by them.
 *
 * Thread: any (constant). Owns: nothing.
 */
#ifndef CARILLON_PERMISSIONS_H
#define CARILLON_PERMISSIONS_H

enum permission {
    PERMIT_SUBSCRIBE = 1, /* "sub" */
    PERMIT_PUBLISH = 2,   /* "pub" */
    PERMIT_PRESENCE = 4,  /* "prs" */
    PERMIT_HISTORY = 8,   /* "hst" */
};

#endif
