// The clock that everything in a trainer is timed with.
#ifndef SEER_RUNTIME_CLOCK_H
#define SEER_RUNTIME_CLOCK_H

// Seconds since some moment in the past; never goes back.
double seer_seconds_now(void);

#endif
