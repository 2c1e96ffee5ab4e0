// Reads pictures before they are decoded, by threads that mostly wait: storage that answers late (a network, a busy
// disk) then holds up nobody, so long as it answers many at once.
//
// Tasks are numbered from 0 and stand for a picture each. Of at most 2 * SEER_READERS_MAX tasks at a time the bytes are
// held, and of no picture of more than SEER_READ_AHEAD_BYTES: 128 MiB at the very most. Larger pictures, and those
// that cannot be read, are left to who decodes them.
#ifndef SEER_RUNTIME_DATA_READ_AHEAD_H
#define SEER_RUNTIME_DATA_READ_AHEAD_H

#include "runtime/data/source.h"

enum { SEER_READ_AHEAD_BYTES = 1 << 19, SEER_READERS_MAX = 128, SEER_READERS_A_DECODER = 16 };

typedef struct SeerReadAhead SeerReadAhead;

// `picture(context, task)` is called by any thread; -1: there is none, nothing is read. `decoders` threads will take
// what is read.
SeerStatus seer_read_ahead_make(const SeerSource *source, int decoders, int64_t (*picture)(const void *, int64_t),
                                const void *context, SeerReadAhead **ahead);
// Exchanges `file` for the bytes of `task`, *count of them, when they have come. False: read it yourself. Each task is
// taken once; whoever took a task before has not to come back for this one to go on.
bool seer_read_ahead_take(SeerReadAhead *ahead, int64_t task, SeerBuffer *file, size_t *count);
// Ends the threads; nobody may be in seer_read_ahead_take.
void seer_read_ahead_release(SeerReadAhead *ahead);

#endif
