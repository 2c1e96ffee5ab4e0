// Opening weights; see file.h. Only headers are read here.
#include "runtime/weights/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/snapshot.h"
#include "runtime/snapshot_reader.h"
#include "runtime/weights/shards.h"

const char seer_pickle_conversion[] =
    "python3 -c \"import itertools,json,sys,torch;"
    "f=lambda d,p='':[(p[1:],d)] if torch.is_tensor(d) else [x for k,v in d.items() for x in f(v,p+'.'+str(k))] "
    "if hasattr(d,'items') else [x for k,v in enumerate(d) for x in f(v,p+'.'+str(k))] if type(d) in (list,tuple) else "
    "[];"
    "t=[(n,v.float().contiguous().numpy()) for n,v in f(torch.load(sys.argv[1],map_location='cpu',weights_only=True)) "
    "if v.is_floating_point()];"
    "e=list(itertools.accumulate(a.nbytes for n,a in t));"
    "h=json.dumps({n:{'dtype':'F32','shape':list(a.shape),'data_offsets':[z-a.nbytes,z]} "
    "for (n,a),z in zip(t,e)}).encode();"
    "o=open(sys.argv[2],'wb');o.write(len(h).to_bytes(8,'little')+h);[a.tofile(o) for n,a in t]\" IN OUT";

static bool has_suffix(const char *text, const char *suffix) {
  size_t length = strlen(text), end = strlen(suffix);
  return length >= end && strcmp(text + length - end, suffix) == 0;
}

// By what it is called and by how it starts: PyTorch's zip archives and bare pickles.
static bool is_pickle(const char *path) {
  static const char *const suffixes[] = {".pt", ".pth", ".bin", ".torch", ".pyth", ".pkl", ".pickle", ".ckpt"};
  unsigned char start[9] = {0};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    if (has_suffix(path, suffixes[i])) return true;
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd >= 0 ? read(fd, start, sizeof start) : 0;
  if (fd >= 0) close(fd);
  // In a safetensors file these are a length, and the header follows.
  bool bare = start[0] == 0x80 && start[1] >= 2 && start[1] <= 5;
  return got >= 4 && start[8] != '{' && (bare || memcmp(start, "PK\3\4", 4) == 0);
}

static SeerStatus pickle_refuse(const char *path) {
  return seer_fail(SEER_INPUT,
                   "'%s' is a pickle, a program that runs when it is opened: seer never does\n"
                   "note: where you trust it, this makes a safetensors file of it (docs/weights.md):\n%s",
                   path, seer_pickle_conversion);
}

static SeerStatus snapshot_open(const char *path, SeerWeightFile *file) {
  SeerPath folder, manifest;
  SeerSnapshotReader reader = {.tensors = NULL};
  SeerStatus status = seer_path_print(&folder, "%s", path);
  if (!status) status = seer_path_print(&manifest, "%s/%s", path, seer_manifest_name);
  if (!status && !seer_path_exists(manifest.text)) status = seer_snapshot_find_newest(path, &folder);
  if (!status) status = seer_snapshot_reader_begin(folder.text, &reader);
  if (!status) status = seer_snapshot_reader_verify(&reader, 0, 1);
  if (!status) status = seer_snapshot_reader_open(&reader);
  file->tensors = reader.tensors;
  file->is_snapshot = file->is_seer = true;
  if (!status) snprintf(file->step, sizeof file->step, "%lld", (long long)reader.manifest.snapshot.step);
  reader.tensors = NULL;
  seer_snapshot_reader_release(&reader);
  return status;
}

static SeerStatus file_open(const char *path, SeerWeightFile *file) {
  SeerPath only;
  SeerStatus status = seer_path_print(&only, "%s", path);
  if (!status) status = seer_collection_open(&only, 1, &file->tensors);
  if (status || !seer_collection_count(file->tensors)) return status;
  const SeerSafetensors *stored = seer_collection_held(file->tensors, 0)->file;
  const char *step = seer_safetensors_metadata(stored, "step");
  file->is_seer = seer_safetensors_metadata(stored, "seer") != NULL;
  if (step && strspn(step, "0123456789") == strlen(step) && strlen(step) < sizeof file->step)
    snprintf(file->step, sizeof file->step, "%s", step);
  return SEER_OK;
}

