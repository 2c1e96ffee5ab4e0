// Reads tables of cases and adds cases one by one; see cases.h.
#include "runtime/evaluate/cases.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/data/table.h"
#include "runtime/evaluate/lines.h"
#include "runtime/files.h"

// ---- what is told ----

static void told_row_add(SeerTold *told, bool is_loss, const char *what, const char *example) {
  for (int i = 0; i < told->count; i++) {
    if (strcmp(told->rows[i].what, what) == 0) {
      told->rows[i].count++;
      return;
    }
  }
  static const char rest[] = "of other kinds, too many to name";
  if (told->count == SEER_TOLD_MAX - 1 && strcmp(what, rest) != 0) what = rest;
  if (told->count == SEER_TOLD_MAX) {
    told->rows[told->count - 1].is_loss |= is_loss;
    told->rows[told->count - 1].count++;
    return;
  }
  SeerToldRow row = {strdup(what), strdup(example), 1, is_loss};
  if (row.what && row.example)
    told->rows[told->count++] = row;
  else {
    free(row.what);
    free(row.example);
  }
}

void seer_told_add(SeerTold *told, bool is_loss, const char *example, const char *format, ...) {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  told_row_add(told, is_loss, what, example);
}

void seer_told_release(SeerTold *told) {
  for (int i = 0; i < told->count; i++) {
    free(told->rows[i].what);
    free(told->rows[i].example);
  }
  told->count = 0;
}

// ---- columns ----

typedef struct Alias {
  const char *column, *name;
} Alias;

static const Alias aliases[] = {
    {"sex", "gender"},
    {"genderpresentation", "gender"},
    {"gender_presentation", "gender"},
    {"skin-type", "skin"},
    {"skin_type", "skin"},
    {"skin type", "skin"},
    {"skin_tone", "skin"},
    {"skintone", "skin"},
    {"fitzpatrick", "skin"},
    {"agepresentation", "age"},
    {"age_presentation", "age"},
    {"region.id", "region"},
    {"region_id", "region"},
    {"country.name", "country"},
};

// What a layout calls its columns; NULL: any of those of cases.h.
typedef struct Layout {
  const char *name, *mark;  // mark: a column that no other layout has
  const char *picture, *suffix, *unit, *thing;
  const char *attributes[8];  // NULL: all other columns
  bool relative;
} Layout;

static const Layout layouts[] = {
    {"table", NULL, NULL, "", NULL, NULL, {NULL}, false},
    {"miap", "GenderPresentation", "ImageID", ".jpg", NULL, NULL, {"GenderPresentation", "AgePresentation"}, true},
    {"dollarstreet",
     "imageRelPath",
     "imageRelPath",
     "",
     "place",
     "topics",
     {"income", "region.id", "country.name"},
     false},
    {"fairface", "service_test", "file", "", NULL, NULL, {"age", "gender", "race"}, false},
    {"utkface", NULL, NULL, "", NULL, NULL, {NULL}, false},
    {"casual-conversations", NULL, NULL, "", NULL, NULL, {NULL}, false},
};
enum { LAYOUT_COUNT = sizeof layouts / sizeof *layouts, LAYOUT_UTKFACE = 4, LAYOUT_CONVERSATIONS = 5 };

int seer_cases_attribute(const SeerCases *cases, const char *name) {
  for (int i = 0; i < cases->attribute_count; i++) {
    if (strcmp(cases->attributes[i], name) == 0) return i;
  }
  return -1;
}

SeerStatus seer_cases_add_attribute(SeerCases *cases, const char *column) {
  const char *name = column;
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (strcasecmp(column, aliases[i].column) == 0) name = aliases[i].name;
  }
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (strcasecmp(name, aliases[i].name) == 0) name = aliases[i].name;
  }
  if (seer_cases_attribute(cases, name) >= 0)
    return seer_fail(SEER_INPUT, "two columns are the attribute '%s'\nnote: name the column '%.200s' otherwise", name,
                     column);
  if (cases->attribute_count == SEER_ATTRIBUTES_MAX)
    return seer_fail(SEER_INPUT, "there are more than %d attributes\nnote: leave columns out that are not asked for",
                     SEER_ATTRIBUTES_MAX);
  char *copy = strdup(name);
  if (!copy) return seer_fail(SEER_MACHINE, "no memory for the names of attributes");
  cases->attributes[cases->attribute_count++] = copy;
  return SEER_OK;
}

