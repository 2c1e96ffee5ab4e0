// Templates of names.def, matched and filled in; see names.h.
#include "runtime/weights/names.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_MAX = 9999, NAME_IN_MAX = 512 };

typedef enum Place { PLACE_STEM, PLACE_BLOCK, PLACE_HEAD } Place;
typedef enum Leaves { LEAVES_CONV, LEAVES_NORM, LEAVES_BIASED, LEAVES_BARE, LEAVES_LAYER } Leaves;

static const struct {
  const char *name, *trunk_wrapper, *head_wrapper, *block;
} formats[] = {
#define WEIGHTS_FORMAT(NAME, name, trunk, head, block) {name, trunk, head, block},
#include "runtime/weights/names.def"
};

static const struct {
  Place place;
  Leaves leaves;
  const char *names[SEER_FORMAT_COUNT];
} parts[] = {
#define WEIGHTS_PART(NAME, place, leaves, ...) {PLACE_##place, LEAVES_##leaves, {__VA_ARGS__}},
#include "runtime/weights/names.def"
};

static const char *const wrappers[] = {
#define WEIGHTS_WRAPPER(text) text,
#include "runtime/weights/names.def"
};

static const char *const leaf_names[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

const char *seer_format_name(SeerWeightFormat format) { return formats[format].name; }

SeerWeightFormat seer_format_find(const char *name) {
  int format = 0;
  while (format < SEER_FORMAT_COUNT && strcmp(formats[format].name, name) != 0) format++;
  return (SeerWeightFormat)format;
}

bool seer_part_is_head(SeerWeightPart part) { return parts[part].place == PLACE_HEAD; }
bool seer_part_is_block(SeerWeightPart part) { return parts[part].place == PLACE_BLOCK; }

static bool leaf_fits(Leaves leaves, SeerWeightLeaf leaf) {
  if (leaf == SEER_LEAF_WEIGHT) return true;
  if (leaf == SEER_LEAF_BIAS) return leaves != LEAVES_CONV && leaves != LEAVES_BARE;
  return leaves == LEAVES_NORM || leaves == LEAVES_LAYER;
}

// Without leading zeros, so that a name has one spelling.
static bool number_take(const char **at, int *number) {
  const char *digit = *at;
  int value = 0;
  if (*digit == '0' && digit[1] >= '0' && digit[1] <= '9') return false;
  for (; *digit >= '0' && *digit <= '9' && value <= NUMBER_MAX; digit++) value = value * 10 + (*digit - '0');
  if (digit == *at || value > NUMBER_MAX) return false;
  *at = digit;
  *number = value;
  return true;
}

// A number may stand in a name twice: it must then be the same.
static bool number_keep(int *kept, int number) {
  if (number < 0 || (*kept >= 0 && *kept != number)) return false;
  *kept = number;
  return true;
}

// "block1-part0.": which part does not matter.
static bool vissl_part_take(const char **at, SeerWeightName *meaning) {
  const char *c = *at;
  int stage, part;
  if (strncmp(c, "block", 5) != 0) return true;
  c += 5;
  if (!number_take(&c, &stage) || strncmp(c, "-part", 5) != 0) return true;
  c += 5;
  if (!number_take(&c, &part) || *c != '.' || !number_keep(&meaning->stage, stage)) return false;
  *at = c + 1;
  return true;
}

static bool field_take(const char *field, size_t length, const char **at, SeerWeightName *meaning) {
  int number;
  if (length == 4) return vissl_part_take(at, meaning);
  if (!number_take(at, &number)) return false;
  switch (*field) {
    case 's': return number > 0 && number_keep(&meaning->stage, number);
    case 'z': return number_keep(&meaning->stage, number + 1);
    case 'r': return number > 1 && number_keep(&meaning->stage, number - 1);
    case 'i': return number_keep(&meaning->block, number);
    case 'j': return number_keep(&meaning->block, number - 1);
    case 'k': return number_keep(&meaning->layer, number);
    default: return number == 2 || number == 3;
  }
}

// Moves *at past what the template matches.
static bool template_take(const char *template, const char **at, SeerWeightName *meaning) {
  for (const char *t = template; *t;) {
    if (*t == '{') {
      size_t length = strcspn(t + 1, "}");
      if (!field_take(t + 1, length, at, meaning)) return false;
      t += length + 2;
    } else if (*t++ != *(*at)++) {
      return false;
    }
  }
  return true;
}

static bool part_match(SeerWeightFormat format, SeerWeightPart part, const char *name, SeerWeightName *meaning) {
  const char *at = name;
  *meaning = (SeerWeightName){.part = part, .stage = -1, .block = -1, .layer = -1};
  if (!*parts[part].names[format]) return false;
  if (parts[part].place == PLACE_BLOCK && !template_take(formats[format].block, &at, meaning)) return false;
  if (!template_take(parts[part].names[format], &at, meaning) || *at++ != '.') return false;
  for (int leaf = 0; leaf < SEER_LEAF_COUNT; leaf++) {
    if (strcmp(at, leaf_names[leaf]) != 0) continue;
    meaning->leaf = (SeerWeightLeaf)leaf;
    if (meaning->stage < 0) meaning->stage = 0;
    if (meaning->block < 0) meaning->block = 0;
    if (meaning->layer < 0) meaning->layer = 0;
    return leaf_fits(parts[part].leaves, meaning->leaf);
  }
  return false;
}

static const char *wrapper_skip(const char *name) {
  for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
    size_t length = strlen(wrappers[i]);
    if (strncmp(name, wrappers[i], length) == 0) return name + length;
  }
  return NULL;
}

