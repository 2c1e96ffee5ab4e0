// Prints the Makefile of a trainer's folder: needs make, a C compiler and the image libraries, nothing of seer.
#include "codegen/emit.h"

#include <string.h>

static void list_blocks(const Program *program, Writer *out) {
  for (size_t i = 0; program && i < program->segments.count; i++) {
    const ProgramSegment *segment = &program->segments.items[i];
    if ((size_t)segment->function == i) writer_printf(out, " \\\n  blocks/%s.c", segment->function_name);
  }
}

static void list_carried(const Trainer *trainer, const char *folder, Writer *out) {
  for (int i = 0; i < embedded_file_count; i++) {
    if (!trainer_carries(trainer, &embedded_files[i])) continue;
    const char *path = embedded_files[i].path, *suffix = strrchr(path, '.');
    if (strncmp(path, folder, strlen(folder)) == 0 && suffix && strcmp(suffix, ".c") == 0)
      writer_printf(out, " \\\n  %s", path);
  }
}

// By name: the folder may hold what an earlier build left.
static void list_sources(const Trainer *trainer, Writer *out) {
  writer_text(out, "blocks :=");
  for (int i = 0; i < trainer->world_count; i++) {
    list_blocks(trainer_own_train(trainer, &trainer->worlds[i]), out);
    list_blocks(trainer->worlds[i].features, out);
  }
  writer_text(out, "\nplain :=");
  for (int i = 0; i < trainer->world_count; i++) {
    const char *prefix = trainer->worlds[i].prefix;
    writer_printf(out, " %sstep.c %sprogram.c", prefix, prefix);
  }
  writer_text(out, trainer->modules ? " plan_page.c modules.c libraries.c" : " plan_page.c");
  if (trainer->reader) writer_text(out, " reader.c");
  list_carried(trainer, "runtime/", out);
  writer_text(out, "\nkernels :=");
  list_carried(trainer, "kernels/", out);
  writer_printf(out, "\n# Of GPUs.\ncode :=%s\n", trainer->modules ? " objects/code.o" : "");
  writer_printf(out, "# For the processor, within the one for GPUs.\ncarried :=%s\n",
                trainer->carried ? " carried/trainer" : "");
}

void print_makefile(const Trainer *trainer, Writer *out) {
  writer_printf(out, "# Builds the trainer '%s'. Written by seerc; edits are lost.\n", trainer->settings.name);
  writer_text(out,
              "# Needs make, a C compiler and the libraries below (Debian: libjpeg62-turbo-dev libpng-dev libwebp-dev "
              "libjansson-dev\n"
              "# libxxhash-dev zlib1g-dev). They are linked in statically where the system has them so, so that the "
              "trainer can be\n"
              "# copied to another machine.\n"
              "OUT ?= trainer\n");
  const char *plus = strchr(trainer->settings.cpu, '+');  // "x86-64-v4+bf16"
  int level = (int)strcspn(trainer->settings.cpu, "+");
  writer_printf(out, "MARCH ?= -march=%.*s%s%s\n", level, trainer->settings.cpu, plus ? " -mavx512" : "",
                plus ? plus + 1 : "");
  writer_printf(
      out, "SANITIZE ?= %s\n",
      trainer->sanitize ? "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g" : "");
  writer_printf(out, "OPTIMIZE ?= %s\n", trainer->sanitize ? "-O1" : "-O2");
  writer_text(out, "CFLAGS ?=\n");
  writer_printf(out, "# What kernels store images as.\nelements :=%s\n",
                trainer->tuning.images_bf16 ? " -DIMAGES_BF16" : "");
  writer_text(
      out,
      "warnings := -Wall -Wextra -Wpedantic\n"
      "common := -std=c11 -D_GNU_SOURCE -I. $(warnings) $(SANITIZE) $(elements) $(CFLAGS)\n"
      "# Only what computes is compiled for MARCH: the rest must still run to say that a processor is too old.\n"
      "# Kernels may contract a*b+c; nothing else is allowed to change a bit.\n");
  writer_printf(
      out, "kernel_flags := $(MARCH) $(OPTIMIZE) -ffp-contract=fast -fno-math-errno -fno-trapping-math -DLANES=%d\n",
      (int)trainer->tuning.lanes);
  writer_text(out,
              "# Loops over pixels, which -O2 of some compilers leaves scalar.\n"
      "data_flags := $(MARCH) $(OPTIMIZE:-O2=-O3)\n"
              "# The rest runs a program: a fifth of the build's time is saved.\n"
              "plain_flags := -O1\n\n");
  list_sources(trainer, out);
  writer_text(
      out,
      "# The longest first.\n"
      "objects := $(code) $(kernels:%.c=objects/%.o) $(blocks:%.c=objects/%.o) $(plain:%.c=objects/%.o)\n"
      "found = $(shell $(CC) -print-file-name=lib$(1).a)\n"
      "static_or_shared = $(if $(findstring /,$(call found,$(1))),$(call found,$(1)),-l$(1))\n"
      "libraries := $(foreach l,jpeg png16 webp jansson xxhash z,$(call static_or_shared,$(l))) -lm -lpthread -ldl\n\n"
      "$(OUT): $(objects)\n"
      "\t$(CC) $(SANITIZE) -o $@ $(objects) $(libraries)\n\n"
      "objects/kernels/%.o: kernels/%.c kernels/kernels.h kernels/tuned.h\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) $(common) $(kernel_flags) -c -o $@ $<\n\n"
      "# What the processor can do at most is measured with the vectors that kernels have; heads multiply with them.\n"
      "objects/runtime/peak.o objects/runtime/evaluate/matrix.o: objects/%.o: %.c\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) $(common) $(kernel_flags) -c -o $@ $<\n\n"
      "# The same in every trainer.\n"
      "objects/runtime/%.o: runtime/%.c\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) $(common) $(plain_flags) -c -o $@ $<\n\n"
      "objects/runtime/data/%.o: runtime/data/%.c\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) $(common) $(data_flags) -c -o $@ $<\n\n"
      "# What loops over many numbers or bytes.\n"
      "$(patsubst %,objects/runtime/%.o,crc32c evaluate/head evaluate/mlp evaluate/statistics init knn pairwise random "
      "\\\n  report sample): plain_flags := $(OPTIMIZE)\n\n"
      "objects/code.o: code.S $(carried) $(wildcard modules/*/*)\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) -c -o $@ $<\n\n"
      "carried/trainer: always\n"
      "\t$(MAKE) -C carried OUT=trainer\n\n"
      "objects/%.o: %.c model.h\n"
      "\t@mkdir -p $(@D)\n"
      "\t$(CC) $(common) $(plain_flags) -c -o $@ $<\n\n"
      "clean:\n"
      "\trm -rf objects $(OUT)\n"
      "\t$(if $(carried),$(MAKE) -C carried OUT=trainer clean)\n\n"
      ".PHONY: always clean\n");
  if (trainer->modules)
    writer_text(out,
                "# Kernels are launched by their numbers.\n"
                "$(filter-out objects/runtime/%,$(blocks:%.c=objects/%.o) $(plain:%.c=objects/%.o)): modules.h\n");
}
