/* Time. Timers and time-outs use the monotonic clock, only tokens and log lines the wall clock.
 *
 * Thread: any.
 */
#ifndef CARILLON_CLOCK_H
#define CARILLON_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t clock_now_us(void);
uint64_t clock_now_ms(void);

/* CLOCK_REALTIME, milliseconds since 1970. */
int64_t clock_wall_ms(void);

#endif
