// Names of a RegNet's tensors in the formats of others: read into what they mean, written from it. The tables are in
// names.def. A tensor's name here is seer's: torchvision's for the trunk, the released SwAV's for its head.
#ifndef SEER_RUNTIME_WEIGHTS_NAMES_H
#define SEER_RUNTIME_WEIGHTS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { SEER_WEIGHT_NAME_MAX = 128 };

typedef enum SeerWeightFormat {
#define WEIGHTS_FORMAT(NAME, ...) SEER_FORMAT_##NAME,
#include "runtime/weights/names.def"
  SEER_FORMAT_COUNT
} SeerWeightFormat;

typedef enum SeerWeightPart {
#define WEIGHTS_PART(NAME, ...) SEER_PART_##NAME,
#include "runtime/weights/names.def"
  SEER_PART_COUNT
} SeerWeightPart;

typedef enum SeerWeightLeaf {
  SEER_LEAF_WEIGHT,
  SEER_LEAF_BIAS,
  SEER_LEAF_MEAN,
  SEER_LEAF_VARIANCE,
  SEER_LEAF_BATCHES,  // BatchNorm's count of batches, which seer has no use for
  SEER_LEAF_COUNT
} SeerWeightLeaf;

// What a name means.
typedef struct SeerWeightName {
  SeerWeightPart part;
  SeerWeightLeaf leaf;
  int stage, block;  // from 1 and from 0; of blocks
  int layer;         // of the projection head, else 0
} SeerWeightName;

// What a name depends on besides its meaning.
typedef struct SeerNaming {
  SeerWeightFormat format;
  bool squeezes;         // the network has squeeze-and-excitation
  bool wrapped;          // with the format's wrappers
  int part_count;        // of VISSL's parts in all; 0: none
  const int *part_ends;  // [part_count]: blocks of the whole trunk, counted on over stages, before each part's end
  const int *depths;     // of stages
} SeerNaming;

const char *seer_format_name(SeerWeightFormat format);
// SEER_FORMAT_COUNT: there is none of this name.
SeerWeightFormat seer_format_find(const char *name);

// Wrappers, those of FSDP among them, are looked through.
bool seer_weight_name_parse(SeerWeightFormat format, const char *name, SeerWeightName *meaning);
// False: the format has no place for it.
bool seer_weight_name_print(const SeerNaming *naming, const SeerWeightName *meaning, char name[SEER_WEIGHT_NAME_MAX]);
// Seer's own.
void seer_weight_name_own(const SeerWeightName *meaning, char name[SEER_WEIGHT_NAME_MAX]);

bool seer_part_is_head(SeerWeightPart part);
bool seer_part_is_block(SeerWeightPart part);
// Is this tensor of a trainer part of its head, that features do without?
bool seer_tensor_name_is_head(const char *name);

#endif
