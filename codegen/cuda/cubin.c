// See cubin.h. Every offset is checked against the file's size before it is followed.
#include "codegen/cuda/cubin.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum { INFO_FRAME = 0x11, INFO_REGISTERS = 0x2f, INFO_WITH_SIZE = 4, INSTRUCTION_BYTES = 16, KIND_BITS = 0x1ff };

typedef struct Image {
  const unsigned char *bytes;
  size_t size;
  Elf64_Ehdr header;
  Elf64_Shdr names;
} Image;

static bool inside(const Image *image, uint64_t offset, uint64_t bytes) {
  return offset <= image->size && bytes <= image->size - offset;
}

static bool section_get(const Image *image, size_t index, Elf64_Shdr *section) {
  uint64_t at = image->header.e_shoff + (uint64_t)index * sizeof *section;
  if (index >= image->header.e_shnum || image->header.e_shoff > image->size || !inside(image, at, sizeof *section))
    return false;
  memcpy(section, image->bytes + at, sizeof *section);
  return section->sh_type == SHT_NOBITS || inside(image, section->sh_offset, section->sh_size);
}

// A string of a section of them; NULL: outside of it, or without an end.
static const char *string_get(const Image *image, const Elf64_Shdr *strings, uint64_t at) {
  if (at >= strings->sh_size) return NULL;
  const char *text = (const char *)image->bytes + strings->sh_offset + at;
  return memchr(text, 0, strings->sh_size - at) ? text : NULL;
}

static bool image_open(Image *image, const void *bytes, size_t size) {
  *image = (Image){.bytes = bytes, .size = size};
  if (size < sizeof image->header) return false;
  memcpy(&image->header, bytes, sizeof image->header);
  return memcmp(image->header.e_ident, ELFMAG, SELFMAG) == 0 && image->header.e_ident[EI_CLASS] == ELFCLASS64 &&
         section_get(image, image->header.e_shstrndx, &image->names);
}

static CubinKernel *kernel_find(Cubin *cubin, const char *name) {
  for (size_t i = 0; i < cubin->count; i++) {
    if (strcmp(cubin->items[i].name, name) == 0) return &cubin->items[i];
  }
  return NULL;
}

static void code_count(const Image *image, const Elf64_Shdr *section, CubinKernel *kernel) {
  for (uint64_t at = 0; at + INSTRUCTION_BYTES <= section->sh_size; at += INSTRUCTION_BYTES) {
    uint64_t low;
    memcpy(&low, image->bytes + section->sh_offset + at, sizeof low);
    kernel->instructions++;
    switch (low & KIND_BITS) {
#define CUBIN_COUNT(name, code) \
  case code: kernel->name++; break;
      CUBIN_INSTRUCTIONS(CUBIN_COUNT)
#undef CUBIN_COUNT
      default: break;
    }
  }
}

// The name of symbol `index`; NULL where there is none.
static const char *symbol_name(const Image *image, uint32_t index) {
  Elf64_Shdr section, strings;
  for (size_t i = 0; section_get(image, i, &section); i++) {
    if (section.sh_type != SHT_SYMTAB) continue;
    Elf64_Sym symbol;
    if ((uint64_t)index >= section.sh_size / sizeof symbol || !section_get(image, section.sh_link, &strings))
      return NULL;
    memcpy(&symbol, image->bytes + section.sh_offset + (uint64_t)index * sizeof symbol, sizeof symbol);
    return string_get(image, &strings, symbol.st_name);
  }
  return NULL;
}

// .nv.info: records of a format, an attribute, two bytes, and, in one of the formats, as many bytes as those two say.
// Functions that kernels call have some as well.
static void info_read(const Image *image, const Elf64_Shdr *section, Cubin *cubin) {
  const unsigned char *info = image->bytes + section->sh_offset;
  for (uint64_t at = 0; at + 4 <= section->sh_size;) {
    uint64_t size = info[at] == INFO_WITH_SIZE ? (uint64_t)(info[at + 2] | info[at + 3] << 8) : 0;
    bool wanted = info[at + 1] == INFO_FRAME || info[at + 1] == INFO_REGISTERS;
    if (wanted && size >= 8 && at + 4 + size <= section->sh_size) {
      uint32_t symbol, value;
      memcpy(&symbol, info + at + 4, sizeof symbol);
      memcpy(&value, info + at + 8, sizeof value);
      const char *name = symbol_name(image, symbol);
      CubinKernel *kernel = name ? kernel_find(cubin, name) : NULL;
      if (kernel && info[at + 1] == INFO_FRAME) kernel->stack_bytes = value;
      if (kernel && info[at + 1] == INFO_REGISTERS) kernel->registers = value;
    }
    at += 4 + size;
  }
}

