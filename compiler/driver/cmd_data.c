// seerc data: pictures as shards. What it does lies in compiler/data; here are its subcommands and their options.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/data/by.h"
#include "compiler/data/index_make.h"
#include "compiler/data/list.h"
#include "compiler/data/near.h"
#include "compiler/data/pack.h"
#include "compiler/data/split.h"
#include "compiler/data/verify.h"
#include "compiler/driver/driver.h"
#include "compiler/driver/keep.h"
#include "lang/schema.h"
#include "runtime/data/keep.h"
#include "runtime/engine.h"
#include "runtime/files.h"
#include "runtime/page.h"
#include "runtime/who_page.h"

static const uint64_t usual_shard_bytes = (uint64_t)1 << 30;

typedef struct DataCommand {
  Invocation *invocation;
  const char *name;
  const char *const *sources;
  int source_count, jobs;
  const SeerKeep *keep;  // NULL: all pictures
  Writer out;
} DataCommand;

static bool read_number(const char *text, uint64_t most, uint64_t *value) {
  char *end;
  errno = 0;
  unsigned long long number = strtoull(text, &end, 10);
  *value = number;
  return isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && number <= most;
}

// "256MiB", "1GB", "1000000"
static bool read_size(const char *text, uint64_t *bytes) {
  static const struct {
    const char *unit;
    uint64_t bytes;
  } units[] = {{"", 1},          {"kB", 1000},     {"MB", 1000000},           {"GB", 1000000000},
               {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", (uint64_t)1 << 30}};
  size_t digits = strspn(text, "0123456789");
  char number[24];
  if (digits == 0 || digits >= sizeof number) return false;
  memcpy(number, text, digits);
  number[digits] = '\0';
  if (!read_number(number, UINT64_MAX, bytes)) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(text + digits, units[i].unit) == 0) return !__builtin_mul_overflow(*bytes, units[i].bytes, bytes);
  }
  return false;
}

static const char *path_trim(Arena *arena, const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  return arena_string(arena, path, length);
}

static int data_pack_command(DataCommand *command) {
  Invocation *invocation = command->invocation;
  const char *folder = option_text(invocation, "out"), *size = option_text(invocation, "shard-bytes");
  DataPackOptions options = {.sources = command->sources,
                             .source_count = command->source_count,
                             .shard_bytes = usual_shard_bytes,
                             .jobs = command->jobs,
                             .is_perceptual = option_is_set(invocation, "perceptual-hash")};
  if (folder == NULL || *folder == '\0')
    return usage_error(invocation, "'data pack' needs a folder for the shards: -o DIR");
  if (size != NULL && (!read_size(size, &options.shard_bytes) || options.shard_bytes == 0))
    return usage_error(invocation, "'--shard-bytes' takes a size such as 256MiB, not '%s'", size);
  options.folder = path_trim(invocation->arena, folder);
  return driver_report_runtime("data", data_pack(invocation->arena, &options, &command->out));
}

static int data_index_command(DataCommand *command) {
  Arena *arena = command->invocation->arena;
  const char *path = option_text(command->invocation, "out");
  if (path == NULL) {
    const char *source = command->sources[0];
    if (command->source_count != 1 || !seer_path_is_folder(source))
      return usage_error(command->invocation,
                         "'data index' of more than one folder needs a name for the index: -o INDEX");
    path = arena_printf(arena, "%s/%s", path_trim(arena, source), SEER_INDEX_NAME);
  }
  DataIndexOptions options = {.sources = command->sources,
                              .source_count = command->source_count,
                              .path = path,
                              .jobs = command->jobs,
                              .reads_pictures = true,
                              .is_perceptual = option_is_set(command->invocation, "perceptual-hash")};
  DataBuilt built;
  SeerStatus status = data_index_make(arena, &options, &built);
  if (status != SEER_OK) return driver_report_runtime("data", status);
  writer_printf(&command->out, "%s: %llu pictures in %llu files\n", path, (unsigned long long)built.pictures,
                (unsigned long long)built.shards);
  if (built.left_out > 0)
    writer_printf(&command->out,
                  "note: %llu are left out, or their metadata: of kinds that seer does not read, or not "
                  "to be read at all\n",
                  (unsigned long long)built.left_out);
  data_built_print(&built, &command->out);
  return EXIT_DONE;
}