static SeerStatus tensors_open(const char *path, SeerWeightFile *file) {
  if (!seer_path_is_folder(path)) {
    if (has_suffix(path, ".json")) return seer_shards_open(path, &file->tensors);
    return is_pickle(path) ? pickle_refuse(path) : file_open(path, file);
  }
  SeerPath inside;
  bool found = false;
  SeerStatus status = seer_shards_find(path, &inside, &found);
  if (status) return status;
  return found ? tensors_open(inside.text, file) : snapshot_open(path, file);
}

// Of those that explain most names, the first; seer's only for files that have what torchvision's cannot.
static SeerWeightFormat format_decide(const SeerWeightFile *file) {
  int best = 0, best_count = -1;
  SeerWeightName meaning;
  for (int format = 0; format < SEER_FORMAT_COUNT; format++) {
    if (format == SEER_FORMAT_SEER && !file->is_seer) continue;
    int count = 0;
    for (int i = 0; i < seer_collection_count(file->tensors); i++)
      count += seer_weight_name_parse((SeerWeightFormat)format, seer_collection_held(file->tensors, i)->name, &meaning);
    if (count > best_count) {
      best = format;
      best_count = count;
    }
  }
  if (best != SEER_FORMAT_TORCHVISION) return (SeerWeightFormat)best;
  for (int i = 0; i < seer_collection_count(file->tensors); i++) {
    const char *name = seer_collection_held(file->tensors, i)->name;
    if (seer_weight_name_parse(SEER_FORMAT_SEER, name, &meaning) &&
        !seer_weight_name_parse(SEER_FORMAT_TORCHVISION, name, &meaning))
      return SEER_FORMAT_SEER;
  }
  return SEER_FORMAT_TORCHVISION;
}

static bool is_of_optimizer(const char *name) { return strstr(name, "optimizer.") || strstr(name, "optimizer_state."); }

static int weight_compare(const void *a, const void *b) {
  const SeerWeight *x = a, *y = b;
  if (x->understood != y->understood) return x->understood ? -1 : 1;
  return x->understood ? strcmp(x->name, y->name) : strcmp(x->own, y->own);
}

static SeerStatus names_read(SeerWeightFile *file) {
  int held = seer_collection_count(file->tensors);
  file->format = format_decide(file);
  file->weights = calloc((size_t)held + 1, sizeof *file->weights);
  if (!file->weights) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  const char *before = "";
  for (int i = 0; i < held; i++) {
    SeerWeight *weight = &file->weights[file->count];
    weight->held = seer_collection_held(file->tensors, i);
    weight->own = weight->held->name;
    if (i > 0 && strcmp(weight->own, before) == 0) continue;  // another piece
    before = weight->own;
    SeerStatus status = seer_collection_check(file->tensors, weight->held, file->path.text);
    if (status) return status;
    if (is_of_optimizer(weight->own)) {
      file->optimizer_count++;
      continue;
    }
    weight->understood = seer_weight_name_parse(file->format, weight->own, &weight->meaning);
    if (weight->understood && weight->meaning.leaf == SEER_LEAF_BATCHES) continue;
    if (weight->understood) seer_weight_name_own(&weight->meaning, weight->name);
    file->count++;
  }
  qsort(file->weights, (size_t)file->count, sizeof *file->weights, weight_compare);
  for (int i = 1; i < file->count; i++) {
    const SeerWeight *a = &file->weights[i - 1], *b = &file->weights[i];
    if (b->understood && strcmp(a->name, b->name) == 0)
      return seer_fail(SEER_INPUT, "'%s' holds one tensor twice: as '%s' and as '%s'\nnote: take one of the two out",
                       file->path.text, a->own, b->own);
  }
  return SEER_OK;
}