bool cubin_read(Arena *arena, const void *bytes, size_t size_bytes, Cubin *cubin) {
  static const char code[] = ".text.";
  const size_t length = sizeof code - 1;
  Image image;
  Elf64_Shdr section;
  *cubin = (Cubin){0};
  if (!image_open(&image, bytes, size_bytes) || image.header.e_machine != EM_CUDA) return false;
  for (size_t i = 0; i < image.header.e_shnum; i++) {
    const char *name = section_get(&image, i, &section) ? string_get(&image, &image.names, section.sh_name) : NULL;
    if (!name) return false;
    if (strncmp(name, code, length) != 0 || section.sh_type != SHT_PROGBITS) continue;
    CubinKernel kernel = {.name = arena_string(arena, name + length, strlen(name) - length)};
    code_count(&image, &section, &kernel);
    arena_push(arena, cubin, CubinKernel, kernel);
  }
  for (size_t i = 0; section_get(&image, i, &section); i++) {
    if (strcmp(string_get(&image, &image.names, section.sh_name), ".nv.info") == 0) info_read(&image, &section, cubin);
  }
  return true;
}

// What kernels of convolutions must have; weights are packed, and their gradients' splits added up, by others.
static const struct Convolution {
  const char *name;
  bool reads_weights;
} convolutions[] = {{"conv2d_forward", true}, {"conv2d_backward_input", true}, {"conv2d_backward_weight", false}};

static const char *kernel_fault(Arena *arena, const CubinKernel *kernel, bool sm_90a) {
  if (kernel->local_loads + kernel->local_stores + kernel->stack_bytes > 0)
    return arena_printf(arena, "kernel '%s' keeps %u bytes of a thread in memory: it has too few registers",
                        kernel->name, kernel->stack_bytes);
  for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) {
    if (strcmp(kernel->name, convolutions[i].name) != 0) continue;
    if (!(sm_90a ? kernel->warpgroup_products : kernel->warp_products))
      return arena_printf(arena, "kernel '%s' does not multiply on the tensor cores%s", kernel->name,
                          sm_90a ? " by warpgroups" : "");
    if (sm_90a && convolutions[i].reads_weights && (!kernel->bulk_copies || !kernel->mbarriers))
      return arena_printf(arena, "kernel '%s' does not copy weights in bulk", kernel->name);
  }
  return NULL;
}

const char *cubin_fault(Arena *arena, const Cubin *cubin, const char *architecture, const char *log) {
  const char *serialized = strstr(log, "(C75");
  if (serialized) return arena_printf(arena, "its products wait for each other: %s", serialized);
  for (size_t i = 0; i < cubin->count; i++) {
    const char *fault = kernel_fault(arena, &cubin->items[i], strcmp(architecture, "sm_90a") == 0);
    if (fault) return fault;
  }
  return cubin->count ? NULL : "there is no kernel in it";
}

// The words at a symbol of a section's data.
static bool words_get(const Image *image, const Elf64_Sym *symbol, uint32_t *words, int count) {
  Elf64_Shdr section;
  uint64_t bytes = (uint64_t)count * sizeof *words;
  if (!section_get(image, symbol->st_shndx, &section) || section.sh_type == SHT_NOBITS ||
      symbol->st_value < section.sh_addr || section.sh_size < bytes ||
      symbol->st_value - section.sh_addr > section.sh_size - bytes)
    return false;
  memcpy(words, image->bytes + section.sh_offset + (symbol->st_value - section.sh_addr), bytes);
  return true;
}

bool cubin_words(const void *bytes, size_t size_bytes, const char *name, uint32_t *words, int count) {
  Image image;
  Elf64_Shdr section, strings;
  if (!image_open(&image, bytes, size_bytes)) return false;
  for (size_t i = 0; section_get(&image, i, &section); i++) {
    bool lists = section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM;
    if (!lists || !section_get(&image, section.sh_link, &strings)) continue;
    for (uint64_t s = 0; s < section.sh_size / sizeof(Elf64_Sym); s++) {
      Elf64_Sym symbol;
      memcpy(&symbol, image.bytes + section.sh_offset + s * sizeof symbol, sizeof symbol);
      const char *found = string_get(&image, &strings, symbol.st_name);
      if (found && strcmp(found, name) == 0 && symbol.st_shndx != SHN_UNDEF)
        return words_get(&image, &symbol, words, count);
    }
  }
  return false;
}

// In PTX, data is a line: `.global .align 4 .b8 NAME[8] = {0, 1, 0, 0, 0, 0, 1};`, zeros at the end left out.
bool ptx_words(const char *ptx, const char *name, uint32_t *words, int count) {
  enum { TYPE_MOST = 4 };
  size_t length = strlen(name);
  for (const char *at = strstr(ptx, name); at; at = strstr(at + length, name)) {
    if (at - ptx < TYPE_MOST || at[-1] != ' ' || at[length] != '[') continue;
    const char *type = at - 1, *end = strchr(at, ';'), *value = strchr(at, '{');
    while (type > ptx && type[-1] != '.') type--;
    int bits = (int)strtol(type + 1, NULL, 10);
    if (!end || !value || value > end || (bits != 8 && bits != 32)) continue;
    memset(words, 0, (size_t)count * sizeof *words);
    int values = count * 32 / bits;
    for (int i = 0; i < values && value && value < end; i++) {
      words[i * bits / 32] |= (uint32_t)strtoul(value + 1, NULL, 10) << i * bits % 32;
      value = strchr(value + 1, ',');
    }
    return true;
  }
  return false;
}