// --keep as data.keep; EXIT_DONE, or another code after messages.
static int read_keep(DataCommand *command) {
  const Invocation *invocation = command->invocation;
  const char *text = option_text(invocation, "keep");
  if (text == NULL) return EXIT_DONE;
  SourceMap *sources = source_map_make(invocation->arena);
  DiagList *diags = diag_list_make(invocation->arena, sources);
  const SpecValue *condition = spec_condition(invocation->arena, sources, diags, "--keep", text);
  if (condition != NULL) command->keep = keep_from_condition(invocation->arena, condition);
  return driver_report(invocation, diags);
}

// Leaves what --keep holds for, and says how much that is.
static SeerStatus set_keep(const DataCommand *command, SeerIndex *index) {
  if (command->keep == NULL) return SEER_OK;
  const char *temporary = getenv("TMPDIR");
  SeerKeepCounts counts = {0};
  char text[512];
  SeerStatus status = seer_index_keep(index, command->keep, command->jobs,
                                      temporary != NULL && *temporary ? temporary : "/tmp", &counts);
  if (status != SEER_OK) return status;
  seer_keep_describe(command->keep, &counts, text, sizeof text);
  fprintf(stderr, "seerc: note: %s\n", text);
  return SEER_OK;
}

static SeerStatus set_open(const DataCommand *command, bool reads_pictures, SeerIndex **index) {
  DataIndexOptions options = {.sources = command->sources,
                              .source_count = command->source_count,
                              .jobs = command->jobs,
                              .reads_pictures = reads_pictures || command->keep != NULL,
                              .is_perceptual = option_is_set(command->invocation, "near-duplicates")};
  SeerStatus status = data_set_open(command->invocation->arena, &options, index);
  return status == SEER_OK ? set_keep(command, *index) : status;
}

static int data_list_command(DataCommand *command) {
  SeerIndex *index;
  SeerStatus status = set_open(command, false, &index);
  if (status == SEER_OK) status = data_list(index, option_is_set(command->invocation, "json"));
  seer_index_close(index);
  return driver_report_runtime("data", status);
}

// "country,gender" into `columns`; how many, -1: none, too many, or one twice.
static int read_columns(Arena *arena, const char *text, const char **columns) {
  int count = 0;
  for (const char *at = text;; at++) {
    size_t length = strcspn(at, ",");
    if (length == 0 || count == SEER_COLUMNS_MAX) return -1;
    columns[count] = arena_string(arena, at, length);
    for (int i = 0; i < count; i++) {
      if (strcmp(columns[i], columns[count]) == 0) return -1;
    }
    count++;
    at += length;
    if (*at == '\0') return count;
  }
}

// The same as a page that a browser shows.
static SeerStatus who_write(const char *path, const SeerComposition *composition, const SeerReference *reference) {
  char *text = NULL, sample[128];
  size_t bytes = 0;
  FILE *page = open_memstream(&text, &bytes);
  if (page == NULL) return seer_fail(SEER_MACHINE, "out of memory for the page");
  snprintf(sample, sizeof sample, "Counted: all %llu pictures.", (unsigned long long)composition->pictures);
  SeerWho who = {.composition = composition,
                 .sample = sample,
                 .references = reference,
                 .reference_count = reference != NULL ? 1 : 0};
  seer_page_begin(page, "Pictures by the values of their metadata");
  SeerStatus status = seer_who_print(page, &who);
  seer_page_end(page);
  if (fclose(page) != 0 && status == SEER_OK) status = seer_fail(SEER_MACHINE, "out of memory for the page");
  if (status == SEER_OK) status = seer_file_replace(path, text, bytes);
  free(text);
  return status;
}

static SeerStatus stats_by(DataCommand *command, const char *const *columns, int count) {
  Arena *arena = command->invocation->arena;
  const char *file = option_text(command->invocation, "reference");
  SeerComposition composition = {.columns = 0};
  SeerReference reference;
  SeerIndex *index = NULL;
  SeerStatus status = file != NULL ? by_reference_load(arena, file, columns, count, &reference) : SEER_OK;
  if (status == SEER_OK) status = set_open(command, false, &index);
  if (status == SEER_OK) status = by_count(index, columns, count, &composition);
  const char *html = option_text(command->invocation, "html");
  if (status == SEER_OK && html != NULL)
    status = who_write(html, &composition, file != NULL ? &reference : NULL);
  if (status == SEER_OK)
    status = by_print(&composition, file != NULL ? &reference : NULL, option_is_set(command->invocation, "json"),
                      &command->out);
  seer_composition_release(&composition);
  seer_index_close(index);
  return status;
}

