/* The version, in one place. Thread: any. */
#ifndef CARILLON_VERSION_H
#define CARILLON_VERSION_H

#define CARILLON_VERSION "0.1.0"

#endif