// ---- cases ----

static bool cases_grow(SeerCases *cases) {
  if (cases->count < cases->capacity) return true;
  int64_t capacity = cases->capacity ? 2 * cases->capacity : 1024;
  SeerCase *items = realloc(cases->items, (size_t)capacity * sizeof *items);
  if (items) cases->items = items;
  size_t row = (size_t)cases->attribute_count + 1;
  int32_t *values = realloc(cases->values, (size_t)capacity * row * sizeof *values);
  if (values) cases->values = values;
  if (items && values) cases->capacity = capacity;
  return items && values;
}

static const char *box_fault(const SeerCases *cases, const double *box) {
  for (int i = 0; i < 4; i++) {
    if (!isfinite(box[i])) return "the box has a side that is no number";
  }
  if (box[0] >= box[2] || box[1] >= box[3]) return "the box has no area";
  if (box[0] < 0 || box[1] < 0 || (cases->relative && (box[2] > 1 || box[3] > 1))) return "the box leaves the picture";
  return NULL;
}

// "FILE:LINE", or the picture where there are no lines.
static const char *place_print(char text[300], const SeerCasesRequest *request, const SeerCaseRow *row) {
  const char *base = strrchr(request->manifest, '/');
  base = base ? base + 1 : request->manifest;
  if (row->line)
    snprintf(text, 300, "%.200s:%" PRIu64, base, row->line);
  else
    snprintf(text, 300, "%.299s", row->path);
  return text;
}

static int32_t picture_add(SeerCases *cases, const SeerCasesRequest *request, const char *path) {
  SeerPath whole;
  const char *slash = strrchr(request->manifest, '/');
  SeerStatus status;
  if (*path == '/')
    status = seer_path_print(&whole, "%s", path);
  else if (request->pictures)
    status = seer_path_print(&whole, "%s/%s", request->pictures, path);
  else
    status =
        seer_path_print(&whole, "%.*s%s", slash ? (int)(slash - request->manifest + 1) : 0, request->manifest, path);
  return status ? -2 : seer_words_add(&cases->words, whole.text);
}

// How often a name was given before.
static int32_t *repeats_of(SeerCases *cases, int32_t word) {
  if (word >= cases->repeats_room) {
    int32_t room = cases->words.capacity;
    int32_t *repeats = realloc(cases->repeats, (size_t)room * sizeof *repeats);
    if (!repeats) return NULL;
    memset(repeats + cases->repeats_room, 0, (size_t)(room - cases->repeats_room) * sizeof *repeats);
    cases->repeats = repeats;
    cases->repeats_room = room;
  }
  return &cases->repeats[word];
}

// The name, with "#2" and so on behind it where others have it already; -1 without memory, -2: the same case was named
// before, and is *earlier. What was seen is kept among the words, after a character that no name begins with.
static int32_t name_add(SeerCases *cases, const SeerCaseRow *row, const char *name, int64_t *earlier) {
  char box[160] = "", text[2 * SEER_PATH_MAX + 200];
  if (row->box)
    snprintf(box, sizeof box, "%.17g %.17g %.17g %.17g", row->box[0], row->box[1], row->box[2], row->box[3]);
  int32_t before = cases->words.count;
  snprintf(text, sizeof text, "\n%s\n%s\n%.*s", row->path, box, SEER_PATH_MAX, row->key ? row->key : "");
  int32_t added = seer_words_add(&cases->words, text);
  int32_t *repeats = added >= 0 ? repeats_of(cases, added) : NULL;
  if (!repeats) return -1;
  *earlier = (int64_t)*repeats - 1;
  if (added < before) return -2;
  *repeats = (int32_t)cases->count + 1;
  while (added >= 0) {
    snprintf(text, sizeof text, "\t%.*s", SEER_PATH_MAX, name);
    int32_t base = seer_words_add(&cases->words, text);
    if (base < 0 || !(repeats = repeats_of(cases, base))) return -1;
    if (++*repeats > 1) snprintf(text, sizeof text, "\t%.*s#%d", SEER_PATH_MAX, name, *repeats);
    before = cases->words.count;
    added = *repeats > 1 ? seer_words_add(&cases->words, text) : base;
    if (*repeats == 1 || added == before) return seer_words_add(&cases->words, text + 1);
  }
  return -1;
}

