// Units of parameters on their way between ranks while the step goes on: each is one exchange, in which every rank
// sends each other one message, out of and into the places where the tensors lie.
#ifndef SEER_RUNTIME_TRAFFIC_H
#define SEER_RUNTIME_TRAFFIC_H

#include "runtime/comm/comm.h"
#include "runtime/program.h"

typedef struct SeerTraffic SeerTraffic;

// Of all units of a program whose state lies at `state`. NULL traffic: the program shares nothing out.
SeerStatus seer_traffic_make(SeerComm *comm, const SeerProgram *program, unsigned char *state, SeerTraffic **traffic);
void seer_traffic_release(SeerTraffic *traffic);

// What seer_gather_start and its like of runtime/program.h do; `whole` of a refresh is nothing. Collective.
SeerStatus seer_traffic_start(SeerTraffic *traffic, SeerWay way, int unit, void *whole);
SeerStatus seer_traffic_finish(SeerTraffic *traffic, SeerWay way, int unit);

// Lets what is under way move on: MPI moves data only while it is called.
void seer_traffic_progress(SeerTraffic *traffic);
// Units that go another way than through seer_traffic_start count here, too: one of them, or what many have sent.
void seer_traffic_count(SeerTraffic *traffic, SeerWay way, int unit);
void seer_traffic_add_sent(SeerTraffic *traffic, uint64_t bytes);
// Bytes that this rank has sent so far.
uint64_t seer_traffic_sent_bytes(const SeerTraffic *traffic);

#endif
