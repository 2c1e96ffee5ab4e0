// Reads the command line by the table options.def: `--name value` or `--name=value`; and `-o`, which is `--out`.
#include "runtime/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum OptionKind {
  KIND_FLAG,
  KIND_COUNT,
  KIND_POSITIVE,
  KIND_NUMBER,
  KIND_TEXT,
  KIND_MAYBE,
  KIND_LIST
} OptionKind;

typedef struct CommandRow {
  const char *name, *operands, *help;
} CommandRow;

typedef struct OptionRow {
  OptionKind kind;
  const char *name, *argument, *help;
  unsigned commands;
  size_t offset;
} OptionRow;

static const CommandRow command_rows[] = {
#define COMMAND(NAME, name, operands, help) {name, operands, help},
#include "runtime/options.def"
};

enum {
#define COMMAND(NAME, ...) NAME = 1 << SEER_COMMAND_##NAME,
#include "runtime/options.def"
  ALL = (1 << SEER_COMMAND_COUNT) - 1
};

static const OptionRow option_rows[] = {
#define OPTION(KIND, field, name, argument, commands, help) \
  {KIND_##KIND, name, argument, help, commands, offsetof(SeerOptions, field)},
#include "runtime/options.def"
};

enum { OPTION_COUNT = sizeof option_rows / sizeof option_rows[0], WORD_MAX = 40 };

// Edits (insert, delete, replace) between two words; words longer than WORD_MAX are far from everything.
static int words_distance(const char *a, const char *b) {
  int rows[2][WORD_MAX + 1];
  int n = (int)strlen(a), m = (int)strlen(b);
  if (n > WORD_MAX || m > WORD_MAX) return WORD_MAX;
  for (int j = 0; j <= m; j++) rows[0][j] = j;
  for (int i = 1; i <= n; i++) {
    int *now = rows[i & 1], *before = rows[(i - 1) & 1];
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      int best = before[j - 1] + (a[i - 1] != b[j - 1]);
      if (before[j] + 1 < best) best = before[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      now[j] = best;
    }
  }
  return rows[n & 1][m];
}

static void nearest_keep(const char *word, const char *candidate, int *best, const char **nearest) {
  int distance = words_distance(word, candidate);
  if (distance < *best) {
    *best = distance;
    *nearest = candidate;
  }
}

static int distance_allowed(const char *word) { return 1 + (int)strlen(word) / 4; }

static SeerStatus unknown_option(const SeerOptions *options, const char *name) {
  const char *nearest = NULL;
  int best = distance_allowed(name) + 1;
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (option_rows[i].commands & (1u << options->command)) nearest_keep(name, option_rows[i].name, &best, &nearest);
  }
  if (nearest) {
    return seer_fail(SEER_USAGE, "unknown option '--%s' of '%s'\nnote: did you mean '--%s'?", name,
                     command_rows[options->command].name, nearest);
  }
  return seer_fail(SEER_USAGE, "unknown option '--%s' of '%s'\nnote: see %s %s --help", name,
                   command_rows[options->command].name, options->program, command_rows[options->command].name);
}

static SeerStatus unknown_command(const SeerOptions *options, const char *word) {
  const char *nearest = NULL;
  int best = distance_allowed(word) + 1;
  for (int i = 0; i < SEER_COMMAND_COUNT; i++) nearest_keep(word, command_rows[i].name, &best, &nearest);
  if (nearest) return seer_fail(SEER_USAGE, "unknown command '%s'\nnote: did you mean '%s'?", word, nearest);
  return seer_fail(SEER_USAGE, "unknown command '%s'\nnote: see %s --help", word, options->program);
}

static const OptionRow *option_find(const char *name, size_t length, SeerCommand command) {
  for (int i = 0; i < OPTION_COUNT; i++) {
    const OptionRow *row = &option_rows[i];
    if ((row->commands & (1u << command)) && strlen(row->name) == length && !strncmp(row->name, name, length))
      return row;
  }
  return NULL;
}

static SeerStatus integer_read(const OptionRow *row, const char *text, int64_t minimum, int64_t *value) {
  char *end = NULL;
  errno = 0;
  long long number = strtoll(text, &end, 10);
  if (end == text || *end || errno || number < minimum) {
    return seer_fail(SEER_USAGE, "'--%s' takes a whole number of at least %lld, not '%s'", row->name,
                     (long long)minimum, text);
  }
  *value = number;
  return SEER_OK;
}

