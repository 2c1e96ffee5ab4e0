// What ranks send each other from their GPUs, by way of this machine's memory and MPI: for ranks that share a GPU, for
// machines without NCCL, and for tests. Of one communicator and one program; used by the thread that sends launches.
//
// Parameters and gradients on their way have streams of their own: the step goes on while they travel. A call waits for
// what it sends to be there, so an entry with collectives is sent launch by launch and not captured.
#ifndef SEER_RUNTIME_DEVICE_STAGED_H
#define SEER_RUNTIME_DEVICE_STAGED_H

#include "runtime/device/device.h"
#include "runtime/program.h"

typedef struct SeerStaged SeerStaged;

// `compute`: the stream that launches go to; `state`: of the program, on the GPU.
SeerStatus seer_staged_make(const SeerProgram *program, SeerDevice *device, SeerDeviceStream *compute,
                            SeerAddress state, SeerStaged **staged);
// NULL is nothing. Nothing may be on its way.
void seer_staged_release(SeerStaged *staged);
// For seer_traffic_make: where parts of the state lie on their way, at their offsets in it.
unsigned char *seer_staged_state(SeerStaged *staged);

// Before the first launch of an entry: what was sent to the compute stream is there before anything travels.
SeerStatus seer_staged_begin(SeerStaged *staged);
// After the last: until all that has come lies on the GPU.
SeerStatus seer_staged_end(SeerStaged *staged);

// The collectives of runtime/program.h; addresses are the GPU's. `group`: of the ranks that BatchNorm goes over.
SeerStatus seer_staged_gather(SeerStaged *staged, const SeerContext *context, bool group, int64_t floats,
                              SeerAddress mine, SeerAddress all);
SeerStatus seer_staged_average(SeerStaged *staged, const SeerContext *context, int64_t count, SeerFormat format,
                               SeerAddress mine, SeerAddress average);
SeerStatus seer_staged_start(SeerStaged *staged, SeerContext *context, SeerWay way, int unit, SeerAddress whole);
SeerStatus seer_staged_finish(SeerStaged *staged, SeerContext *context, SeerWay way, int unit);

#endif
