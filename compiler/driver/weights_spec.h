// Between specs and the networks that weights are of.
#ifndef SEER_DRIVER_WEIGHTS_SPEC_H
#define SEER_DRIVER_WEIGHTS_SPEC_H

#include "compiler/driver/driver.h"
#include "runtime/weights/network.h"

// The spec's network with its head. `classes` stands in for supervised.classes = auto. False after an error.
bool network_from_spec(Arena *arena, const Spec *spec, int64_t classes, DiagList *diags, SeerNetwork *network);

typedef struct ShippedNetwork {
  const char *name;          // "models/regnety_400mf"; NULL: none is like it
  bool rule_of_torchvision;  // with model.group_rule = torchvision
} ShippedNetwork;

// The shipped spec with this trunk.
ShippedNetwork network_find_shipped(Invocation *invocation, const SeerNetwork *network);

// A spec of the network, laid out as `seerc fmt` does; `from` is named in it.
void network_print_spec(Arena *arena, const SeerNetwork *network, const ShippedNetwork *shipped, const char *from,
                        Writer *out);

#endif
