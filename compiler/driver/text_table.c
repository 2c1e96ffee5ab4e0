// Prints tables; see text_table.h.
#include "compiler/driver/text_table.h"

#include <string.h>

#include "compiler/base/bug.h"
#include "runtime/page.h"

void text_table_column(TextTable *table, const char *head, bool left) {
  if (table->column_count == TEXT_TABLE_COLUMNS) BUG("a table with more than %d columns", TEXT_TABLE_COLUMNS);
  table->heads[table->column_count] = head;
  table->left[table->column_count++] = left;
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

static int column_width(const TextTable *table, int column) {
  int width = width_of(table->heads[column]);
  for (size_t i = (size_t)column; i < table->cells.count; i += (size_t)table->column_count) {
    int own = width_of(table->cells.items[i]);
    if (own > width) width = own;
  }
  return width;
}

static void row_print(const TextTable *table, const char *const *cells, const int *widths, Writer *out) {
  Writer line = {0};
  for (int c = 0; c < table->column_count; c++) {
    int room = widths[c] - width_of(cells[c]);
    writer_printf(&line, "%s%*s%s%*s", c ? "  " : "", table->left[c] ? 0 : room, "", cells[c],
                  table->left[c] ? room : 0, "");
  }
  while (line.size && line.text[line.size - 1] == ' ') line.size--;
  writer_bytes(out, line.text, line.size);
  writer_text(out, "\n");
  writer_release(&line);
}

void text_table_print(const TextTable *table, Writer *out) {
  int widths[TEXT_TABLE_COLUMNS];
  for (int c = 0; c < table->column_count; c++) widths[c] = column_width(table, c);
  row_print(table, table->heads, widths, out);
  for (size_t i = 0; i < table->cells.count; i += (size_t)table->column_count)
    row_print(table, &table->cells.items[i], widths, out);
}

static void row_print_html(const TextTable *table, const char *const *cells, const char *element, FILE *page) {
  fputs("<tr>", page);
  for (int c = 0; c < table->column_count; c++) {
    fprintf(page, "<%s%s>", element, table->left[c] ? "" : " class=\"n\"");
    seer_page_escape(page, cells[c]);
    fprintf(page, "</%s>", element);
  }
  fputs("</tr>\n", page);
}

void text_table_print_html(const TextTable *table, FILE *page) {
  fputs("<div class=\"wide\"><table class=\"who\"><thead>", page);
  row_print_html(table, table->heads, "th", page);
  fputs("</thead><tbody>", page);
  for (size_t i = 0; i < table->cells.count; i += (size_t)table->column_count)
    row_print_html(table, &table->cells.items[i], "td", page);
  fputs("</tbody></table></div>\n", page);
}