// A picture that is named once for each thing that it shows shows them all.
static SeerStatus again_add(SeerCases *cases, SeerTold *told, const SeerCaseRow *row, SeerCase *item,
                            const char *place) {
  int added = 0;
  SeerStatus status = row->thing ? seer_cases_add_concepts(cases, item, row->thing, &added) : SEER_OK;
  cases->named -= added > 0;
  seer_told_add(told, false, place, "the same %s is named again%s", row->box ? "box of a picture" : "picture",
                added ? ", with another concept: it shows both" : "");
  return status;
}

static SeerStatus values_add(SeerCases *cases, SeerTold *told, const SeerCaseRow *row, const char *place) {
  int32_t *to = cases->values + cases->count * cases->attribute_count;
  for (int i = 0; i < cases->attribute_count; i++) {
    char value[256];
    bool known, understood;
    const char *text = row->values[i] ? row->values[i] : "";
    seer_attribute_value(cases->attributes[i], text, value, sizeof value, &known, &understood);
    to[i] = known ? seer_words_add(&cases->words, value) : -1;
    if (known && to[i] < 0) return seer_fail(SEER_MACHINE, "no memory for the values of attributes");
    if (!understood)
      seer_told_add(told, false, place, "%.60s is '%.100s', which is none of its groups", cases->attributes[i], text);
    else if (!known)
      seer_told_add(told, false, place, "%.60s is unknown", cases->attributes[i]);
  }
  return SEER_OK;
}

SeerStatus seer_cases_add(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told, const SeerCaseRow *row) {
  char place[300], unit[40];
  place_print(place, request, row);
  cases->named++;
  if (!cases_grow(cases)) return seer_fail(SEER_MACHINE, "no memory for the rows of '%s'", request->manifest);
  SeerCase made = {.line = row->line, .has_box = row->box != NULL, .used = true, .concepts = -1};
  int64_t earlier;
  made.name = name_add(cases, row, row->key && *row->key ? row->key : row->path, &earlier);
  if (made.name == -2) return again_add(cases, told, row, &cases->items[earlier], place);
  made.picture = picture_add(cases, request, row->path);
  bool has_unit = row->unit && *row->unit;
  snprintf(unit, sizeof unit, "\n%" PRId64, cases->count);
  if (cases->unit && !has_unit)
    seer_told_add(told, false, place, "the %.100s is unknown: it counts for itself", cases->unit);
  made.unit = seer_words_add(&cases->units, has_unit ? row->unit : unit);
  if (made.name < 0 || made.picture == -1 || made.unit < 0)
    return seer_fail(SEER_MACHINE, "no memory for the rows of '%s'", request->manifest);
  if (made.picture < 0) return SEER_INPUT;
  const char *fault = row->box ? box_fault(cases, row->box) : NULL;
  if (row->box) memcpy(made.box, row->box, sizeof made.box);
  if (fault) seer_told_add(told, true, place, "%s", fault);
  made.used = !fault;
  int shown;
  SeerStatus status = values_add(cases, told, row, place);
  if (!status && row->thing) status = seer_cases_add_concepts(cases, &made, row->thing, &shown);
  if (!status) cases->items[cases->count++] = made;
  return status;
}

// ---- tables ----

enum { ROLE_PATH, ROLE_KEY, ROLE_UNIT, ROLE_THING, ROLE_LEFT, ROLE_TOP, ROLE_RIGHT, ROLE_BOTTOM, ROLE_COUNT };

typedef struct Reader {
  SeerCases *cases;
  const SeerCasesRequest *request;
  SeerTold *told;
  const Layout *layout;
  TableKind kind;
  int count;  // columns
  SeerWords columns;
  int roles[ROLE_COUNT];                // columns, -1: there is none
  int attributes[SEER_ATTRIBUTES_MAX];  // columns
} Reader;

static int column_find(const Reader *reader, const char *name) {
  for (int i = 0; i < reader->count; i++) {
    if (strcasecmp(reader->columns.items[i], name) == 0) return i;
  }
  return -1;
}

static int column_find_first(const Reader *reader, const char *const *names, int count) {
  int found = -1;
  for (int i = 0; found < 0 && i < count; i++) found = column_find(reader, names[i]);
  return found;
}

