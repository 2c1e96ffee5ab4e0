// Tables as text: rows and fields come back as they were written, whatever stands in them and wherever the reader's
// buffer ends; manifests by chance damaged are read or refused with a line, and what is read of them stays the same.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"
#include "compiler/base/writer.h"
#include "compiler/data/keys.h"
#include "compiler/data/manifest.h"
#include "compiler/data/tar_write.h"
#include "runtime/files.h"
#include "runtime/random.h"

enum { MUTANTS = 20000, ROUNDS = 300 };

static char in_memory[] = "/dev/shm/seer-table-XXXXXX", on_disk[] = "/tmp/seer-table-XXXXXX";
static const char *folder;  // in memory where that can be: tens of thousands of files would keep a disk busy

static const char *file_write(const char *name, const char *bytes, size_t count) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, count, file), count);
  assert_int_equal(fclose(file), 0);
  return path;
}

static void split_check(TableKind kind, const char *row, const char *const *wanted, const char *fault) {
  char *fields[TABLE_FIELDS_MAX], *copy = strdup(row);
  const char *told;
  int count = table_split(kind, copy, strlen(copy), fields, &told);
  if (fault != NULL) {
    assert_int_equal(count, -1);
    assert_non_null(strstr(told, fault));
  } else {
    int i = 0;
    for (; wanted[i] != NULL; i++) {
      assert_true(i < count);
      assert_string_equal(fields[i], wanted[i]);
    }
    assert_int_equal(count, i);
  }
  free(copy);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_split(void **state) {
  split_check(TABLE_CSV, "", FIELDS(""), NULL);
  split_check(TABLE_CSV, ",", FIELDS("", ""), NULL);
  split_check(TABLE_CSV, "a,b c,", FIELDS("a", "b c", ""), NULL);
  split_check(TABLE_CSV, "\"\",\"\"\"\",\"a\"\"b\"", FIELDS("", "\"", "a\"b"), NULL);
  split_check(TABLE_CSV, "\"x,\r\ny\",1", FIELDS("x,\r\ny", "1"), NULL);
  split_check(TABLE_CSV, "5\" wide, \"b\"", FIELDS("5\" wide", " \"b\""), NULL);
  split_check(TABLE_CSV, "a\tb", FIELDS("a\tb"), NULL);
  split_check(TABLE_TSV, "a,b\t\"c\td\"", FIELDS("a,b", "c\td"), NULL);
  split_check(TABLE_CSV, "\"", NULL, "not closed");
  split_check(TABLE_CSV, "a,\"b\"\"", NULL, "not closed");
  split_check(TABLE_CSV, "\"a\" ,b", NULL, "behind a closing quote");
  split_check(TABLE_CSV, "a\rb", NULL, "carriage return");
  (void)state;
}

static void field_print(Writer *out, const char *field, bool quotes) {
  if (!quotes && strpbrk(field, ",\t\"\r\n") == NULL) {
    writer_text(out, field);
    return;
  }
  writer_text(out, "\"");
  for (const char *at = field; *at != '\0'; at++) writer_bytes(out, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
  writer_text(out, "\"");
}

// Rows of up to 70,000 bytes, so that each place in a row is once where the buffer of the reader ends.
static void test_rows(void **state) {
  static const char *const pieces[] = {"a", ",", "\"", "\n", "\r\n", "\t", "\xC3\xA9", " ", "\"\"", "longer text"};
  uint64_t checked = 0;
  for (uint64_t round = 0; round < ROUNDS; round++) {
    SeerRandom random = seer_random_make(5, SEER_STREAM_STEP, 0, round, 0);
    TableKind kind = round % 2 ? TABLE_TSV : TABLE_CSV;
    const char *end = seer_random_below(&random, 2) ? "\n" : "\r\n";
    Writer text = {0}, fields = {0};  // fields: one behind the other, each with its NUL
    int rows = 1 + (int)seer_random_below(&random, 60), columns = 1 + (int)seer_random_below(&random, 4);
    if (round % 3 == 0) writer_text(&text, "\xEF\xBB\xBF");
    for (int i = 0; i < rows * columns; i++) {
      Writer field = {0};
      writer_text(&field, i % columns == 0 ? "first" : "");
      uint32_t count = seer_random_below(&random, round % 10 == 0 ? 20000 : 6);
      while (count-- > 0) writer_text(&field, pieces[seer_random_below(&random, 10)]);
      field_print(&text, field.text, seer_random_below(&random, 2));
      if ((i + 1) % columns != 0) writer_text(&text, kind == TABLE_TSV ? "\t" : ",");
      if ((i + 1) % columns == 0 && (i + 1 < rows * columns || round % 4 != 0)) writer_text(&text, end);
      if (round % 5 == 0 && (i + 1) % columns == 0) writer_text(&text, end);
      writer_bytes(&fields, field.text, field.size + 1);
      writer_release(&field);
    }
    const char *path = file_write("rows.csv", text.text, text.size), *wanted = fields.text, *fault;
    TableReader reader;
    TableRow row;
    assert_int_equal(table_open(&reader, path, kind), SEER_OK);
    while (assert_int_equal(table_next(&reader, &row), SEER_OK), row.bytes != NULL) {
      char *found[TABLE_FIELDS_MAX];
      uint64_t line = 1;
      for (size_t i = 0; i < row.offset; i++) line += text.text[i] == '\n';
      assert_int_equal(row.line, line);
      assert_memory_equal(text.text + row.offset, row.bytes, row.length);
      assert_int_equal(table_split(kind, row.bytes, row.length, found, &fault), columns);
      for (int i = 0; i < columns; i++, checked++) {
        assert_string_equal(found[i], wanted);
        wanted += strlen(wanted) + 1;
      }
    }
    assert_int_equal(wanted - fields.text, fields.size);
    table_close(&reader);
    writer_release(&text);
    writer_release(&fields);
  }
  assert_true(checked > 10000);
  (void)state;
}

static const char *const sound[] = {
    "path,label,key,country,age,text\n"
    "a.jpg,cat,k1,FR,3,\"two\nlines\"\nb.jpg,dog,,DE,4.5,plain\r\nt.tar:m/1.jpg,\"a \"\"b\"\"\",k/2,,,\n"
    "\xC3\xA9.jpg,,,it,-1e3,\xC3\xA9\nsub/../a.jpg,x,k1,x,7,\"\"\n",
    "{\"path\": \"a.jpg\", \"label\": 3, \"country\": \"FR\", \"n\": [1, {\"a\": null}]}\n\n"
    "{\"image\": \"t.tar:m/1.jpg\", \"key\": \"k\", \"age\": -1.5e3, \"t\": true}\r\n{\"file\": \"b.jpg\", \"label\": "
    "\"x\"}",
};

// Reads a manifest as pack does; the columns of all that is read, as one text.
static SeerStatus manifest_read(const char *path, Writer *told, uint64_t *pictures) {
  Arena *arena = arena_make("manifest");
  DataSamples samples = {0};
  told->size = 0;
  seer_error_clear();
  SeerStatus status = data_manifest_gather(arena, path, &samples);
  const char **keys = status == SEER_OK ? data_keys_make(arena, &samples) : NULL;
  for (size_t i = 0; status == SEER_OK && i < samples.count; i++) {
    DataFacts facts = {0};
    const char *left;
    assert_non_null(keys);
    assert_true(keys[i][0] != '\0' && keys[i][0] != '/' && strstr(keys[i], "/../") == NULL);
    status = data_companions_read(&samples.items[i], &facts, &left);
    assert_int_equal(status, SEER_OK);
    char *columns = json_dumps(facts.columns, JSON_COMPACT | JSON_SORT_KEYS);
    assert_non_null(columns);
    writer_printf(told, "%s %s %s\n", samples.items[i].shown, facts.label != NULL ? facts.label : "-", columns);
    *pictures += samples.items[i].damage == NULL;
    free(columns);
    data_facts_release(&facts);
  }
  arena_release(arena);
  return status;
}

static void test_mutants(void **state) {
  static const char marks[] = ",,\"\n\r\t{}:./\\u0";
  uint64_t read = 0, refused = 0, pictures = 0;
  Writer told = {0}, again = {0};
  for (uint64_t round = 0; round < MUTANTS; round++) {
    SeerRandom random = seer_random_make(17, SEER_STREAM_STEP, 0, round, 0);
    const char *from = sound[round % 2];
    size_t count = strlen(from);
    char *bytes = strdup(from);
    for (size_t i = 0; round % 4 == 2 && i < count; i++) {
      if (bytes[i] == ',') { bytes[i] = '\t'; }
    }
    for (uint32_t i = 0; i < round % 4; i++) {
      uint32_t at = seer_random_below(&random, (uint32_t)count);
      bytes[at] = seer_random_below(&random, 2) ? (char)seer_random_word(&random)
                                                : marks[seer_random_below(&random, sizeof marks)];
    }
    if (round % 10 == 0) count = seer_random_below(&random, (uint32_t)count);
    const char *path = file_write(round % 2 ? "m.jsonl" : round % 4 == 2 ? "m.tsv" : "m.csv", bytes, count);
    SeerStatus status = manifest_read(path, &told, &pictures);
    assert_true(status == SEER_OK || (status == SEER_INPUT && strstr(seer_error(), path) != NULL));
    if (status == SEER_OK) {
      assert_int_equal(manifest_read(path, &again, &pictures), SEER_OK);
      assert_true(told.size == again.size && (told.size == 0 || memcmp(told.text, again.text, told.size) == 0));
    }
    read += status == SEER_OK;
    refused += status != SEER_OK;
    free(bytes);
  }
  seer_error_clear();
  print_message("%d mutants read, %d refused, %d pictures\n", (int)read, (int)refused, (int)pictures);
  assert_true(read > MUTANTS / 10 && refused > MUTANTS / 10 && pictures > MUTANTS / 4);
  writer_release(&told);
  writer_release(&again);
  (void)state;
}

// A manifest that changes between its walk and the reading of a row is found out.
static void test_changed(void **state) {
  const char *path = file_write("m.csv", sound[0], strlen(sound[0]));
  Arena *arena = arena_make("manifest");
  DataSamples samples = {0};
  DataFacts facts = {0};
  const char *left;
  assert_int_equal(data_manifest_gather(arena, path, &samples), SEER_OK);
  assert_int_equal(samples.count, 5);
  Writer changed = {0};
  writer_text(&changed, sound[0]);
  *strstr(changed.text, "FR") = 'f';
  file_write("m.csv", changed.text, changed.size);
  assert_int_equal(data_companions_read(&samples.items[0], &facts, &left), SEER_INPUT);
  assert_non_null(strstr(seer_error(), "was changed while it was read: line 2"));
  data_facts_release(&facts);
  file_write("m.csv", changed.text, 10);
  assert_int_equal(data_companions_read(&samples.items[1], &facts, &left), SEER_INPUT);
  data_facts_release(&facts);
  seer_error_clear();
  writer_release(&changed);
  arena_release(arena);
  (void)state;
}

static int folder_make(void **state) {
  (void)state;
  Writer archive = {0};
  folder = mkdtemp(in_memory);
  if (folder == NULL) { folder = mkdtemp(on_disk); }
  if (folder == NULL) { return 1; }
  tar_member_print(&archive, "m/1.jpg", "\xFF\xD8\xFF", 3);
  tar_end_print(&archive);
  file_write("t.tar", archive.text, archive.size);
  file_write("a.jpg", "\xFF\xD8\xFF", 3);
  file_write("b.jpg", "\xFF\xD8\xFF", 3);
  writer_release(&archive);
  return 0;
}

static int folder_remove(void **state) {
  (void)state;
  return seer_folder_remove(folder) != SEER_OK;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_split), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_mutants), cmocka_unit_test(test_changed)};
  return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
