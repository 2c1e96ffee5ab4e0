// Prints tables; see text_table.h.
#include "compiler/driver/text_table.h"

#include <string.h>

#include "runtime/page.h"

void text_table_column(TextTable *table, const char *head, bool left) {
  TextColumn column = {head, left};
  arena_push(table->arena, &table->columns, TextColumn, column);
}

void text_table_cell(TextTable *table, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *text = arena_vprintf(table->arena, format, arguments);
  va_end(arguments);
  while (*text == ' ') text++;
  arena_push(table->arena, &table->cells, const char *, text);
}

void text_table_take(TextTable *table, Writer *cell) {
  text_table_cell(table, "%s", cell->text ? cell->text : "");
  writer_release(cell);
}

// In characters.
static int width_of(const char *text) {
  int width = 0;
  for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
  return width;
}

static int column_width(const TextTable *table, size_t column) {
  int width = width_of(table->columns.items[column].head);
  for (size_t i = column; i < table->cells.count; i += table->columns.count) {
    int own = width_of(table->cells.items[i]);
    if (own > width) width = own;
  }
  return width;
}

static const char *const *heads_of(const TextTable *table) {
  const char **heads = arena_array(table->arena, const char *, table->columns.count + 1);
  for (size_t c = 0; c < table->columns.count; c++) heads[c] = table->columns.items[c].head;
  return heads;
}

static void row_print(const TextTable *table, const char *const *cells, const int *widths, Writer *out) {
  Writer line = {0};
  bool has_marks = !*table->columns.items[0].head;
  for (size_t c = 0; c < table->columns.count; c++) {
    bool left = table->columns.items[c].left;
    int room = widths[c] - width_of(cells[c]);
    if (c) writer_text(&line, c == 1 && has_marks ? " " : "  ");
    writer_printf(&line, "%*s%s%*s", left ? 0 : room, "", cells[c], left ? room : 0, "");
  }
  while (line.size && line.text[line.size - 1] == ' ') line.size--;
  writer_bytes(out, line.text, line.size);
  writer_text(out, "\n");
  writer_release(&line);
}

void text_table_print(const TextTable *table, Writer *out) {
  size_t count = table->columns.count;
  int *widths = arena_array(table->arena, int, count + 1);
  for (size_t c = 0; c < count; c++) widths[c] = column_width(table, c);
  row_print(table, heads_of(table), widths, out);
  for (size_t i = 0; i < table->cells.count; i += count) row_print(table, &table->cells.items[i], widths, out);
}

static void row_print_html(const TextTable *table, const char *const *cells, const char *element, FILE *page) {
  fputs("<tr>", page);
  for (size_t c = 0; c < table->columns.count; c++) {
    fprintf(page, "<%s%s>", element, table->columns.items[c].left ? "" : " class=\"n\"");
    seer_page_escape(page, cells[c]);
    fprintf(page, "</%s>", element);
  }
  fputs("</tr>\n", page);
}

void text_table_print_html(const TextTable *table, FILE *page) {
  fputs("<div class=\"wide\"><table class=\"who\"><thead>", page);
  row_print_html(table, heads_of(table), "th", page);
  fputs("</thead><tbody>", page);
  for (size_t i = 0; i < table->cells.count; i += table->columns.count)
    row_print_html(table, &table->cells.items[i], "td", page);
  fputs("</tbody></table></div>\n", page);
}