// One that the user or the layout names must be there.
static SeerStatus column_demand(const Reader *reader, const char *name, int *column) {
  *column = column_find(reader, name);
  if (*column >= 0) return SEER_OK;
  char known[600] = "";
  for (int i = 0, used = 0; i < reader->count && used < 500; i++)
    used += snprintf(known + used, sizeof known - (size_t)used, "%s%.80s", i ? ", " : "", reader->columns.items[i]);
  return seer_fail(SEER_INPUT, "'%s' has no column '%.200s'\nnote: it has %s", reader->request->manifest, name, known);
}

static SeerStatus roles_find(Reader *reader) {
  static const char *const paths[] = {"path", "image", "img", "file", "file_name"};
  static const char *const units[] = {"household", "person", "subject", "subject_id"};
  static const char *const things[] = {"concept", "topic", "label"};
  static const char *const boxes[] = {"xmin", "ymin", "xmax", "ymax"};
  const Layout *layout = reader->layout;
  const SeerCasesRequest *request = reader->request;
  int *roles = reader->roles, boxed = 0;
  const char *unit = request->unit ? request->unit : layout->unit;
  const char *thing = request->concept_column ? request->concept_column : layout->thing;
  SeerStatus status = SEER_OK;
  roles[ROLE_KEY] = column_find(reader, "key");
  roles[ROLE_PATH] = column_find_first(reader, paths, 5);
  if (layout->picture) status = column_demand(reader, layout->picture, &roles[ROLE_PATH]);
  roles[ROLE_UNIT] = layout->picture ? -1 : column_find_first(reader, units, 4);
  if (!status && unit) status = column_demand(reader, unit, &roles[ROLE_UNIT]);
  roles[ROLE_THING] = layout->picture ? -1 : column_find_first(reader, things, 3);
  if (!status && thing) status = column_demand(reader, thing, &roles[ROLE_THING]);
  for (int i = 0; i < 4; i++) boxed += (roles[ROLE_LEFT + i] = column_find(reader, boxes[i])) >= 0;
  if (!status && boxed != 0 && boxed != 4)
    status =
        seer_fail(SEER_INPUT, "'%s' has some of the columns xmin, ymin, xmax, ymax and not all", request->manifest);
  if (!status && roles[ROLE_PATH] < 0 && roles[ROLE_KEY] < 0)
    status = seer_fail(SEER_INPUT,
                       "'%s' names no column of pictures\nnote: the first row names the columns; that of pictures is "
                       "path, image, img, file or file_name",
                       request->manifest);
  reader->cases->has_concepts = roles[ROLE_THING] >= 0;
  reader->cases->unit = roles[ROLE_UNIT] < 0 ? NULL
                        : layout->unit && !request->unit && strcmp(layout->unit, "place") == 0
                            ? "household"
                            : reader->columns.items[roles[ROLE_UNIT]];
  return status;
}

static SeerStatus attributes_find(Reader *reader) {
  SeerStatus status = SEER_OK;
  if (reader->layout->picture) {
    for (int i = 0; !status && i < 8 && reader->layout->attributes[i]; i++) {
      status = column_demand(reader, reader->layout->attributes[i], &reader->attributes[i]);
      if (!status) status = seer_cases_add_attribute(reader->cases, reader->layout->attributes[i]);
    }
    return status;
  }
  for (int i = 0; !status && i < reader->count; i++) {
    bool is_role = *reader->columns.items[i] == '\0';
    for (int role = 0; role < ROLE_COUNT; role++) is_role = is_role || (reader->roles[role] == i && role != ROLE_THING);
    if (is_role || (reader->roles[ROLE_THING] == i && strcasecmp(reader->columns.items[i], "label") != 0)) continue;
    reader->attributes[reader->cases->attribute_count] = i;
    status = seer_cases_add_attribute(reader->cases, reader->columns.items[i]);
  }
  return status;
}

static SeerStatus columns_take(Reader *reader, char **names, int count, uint64_t line) {
  for (int i = 0; i < count; i++) {
    char unnamed[40];
    snprintf(unnamed, sizeof unnamed, "column %d", i + 1);
    int32_t added = seer_words_add(&reader->columns, *names[i] ? names[i] : unnamed);
    if (added < 0) return seer_fail(SEER_MACHINE, "no memory for the columns of '%s'", reader->request->manifest);
    if (added != i) return table_fail(reader->request->manifest, line, "names a column twice", names[i]);
  }
  reader->count = count;
  for (int i = 1; !reader->request->layout && i < LAYOUT_COUNT; i++) {
    if (layouts[i].mark && column_find(reader, layouts[i].mark) >= 0) reader->layout = &layouts[i];
  }
  reader->cases->relative = reader->layout->relative;
  reader->cases->layout = reader->layout->name;
  SeerStatus status = roles_find(reader);
  return status ? status : attributes_find(reader);
}

