// Weights from anywhere, opened for reading: a run folder (its newest snapshot), a snapshot, a safetensors file, or
// shards with their index, MODEL.safetensors.index.json. Names are understood in the format that explains most of them;
// tensors are then asked for by seer's names. Pickles are refused unopened.
#ifndef SEER_RUNTIME_WEIGHTS_FILE_H
#define SEER_RUNTIME_WEIGHTS_FILE_H

#include "runtime/collection.h"
#include "runtime/files.h"
#include "runtime/weights/network.h"

typedef struct SeerWeight {
  char name[SEER_WEIGHT_NAME_MAX];  // seer's; "" unless understood
  const char *own;                  // as the file calls it
  SeerWeightName meaning;
  bool understood;
  const SeerHeld *held;
} SeerWeight;

typedef struct SeerWeightFile {
  SeerPath path;
  SeerCollection *tensors;
  SeerWeightFormat format;
  bool is_seer;      // written by seer
  bool is_snapshot;  // with optimizer state and more
  char step[24];     // of the training, as seer's files tell it; else "0"
  int count;
  SeerWeight *weights;  // by seer's names, those not understood last, by their own
  int optimizer_count;  // tensors of an optimizer, which are left aside
} SeerWeightFile;

SeerStatus seer_weight_file_open(const char *path, SeerWeightFile *file);
void seer_weight_file_close(SeerWeightFile *file);

// By the name that a trainer has for it; NULL: not there.
const SeerWeight *seer_weight_find(const SeerWeightFile *file, const char *name);
// Elements begin..begin+count as f32, in seer's order: first layers that take blue, green, red are turned round.
SeerStatus seer_weight_read(const SeerWeightFile *file, const SeerWeight *weight, uint64_t begin, uint64_t count,
                            float *values);
// False: no outline of a RegNet is in it.
SeerStatus seer_weight_file_network(const SeerWeightFile *file, SeerNetwork *network, bool *found);

// Says that no outline is whole, of what is understood, and what is wanting. SEER_INPUT.
SeerStatus seer_weight_file_no_network(const SeerWeightFile *file, const SeerNetwork *network);

// The shell's line that turns a pickle of PyTorch into safetensors, "IN" and "OUT" standing for the files.
extern const char seer_pickle_conversion[];

#endif
