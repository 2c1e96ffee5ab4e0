// The kernels of all targets: rows of c/kernels.def and cuda/kernels.def, their lists split.
#include "codegen/kernel_info.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"

typedef struct KernelRow {
  const char *name, *file, *constants, *pointers;
  bool collective;
  LayerMaker library;
} KernelRow;

static const KernelRow kernel_rows[KERNEL_KIND_COUNT] = {
#define KERNEL(name, constants, pointers) {#name, NULL, constants, pointers, false, LAYER_BY_SEER},
#define COLLECTIVE(name, constants, pointers) {#name, NULL, constants, pointers, true, LAYER_BY_SEER},
#include "codegen/c/kernels.def"
#undef KERNEL
#define CUDA_KERNEL(file, name, constants, pointers) {#name, #file, constants, pointers, false, LAYER_BY_SEER},
#define CUDA_LIBRARY(library, name, constants, pointers) \
  {#name, NULL, constants, pointers, false, LAYER_BY_##library},
#include "codegen/cuda/kernels.def"
#undef CUDA_KERNEL
#undef CUDA_LIBRARY
};

// Copies the next item of a list separated by `separator` into `item`; false at the end.
static bool next_item(const char **list, char separator, char *item, size_t size) {
  while (**list == ' ') (*list)++;
  if (!**list) return false;
  size_t length = 0;
  for (; **list && **list != separator; (*list)++) {
    if (length + 1 >= size) BUG("an item of kernels.def is longer than %zu bytes", size);
    item[length++] = **list;
  }
  while (length && item[length - 1] == ' ') length--;
  item[length] = '\0';
  if (**list) (*list)++;
  return true;
}

static const char *keep(const char *text) {
  char *copy = strdup(text);
  if (!copy) BUG("out of memory");
  return copy;
}

static ConstantKind constant_kind(char mark) {
  return mark == '#' ? CONSTANT_REAL : mark == '%' ? CONSTANT_COUNT : mark == '=' ? CONSTANT_MACRO : CONSTANT_INTEGER;
}

static void split_row(const KernelRow *row, KernelInfo *info) {
  char item[80];
  info->name = row->name;
  info->file = row->file;
  info->collective = row->collective;
  info->library = row->library;
  for (const char *list = row->constants; next_item(&list, ' ', item, sizeof item);) {
    if (info->constant_count == MAX_KERNEL_CONSTANTS) BUG("kernel '%s' has too many constants", row->name);
    ConstantKind kind = constant_kind(item[0]);
    info->constant_kinds[info->constant_count] = kind;
    info->constants[info->constant_count++] = keep(item + (kind != CONSTANT_INTEGER));
  }
  for (const char *list = row->pointers; next_item(&list, ',', item, sizeof item);) {
    char *name = strrchr(item, ' ');
    if (!name) BUG("kernel '%s': pointer '%s' has no type", row->name, item);
    if (info->pointer_count == MAX_KERNEL_POINTERS) BUG("kernel '%s' has too many pointers", row->name);
    info->pointers[info->pointer_count] = keep(name + 1);
    *name = '\0';
    info->pointer_types[info->pointer_count++] = keep(item);
  }
}

// The table is split once and kept for the life of the process.
const KernelInfo *kernel_info(KernelKind kernel) {
  static KernelInfo infos[KERNEL_KIND_COUNT];
  if (!infos[kernel].name) split_row(&kernel_rows[kernel], &infos[kernel]);
  return &infos[kernel];
}

bool kernel_constants_same(KernelKind kernel, const KernelConstant *a, const KernelConstant *b) {
  for (int i = 0; i < kernel_info(kernel)->constant_count; i++) {
    if (a[i].integer != b[i].integer || a[i].number != b[i].number) return false;
  }
  return true;
}
