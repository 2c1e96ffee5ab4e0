// A table whose cells are texts: in columns for a terminal, or as HTML.
#ifndef SEER_DRIVER_TEXT_TABLE_H
#define SEER_DRIVER_TEXT_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler/base/arena.h"
#include "compiler/base/writer.h"

typedef struct TextColumn {
  const char *head;
  bool left;  // texts; numbers stand to the right
} TextColumn;

typedef struct TextTable {
  Arena *arena;
  struct {
    TextColumn *items;
    size_t count, capacity;
  } columns;
  struct {
    const char **items;  // row by row
    size_t count, capacity;
  } cells;
} TextTable;

// A first column without a head is for marks: the next stands closer.
void text_table_column(TextTable *table, const char *head, bool left);
// The next cell, of the columns in order, row by row.
void text_table_cell(TextTable *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
// What the writer holds becomes the next cell; the writer is released.
void text_table_take(TextTable *table, Writer *cell);
void text_table_print(const TextTable *table, Writer *out);
void text_table_print_html(const TextTable *table, FILE *page);

#endif