static SeerStatus row_take(Reader *reader, char **fields, uint64_t line) {
  const int *roles = reader->roles;
  const char *values[SEER_ATTRIBUTES_MAX];
  char path[SEER_PATH_MAX];
  double box[4];
  const char *key = roles[ROLE_KEY] >= 0 ? fields[roles[ROLE_KEY]] : NULL;
  const char *picture = roles[ROLE_PATH] >= 0 ? fields[roles[ROLE_PATH]] : key;
  bool has_box = roles[ROLE_LEFT] >= 0;
  int empty = 0;
  if (!*picture) return table_fail(reader->request->manifest, line, "names no picture", NULL);
  if (snprintf(path, sizeof path, "%s%s", picture, reader->layout->suffix) >= (int)sizeof path)
    return table_fail(reader->request->manifest, line, "names a picture by more than 4,095 bytes", NULL);
  for (int i = 0; has_box && i < 4; i++) {
    char *text = fields[roles[ROLE_LEFT + i]], *end;
    box[i] = strtod(text, &end);
    empty += !*text;
    if (*text && *end)
      return table_fail(reader->request->manifest, line, "has a side of a box that is no number", text);
  }
  if (empty != 0 && empty != 4) return table_fail(reader->request->manifest, line, "has a part of a box", NULL);
  for (int i = 0; i < reader->cases->attribute_count; i++) values[i] = fields[reader->attributes[i]];
  SeerCaseRow row = {.path = path,
                     .key = key,
                     .unit = roles[ROLE_UNIT] >= 0 ? fields[roles[ROLE_UNIT]] : NULL,
                     .thing = roles[ROLE_THING] >= 0 ? fields[roles[ROLE_THING]] : NULL,
                     .values = values,
                     .box = has_box && empty == 0 ? box : NULL,
                     .line = line};
  return seer_cases_add(reader->cases, reader->request, reader->told, &row);
}

// ---- JSONL: its columns are the members of the first object ----