static SeerStatus number_read(const OptionRow *row, const char *text, double *value) {
  char *end = NULL;
  double number = strtod(text, &end);
  if (end == text || *end || !(number > 0) || number > 1e18) {
    return seer_fail(SEER_USAGE, "'--%s' takes a number above 0, not '%s'", row->name, text);
  }
  *value = number;
  return SEER_OK;
}

static SeerStatus value_store(SeerOptions *options, const OptionRow *row, const char *text) {
  char *field = (char *)options + row->offset;
  switch (row->kind) {
    case KIND_FLAG: *(bool *)(void *)field = true; return SEER_OK;
    case KIND_COUNT: return integer_read(row, text, 0, (int64_t *)(void *)field);
    case KIND_POSITIVE: return integer_read(row, text, 1, (int64_t *)(void *)field);
    case KIND_NUMBER: return number_read(row, text, (double *)(void *)field);
    case KIND_TEXT:
    case KIND_MAYBE: *(const char **)(void *)field = text; return SEER_OK;
    case KIND_LIST: {
      SeerTextList *list = (SeerTextList *)(void *)field;
      if (list->count == SEER_LIST_MAX) return seer_fail(SEER_USAGE, "'--%s' is given too often", row->name);
      list->items[list->count++] = text;
      return SEER_OK;
    }
  }
  return SEER_BUG;
}

static bool is_short_out(const char *word) { return strcmp(word, "-o") == 0; }

// Reads the option at argv[*at] and moves *at to its last word.
static SeerStatus option_read(int argc, char **argv, int *at, SeerOptions *options) {
  const char *name = is_short_out(argv[*at]) ? "out" : argv[*at] + 2;
  const char *equals = strchr(name, '=');
  size_t length = equals ? (size_t)(equals - name) : strlen(name);
  const OptionRow *row = option_find(name, length, options->command);
  if (!row) {
    char word[WORD_MAX + 1];
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    return unknown_option(options, word);
  }
  const char *text = equals ? equals + 1 : NULL;
  if (row->kind == KIND_FLAG && equals) return seer_fail(SEER_USAGE, "'--%s' takes no value", row->name);
  bool next_is_value = *at + 1 < argc && !(argv[*at + 1][0] == '-' && argv[*at + 1][1]);
  if (row->kind != KIND_FLAG && !equals) {
    if (next_is_value) {
      text = argv[++*at];
    } else if (row->kind == KIND_MAYBE) {
      text = "";
    } else if (*at + 1 < argc && (row->kind == KIND_COUNT || row->kind == KIND_POSITIVE || row->kind == KIND_NUMBER)) {
      text = argv[*at + 1];  // a negative number: its own message
    } else {
      return seer_fail(SEER_USAGE, "'--%s' needs a value: --%s %s", row->name, row->name, row->argument);
    }
  }
  if (row->kind != KIND_FLAG && row->kind != KIND_MAYBE && text && !*text) {
    return seer_fail(SEER_USAGE, "'--%s' needs a value: --%s %s", row->name, row->name, row->argument);
  }
  return value_store(options, row, text);
}

static void options_clear(SeerOptions *options, const char *program) {
  memset(options, 0, sizeof *options);
  options->program = program;
  for (int i = 0; i < OPTION_COUNT; i++) {
    char *field = (char *)options + option_rows[i].offset;
    if (option_rows[i].kind == KIND_COUNT || option_rows[i].kind == KIND_POSITIVE) *(int64_t *)(void *)field = -1;
    if (option_rows[i].kind == KIND_NUMBER) *(double *)(void *)field = -1;
  }
}

static SeerStatus command_read(int argc, char **argv, SeerOptions *options, int *first) {
  *first = 1;
  options->command = SEER_COMMAND_TRAIN;
  if (argc < 2 || argv[1][0] == '-') return SEER_OK;
  *first = 2;
  for (int i = 0; i < SEER_COMMAND_COUNT; i++) {
    if (strcmp(argv[1], command_rows[i].name) == 0) {
      options->command = (SeerCommand)i;
      return SEER_OK;
    }
  }
  return unknown_command(options, argv[1]);
}