SeerStatus seer_weight_file_open(const char *path, SeerWeightFile *file) {
  *file = (SeerWeightFile){.step = "0"};
  SeerStatus status = seer_path_print(&file->path, "%s", path);
  if (!status) status = tensors_open(path, file);
  if (!status) status = names_read(file);
  if (status) seer_weight_file_close(file);
  return status;
}

void seer_weight_file_close(SeerWeightFile *file) {
  seer_collection_close(file->tensors);
  free(file->weights);
  file->tensors = NULL;
  file->weights = NULL;
  file->count = 0;
}

const SeerWeight *seer_weight_find(const SeerWeightFile *file, const char *name) {
  SeerWeight key = {.own = name};
  SeerWeightName meaning;
  key.understood = seer_weight_name_parse(SEER_FORMAT_SEER, name, &meaning);
  if (key.understood) seer_weight_name_own(&meaning, key.name);
  return bsearch(&key, file->weights, (size_t)file->count, sizeof key, weight_compare);
}

// The few numbers of a first layer [width, 3, side, side], the first and the last of its three channels exchanged.
static SeerStatus turned_read(const SeerWeightFile *file, const SeerHeld *held, uint64_t begin, uint64_t count,
                              float *values) {
  uint64_t area = (uint64_t)(held->size[2] * held->size[3]), all = (uint64_t)held->size[0] * 3 * area;
  float *whole = malloc((all + 1) * sizeof *whole);
  if (!whole) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  SeerStatus status = seer_collection_read(file->tensors, held, 0, all, whole);
  for (uint64_t i = 0; i < count && !status; i++) {
    uint64_t at = begin + i, filter = at / (3 * area), channel = at / area % 3;
    values[i] = whole[(filter * 3 + 2 - channel) * area + at % area];
  }
  free(whole);
  return status;
}

SeerStatus seer_weight_read(const SeerWeightFile *file, const SeerWeight *weight, uint64_t begin, uint64_t count,
                            float *values) {
  const SeerHeld *held = weight->held;
  if (file->format == SEER_FORMAT_PYCLS && weight->understood && weight->meaning.part == SEER_PART_STEM_CONV &&
      held->rank == 4 && held->size[1] == 3)
    return turned_read(file, held, begin, count, values);
  return seer_collection_read(file->tensors, held, begin, count, values);
}

SeerStatus seer_weight_file_network(const SeerWeightFile *file, SeerNetwork *network, bool *found) {
  SeerMeant *meant = calloc((size_t)file->count + 1, sizeof *meant);
  int count = 0;
  if (!meant) return seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  for (int i = 0; i < file->count && file->weights[i].understood; i++) {
    const SeerWeight *weight = &file->weights[i];
    meant[count++] = (SeerMeant){weight->meaning, weight->held->rank, weight->held->size};
  }
  *found = seer_network_infer(meant, count, network);
  free(meant);
  return SEER_OK;
}

SeerStatus seer_weight_file_no_network(const SeerWeightFile *file, const SeerNetwork *network) {
  const SeerNaming naming = {.format = file->format, .squeezes = network->se_ratio > 0};
  SeerWeightName gap;
  char name[SEER_WEIGHT_NAME_MAX];
  int understood = 0;
  while (understood < file->count && file->weights[understood].understood) understood++;
  SeerStatus status =
      seer_fail(SEER_INPUT, "'%s' holds no whole RegNet: of %d tensors, %d have names that '%s' gives to a RegNet's",
                file->path.text, file->count, understood, seer_format_name(file->format));
  if (understood < file->count) seer_note(status, "not among them: '%.100s'", file->weights[understood].own);
  if (seer_network_gap(network, &gap) && seer_weight_name_print(&naming, &gap, name))
    seer_note(status, "its '%s' is missing, or no convolution", name);
  return status;
}