static int data_stats_command(DataCommand *command) {
  const Invocation *invocation = command->invocation;
  const char *by = option_text(invocation, "by"), *columns[SEER_COLUMNS_MAX];
  int count = by != NULL ? read_columns(invocation->arena, by, columns) : 0;
  if (count < 0)
    return usage_error(invocation, "'--by' takes columns such as country,gender, each once and at most %d, not '%s'",
                       SEER_COLUMNS_MAX, by);
  if (option_is_set(invocation, "reference") && count == 0)
    return usage_error(invocation, "'--reference' needs a column to compare: --by COLUMN");
  if (option_is_set(invocation, "html") && count == 0)
    return usage_error(invocation, "'--html' needs columns to show: --by COLUMN,...");
  const char *text = option_text(invocation, "distance");
  bool near = option_is_set(invocation, "near-duplicates");
  uint64_t distance = DATA_NEAR_USUAL;
  if (by != NULL && near) return usage_error(invocation, "'--by' and '--near-duplicates' are two questions: ask one");
  if (text != NULL && (!near || !read_number(text, DATA_NEAR_MOST, &distance)))
    return usage_error(invocation, "'--distance' takes a whole number of bits up to %d, beside '--near-duplicates'",
                       DATA_NEAR_MOST);
  if (by != NULL) return driver_report_runtime("data", stats_by(command, columns, count));
  SeerIndex *index;
  SeerStatus status = set_open(command, true, &index);
  if (status == SEER_OK)
    status =
        data_stats(index, near ? (int)distance : -1, command->jobs, option_is_set(invocation, "json"), &command->out);
  if (status != SEER_OK) command->out.size = 0;
  seer_index_close(index);
  return driver_report_runtime("data", status);
}

static int data_verify_command(DataCommand *command) {
  SeerIndex *index;
  uint64_t faults = 0;
  SeerStatus status = set_open(command, true, &index);
  if (status == SEER_OK) status = data_verify(index, command->jobs, &command->out, &faults);
  if (status == SEER_OK)
    writer_printf(&command->out, "%lld pictures in %lld files, %llu faults\n", (long long)seer_index_count(index),
                  (long long)seer_index_shard_count(index), (unsigned long long)faults);
  seer_index_close(index);
  return status != SEER_OK ? driver_report_runtime("data", status) : faults > 0 ? EXIT_INPUT : EXIT_DONE;
}

// "train=0.9,test=0.1"
static bool read_parts(Arena *arena, const char *text, DataSplitPart *parts, int *count) {
  double sum = 0;
  *count = 0;
  for (const char *at = text; *at != '\0';) {
    size_t name = strcspn(at, "=,"), length = strcspn(at, ",");
    if (name == 0 || at[name] != '=' || *count == DATA_SPLIT_PARTS_MAX) return false;
    for (size_t i = 0; i < name; i++) {
      if (!isalnum((unsigned char)at[i]) && strchr("_-", at[i]) == NULL) return false;
    }
    const char *number = arena_string(arena, at + name + 1, length - name - 1);
    char *end;
    DataSplitPart *part = &parts[*count];
    *part = (DataSplitPart){arena_string(arena, at, name), strtod(number, &end)};
    if (end == number || *end != '\0' || !(part->share > 0 && part->share <= 1)) return false;
    for (int i = 0; i < *count; i++) {
      if (strcmp(parts[i].name, part->name) == 0) return false;
    }
    sum += part->share;
    ++*count;
    at += length + (at[length] == ',');
  }
  return *count > 0 && sum > 1 - 1e-9 && sum < 1 + 1e-9;
}