SeerStatus seer_options_read(int argc, char **argv, SeerOptions *options) {
  options_clear(options, argc > 0 ? argv[0] : "trainer");
  int first = 1;
  SeerStatus status = command_read(argc, argv, options, &first);
  for (int at = first; at < argc && !status; at++) {
    if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
      options->help = true;
    } else if (!strcmp(argv[at], "--version")) {
      options->version = true;
    } else if ((argv[at][0] == '-' && argv[at][1] == '-' && argv[at][2]) || is_short_out(argv[at])) {
      status = option_read(argc, argv, &at, options);
    } else if (argv[at][0] == '-') {
      status = seer_fail(SEER_USAGE, "'%s' is no option: options are words after two dashes\nnote: see %s --help",
                         argv[at], options->program);
    } else if (!*command_rows[options->command].operands || options->operand) {
      status = seer_fail(SEER_USAGE, "'%s' does not know what to do with '%s'\nnote: see %s %s --help",
                         command_rows[options->command].name, argv[at], options->program,
                         command_rows[options->command].name);
    } else {
      options->operand = argv[at];
    }
  }
  return status;
}

static void list_print(const SeerTextList *list, char *text, size_t bytes) {
  size_t used = 0;
  for (int i = 0; i < list->count && used < bytes; i++)
    used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? " " : "", list->items[i]);
}

static void value_print(const SeerOptions *options, const OptionRow *row, char *text, size_t bytes) {
  const char *field = (const char *)options + row->offset;
  const char *word = NULL;
  text[0] = '\0';
  switch (row->kind) {
    case KIND_FLAG: snprintf(text, bytes, "%s", *(const bool *)(const void *)field ? "given" : ""); return;
    case KIND_COUNT:
    case KIND_POSITIVE: {
      int64_t number = *(const int64_t *)(const void *)field;
      if (number >= 0) snprintf(text, bytes, "%lld", (long long)number);
      return;
    }
    case KIND_NUMBER: {
      double number = *(const double *)(const void *)field;
      if (number > 0) snprintf(text, bytes, "%.17g", number);
      return;
    }
    case KIND_MAYBE:
    case KIND_TEXT:
      word = *(const char *const *)(const void *)field;
      if (word) snprintf(text, bytes, "%s", *word ? word : "given");
      return;
    case KIND_LIST: list_print((const SeerTextList *)(const void *)field, text, bytes); return;
  }
}

const char *seer_options_next(const SeerOptions *options, int *at, char *value, size_t bytes) {
  for (; *at < OPTION_COUNT; ++*at) {
    const OptionRow *row = &option_rows[*at];
    if (!(row->commands & (1u << options->command))) continue;
    value_print(options, row, value, bytes);
    ++*at;
    return row->name;
  }
  return NULL;
}

static void option_help(FILE *out, const OptionRow *row) {
  char left[64];
  if (row->kind == KIND_MAYBE)
    snprintf(left, sizeof left, "--%s [%s]", row->name, row->argument);
  else
    snprintf(left, sizeof left, "%s--%s %s", strcmp(row->name, "out") == 0 ? "-o, " : "", row->name, row->argument);
  fprintf(out, "  %-22s %s\n", left, row->help);
}

void seer_options_help(FILE *out, const char *program, const char *trainer, SeerCommand command) {
  if (command >= SEER_COMMAND_COUNT) {
    fprintf(out, "%s: a trainer made by seerc from '%s'\n\nusage: %s [COMMAND] [OPTION]...\n\ncommands\n", program,
            trainer, program);
    for (int i = 0; i < SEER_COMMAND_COUNT; i++)
      fprintf(out, "  %-22s %s\n", command_rows[i].name, command_rows[i].help);
    command = SEER_COMMAND_TRAIN;
    fprintf(out, "\noptions of 'train'; for those of a command: %s COMMAND --help\n", program);
  } else {
    const CommandRow *row = &command_rows[command];
    fprintf(out, "%s %s: %s\n\nusage: %s %s [OPTION]...%s%s\n\noptions\n", program, row->name, row->help, program,
            row->name, *row->operands ? " " : "", row->operands);
  }
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (option_rows[i].commands & (1u << command)) option_help(out, &option_rows[i]);
  }
  fprintf(out, "  %-22s %s\n  %-22s %s\n\n", "--help", "print this", "--version",
          "print the version of seerc that built this");
  fprintf(out,
          "exit codes: 0 done, 1 input is wrong, 2 usage, 3 the machine lacks something, 70 a bug, "
          "75 stopped on request\n");
}