// Without what FairScale puts into the middle of names. False: too long for any network's name.
static bool name_clean(const char *name, char *clean) {
  static const char *const inserted[] = {"_fsdp_wrapped_module.", "_fpw_module.", "_orig_mod."};
  if (strlen(name) >= NAME_IN_MAX) return false;
  while (*name) {
    size_t skip = 0;
    for (size_t i = 0; i < sizeof inserted / sizeof *inserted && !skip; i++) {
      if (strncmp(name, inserted[i], strlen(inserted[i])) == 0) skip = strlen(inserted[i]);
    }
    if (skip)
      name += skip;
    else
      *clean++ = *name++;
  }
  *clean = '\0';
  return true;
}

bool seer_weight_name_parse(SeerWeightFormat format, const char *name, SeerWeightName *meaning) {
  char clean[NAME_IN_MAX];
  if (!name_clean(name, clean)) return false;
  for (const char *at = clean; at; at = wrapper_skip(at)) {
    for (int part = 0; part < SEER_PART_COUNT; part++) {
      if (part_match(format, (SeerWeightPart)part, at, meaning)) return true;
    }
  }
  return false;
}

// Which of its stage's parts a block is in.
static int vissl_part_of(const SeerNaming *naming, const SeerWeightName *meaning) {
  int before = 0, found = 0;
  for (int stage = 1; stage < meaning->stage; stage++) before += naming->depths[stage - 1];
  for (int i = 0; i < naming->part_count; i++)
    found += naming->part_ends[i] > before && naming->part_ends[i] <= before + meaning->block;
  return found;
}

static int field_print(const SeerNaming *naming, const char *field, size_t length, const SeerWeightName *meaning,
                       char *out, size_t room) {
  if (length == 4)
    return naming->part_count ? snprintf(out, room, "block%d-part%d.", meaning->stage, vissl_part_of(naming, meaning))
                              : 0;
  int number = *field == 's'      ? meaning->stage
               : *field == 'z'    ? meaning->stage - 1
               : *field == 'r'    ? meaning->stage + 1
               : *field == 'i'    ? meaning->block
               : *field == 'j'    ? meaning->block + 1
               : *field == 'k'    ? meaning->layer
               : naming->squeezes ? 3
                                  : 2;
  return snprintf(out, room, "%d", number);
}

// No name of the tables comes near the limit.
static void template_print(const SeerNaming *naming, const char *template, const SeerWeightName *meaning, char *out) {
  size_t at = strlen(out);
  for (const char *t = template; *t && at + 1 < SEER_WEIGHT_NAME_MAX;) {
    if (*t == '{') {
      size_t length = strcspn(t + 1, "}");
      at += (size_t)field_print(naming, t + 1, length, meaning, out + at, SEER_WEIGHT_NAME_MAX - at);
      t += length + 2;
    } else {
      out[at++] = *t++;
      out[at] = '\0';
    }
  }
}

bool seer_weight_name_print(const SeerNaming *naming, const SeerWeightName *meaning, char name[SEER_WEIGHT_NAME_MAX]) {
  SeerWeightFormat format = naming->format;
  const char *template = parts[meaning->part].names[format];
  Place place = parts[meaning->part].place;
  *name = '\0';
  if (!*template) return false;
  if (naming->wrapped)
    template_print(naming, place == PLACE_HEAD ? formats[format].head_wrapper : formats[format].trunk_wrapper, meaning,
                   name);
  if (place == PLACE_BLOCK) template_print(naming, formats[format].block, meaning, name);
  template_print(naming, template, meaning, name);
  template_print(naming, ".", meaning, name);
  template_print(naming, leaf_names[meaning->leaf], meaning, name);
  return true;
}

void seer_weight_name_own(const SeerWeightName *meaning, char name[SEER_WEIGHT_NAME_MAX]) {
  SeerNaming naming = {.format = SEER_FORMAT_SEER};
  seer_weight_name_print(&naming, meaning, name);
}

bool seer_tensor_name_is_head(const char *name) {
  SeerWeightName meaning;
  return seer_weight_name_parse(SEER_FORMAT_SEER, name, &meaning) && seer_part_is_head(meaning.part);
}