static int data_split_command(DataCommand *command) {
  Invocation *invocation = command->invocation;
  const char *shares = option_text(invocation, "parts"), *seed_text = option_text(invocation, "seed");
  DataSplitPart parts[DATA_SPLIT_PARTS_MAX];
  int count = 0;
  uint64_t seed = 0;
  if (shares == NULL) shares = "train=0.9,test=0.1";
  if (!read_parts(invocation->arena, shares, parts, &count))
    return usage_error(
        invocation, "'--parts' takes names with shares that add up to 1, such as train=0.9,test=0.1, not '%s'", shares);
  if (seed_text != NULL && !read_number(seed_text, UINT64_MAX, &seed))
    return usage_error(invocation, "'--seed' takes a whole number, not '%s'", seed_text);
  const char *source = command->sources[0], *there = data_index_of(invocation->arena, source);
  if (command->source_count != 1) return usage_error(invocation, "'data split' takes one data set");
  if (there == NULL) {
    const char *message = arena_printf(invocation->arena, "'%s' has no index", source);
    return driver_fail(EXIT_INPUT, "data", message, "make one with 'seerc data index', then split");
  }
  const char *folder = option_text(invocation, "out");
  const char *slash = strrchr(there, '/');
  if (folder == NULL) folder = slash == NULL ? "." : arena_string(invocation->arena, there, (size_t)(slash - there));
  SeerIndex *index;
  SeerStatus status = seer_index_open(there, &index);
  if (status == SEER_OK) status = set_keep(command, index);
  if (status == SEER_OK)
    status =
        data_split(invocation->arena, index, parts, count, seed, path_trim(invocation->arena, folder), &command->out);
  seer_index_close(index);
  return driver_report_runtime("data", status);
}

typedef struct Subcommand {
  const char *name, *options;
  int (*run)(DataCommand *command);
} Subcommand;

static const Subcommand subcommands[] = {
#define DATA(name, arguments, options, help) {#name, options, data_##name##_command},
#include "compiler/driver/data.def"
#undef DATA
};
enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof *subcommands };

static int unknown_subcommand(const Invocation *invocation, const char *name) {
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < SUBCOMMAND_COUNT; i++) suggestion_offer(&suggestion, subcommands[i].name);
  const char *best = suggestion_best(&suggestion);
  if (best == NULL) return usage_error(invocation, "'data' has no subcommand '%s'", name);
  fprintf(stderr, "seerc: error: 'data' has no subcommand '%s' [usage]\nseerc: note: did you mean '%s'?\n", name, best);
  return EXIT_USAGE;
}

// Options of other subcommands are refused: they would do nothing.
static int check_options(const Invocation *invocation, const Subcommand *subcommand) {
  for (int i = 0; i < driver_option_count; i++) {
    const Option *option = &driver_options[i];
    if (*option->commands == '\0' || !option_applies(option, invocation->command) || invocation->values[i] == NULL)
      continue;
    if (!schema_names_hold(subcommand->options, option->name))
      return usage_error(invocation, "'data %s' has no option '--%s'", subcommand->name, option->name);
  }
  return EXIT_DONE;
}

int command_data(Invocation *invocation) {
  if (invocation->file_count == 0) {
    Writer help = {0};
    help_print_command(invocation->command, &help);
    fputs(help.text, stderr);
    writer_release(&help);
    return EXIT_USAGE;
  }
  const Subcommand *subcommand = subcommands;
  while (subcommand < subcommands + SUBCOMMAND_COUNT && strcmp(subcommand->name, invocation->files[0]) != 0)
    subcommand++;
  if (subcommand == subcommands + SUBCOMMAND_COUNT) return unknown_subcommand(invocation, invocation->files[0]);
  DataCommand command = {.invocation = invocation,
                         .name = subcommand->name,
                         .sources = invocation->files + 1,
                         .source_count = invocation->file_count - 1,
                         .jobs = seer_cpu_count()};
  int code = check_options(invocation, subcommand);
  if (code != EXIT_DONE) return code;
  if (command.source_count == 0)
    return usage_error(invocation, "'data %s' needs a folder, tar archives, a manifest or an index", subcommand->name);
  const char *jobs = option_text(invocation, "jobs");
  uint64_t count;
  if (jobs != NULL && (!read_number(jobs, 1024, &count) || count == 0))
    return usage_error(invocation, "'--jobs' takes a whole number from 1 to 1024, not '%s'", jobs);
  if (jobs != NULL) command.jobs = (int)count;
  code = read_keep(&command);
  if (code != EXIT_DONE) return code;
  code = subcommand->run(&command);
  int written = driver_write_stream(&command.out);
  writer_release(&command.out);
  return written != EXIT_DONE ? written : code;
}