static const char *member_text(const json_t *value, char *room, size_t bytes) {
  if (json_is_string(value)) return json_string_value(value);
  room[0] = '\0';
  if (json_is_integer(value)) snprintf(room, bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  if (json_is_real(value)) snprintf(room, bytes, "%.17g", json_real_value(value));
  if (json_is_boolean(value)) snprintf(room, bytes, "%s", json_is_true(value) ? "yes" : "no");
  return json_is_array(value) && json_array_size(value) > 0 ? member_text(json_array_get(value, 0), room, bytes) : room;
}

static SeerStatus object_columns(Reader *reader, json_t *object, uint64_t line) {
  static _Thread_local char *names[TABLE_FIELDS_MAX];
  int count = 0;
  const char *name;
  json_t *value;
  json_object_foreach(object, name, value) {
    if (count == TABLE_FIELDS_MAX)
      return table_fail(reader->request->manifest, line, "has more than 1,024 members", NULL);
    names[count++] = (char *)(uintptr_t)name;
  }
  return columns_take(reader, names, count, line);
}

static SeerStatus object_take(Reader *reader, json_t *object, uint64_t line) {
  enum { ROOM = 64 };
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  static _Thread_local char room[TABLE_FIELDS_MAX][ROOM];
  const char *name;
  json_t *value;
  json_object_foreach(object, name, value) {
    if (seer_words_find(&reader->columns, name) >= 0) continue;
    char note[300];
    snprintf(note, sizeof note, "'%.200s': its value, or null, belongs in the first object, too", name);
    return table_fail(reader->request->manifest, line, "has a member that the first object has not", note);
  }
  SeerStatus status = SEER_OK;
  for (int i = 0; !status && i < reader->count; i++) {
    const json_t *member = json_object_get(object, reader->columns.items[i]);
    fields[i] = i == reader->roles[ROLE_THING] && json_is_array(member) ? json_dumps(member, 0)
                                                                        : strdup(member_text(member, room[i], ROOM));
    if (!fields[i]) status = seer_fail(SEER_MACHINE, "no memory for the rows of '%s'", reader->request->manifest);
  }
  if (!status) status = row_take(reader, fields, line);
  for (int i = 0; i < reader->count; i++) {
    free(fields[i]);
    fields[i] = NULL;
  }
  return status;
}

static SeerStatus jsonl_take(Reader *reader, const TableRow *row) {
  json_t *object;
  SeerStatus status = seer_line_parse(reader->request->manifest, row, &object);
  if (status || !object) return status;
  if (reader->count == 0) status = object_columns(reader, object, row->line);
  if (!status) status = object_take(reader, object, row->line);
  json_decref(object);
  return status;
}

static SeerStatus csv_take(Reader *reader, TableRow *row) {
  static _Thread_local char *fields[TABLE_FIELDS_MAX];
  const char *fault, *file = reader->request->manifest;
  int count = table_split(reader->kind, row->bytes, row->length, fields, &fault);
  if (count < 0) return table_fail(file, row->line, fault, NULL);
  if (reader->count == 0) return columns_take(reader, fields, count, row->line);
  if (count == reader->count) return row_take(reader, fields, row->line);
  return table_fail(file, row->line, "has not as many fields as the first row",
                    "fields that hold delimiters are quoted");
}

static SeerStatus table_read(Reader *reader) {
  TableReader table;
  TableRow row = {0};
  SeerStatus status = table_open(&table, reader->request->manifest, reader->kind);
  do {
    if (!status) status = table_next(&table, &row);
    if (!status && row.bytes) status = reader->kind == TABLE_JSONL ? jsonl_take(reader, &row) : csv_take(reader, &row);
  } while (!status && row.bytes);
  if (!status) table_hash(&table, reader->cases->hash);
  table_close(&table);
  return status;
}

// ---- all of it ----

static SeerStatus layout_choose(const SeerCasesRequest *request, TableKind kind, const Layout **layout) {
  size_t length = strlen(request->manifest);
  *layout = &layouts[0];
  for (int i = 0; i < LAYOUT_COUNT && request->layout; i++) {
    if (strcmp(layouts[i].name, request->layout) == 0) {
      *layout = &layouts[i];
      return SEER_OK;
    }
  }
  if (request->layout)
    return seer_fail(SEER_INPUT,
                     "no layout is called '%.100s'\nnote: table, miap, dollarstreet, fairface, utkface or "
                     "casual-conversations",
                     request->layout);
  if (seer_path_is_folder(request->manifest))
    *layout = &layouts[LAYOUT_UTKFACE];
  else if (length > 5 && strcasecmp(request->manifest + length - 5, ".json") == 0)
    *layout = &layouts[LAYOUT_CONVERSATIONS];
  else if (kind == TABLE_NONE)
    return seer_fail(SEER_INPUT, "'%s' is no table, JSON file or folder\nnote: tables end in .csv, .tsv or .jsonl",
                     request->manifest);
  return SEER_OK;
}

SeerStatus seer_cases_load(const SeerCasesRequest *request, SeerTold *told, SeerCases *cases) {
  *cases = (SeerCases){.unit = NULL};
  Reader reader = {.cases = cases, .request = request, .told = told, .kind = table_kind_of(request->manifest)};
  SeerStatus status = layout_choose(request, reader.kind, &reader.layout);
  if (status) return status;
  cases->layout = reader.layout->name;
  if (reader.layout == &layouts[LAYOUT_UTKFACE])
    status = seer_cases_read_utkface(cases, request, told);
  else if (reader.layout == &layouts[LAYOUT_CONVERSATIONS])
    status = seer_cases_read_conversations(cases, request, told);
  else if (reader.kind == TABLE_NONE)
    status = seer_fail(SEER_INPUT, "'%s' is no table\nnote: tables end in .csv, .tsv or .jsonl", request->manifest);
  else
    status = table_read(&reader);
  if (!status && cases->count == 0)
    status = seer_fail(SEER_INPUT, "'%s' names no picture that can be used", request->manifest);
  char *unit = !status && cases->unit ? strdup(cases->unit) : NULL;
  seer_words_release(&reader.columns);
  cases->unit = unit;
  if (status) seer_cases_release(cases);
  return status;
}

void seer_cases_release(SeerCases *cases) {
  for (int i = 0; i < cases->attribute_count; i++) free(cases->attributes[i]);
  free((char *)(uintptr_t)cases->unit);
  free(cases->items);
  free(cases->values);
  free(cases->repeats);
  free(cases->concepts);
  seer_words_release(&cases->words);
  seer_words_release(&cases->units);
  *cases = (SeerCases){.unit = NULL};
}
