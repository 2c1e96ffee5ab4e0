// Longest common subsequence by dynamic programming over the part between the common head and tail. Beyond
// LARGEST_TABLE that part is printed as replaced whole, which is still a correct diff.
#include "compiler/driver/diff.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LARGEST_TABLE ((size_t)4 * 1024 * 1024)
#define CONTEXT 3

typedef struct Line {
  const char *text;
  size_t length;  // with its newline
} Line;

typedef struct Lines {
  Line *items;
  size_t count, capacity;
} Lines;

typedef struct Edit {
  char kind;  // ' ' '-' '+'
  Line line;
} Edit;

typedef struct Edits {
  Edit *items;
  size_t count, capacity;
} Edits;

static Lines split(Arena *arena, const char *text) {
  Lines lines = {0};
  while (*text) {
    const char *end = strchr(text, '\n');
    Line line = {.text = text, .length = end ? (size_t)(end - text) + 1 : strlen(text)};
    arena_push(arena, &lines, Line, line);
    text += line.length;
  }
  return lines;
}

static bool same(const Line *a, const Line *b) {
  return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static void add(Arena *arena, Edits *edits, char kind, const Line *lines, size_t count) {
  for (size_t i = 0; i < count; i++) {
    Edit edit = {.kind = kind, .line = lines[i]};
    arena_push(arena, edits, Edit, edit);
  }
}

static void add_middle(Arena *arena, Edits *edits, const Line *a, size_t a_count, const Line *b, size_t b_count) {
  size_t width = b_count + 1;
  if ((a_count + 1) * width > LARGEST_TABLE) {
    add(arena, edits, '-', a, a_count);
    add(arena, edits, '+', b, b_count);
    return;
  }
  uint32_t *common = arena_array(arena, uint32_t, (a_count + 1) * width);
  for (size_t i = a_count; i-- > 0;) {
    for (size_t j = b_count; j-- > 0;) {
      uint32_t down = common[(i + 1) * width + j], right = common[i * width + j + 1];
      common[i * width + j] = same(&a[i], &b[j]) ? common[(i + 1) * width + j + 1] + 1 : down > right ? down : right;
    }
  }
  size_t i = 0, j = 0;
  while (i < a_count || j < b_count) {
    if (i < a_count && j < b_count && same(&a[i], &b[j])) {
      add(arena, edits, ' ', &a[i++], 1);
      j++;
    } else if (i < a_count && (j == b_count || common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      add(arena, edits, '-', &a[i++], 1);
    } else {
      add(arena, edits, '+', &b[j++], 1);
    }
  }
}

static Edits edits_between(Arena *arena, const Lines *a, const Lines *b) {
  Edits edits = {0};
  size_t head = 0, tail = 0;
  while (head < a->count && head < b->count && same(&a->items[head], &b->items[head])) head++;
  size_t rest = (a->count < b->count ? a->count : b->count) - head;
  while (tail < rest && same(&a->items[a->count - 1 - tail], &b->items[b->count - 1 - tail])) tail++;
  if (head) add(arena, &edits, ' ', a->items, head);
  size_t a_middle = a->count - head - tail, b_middle = b->count - head - tail;
  if (a_middle || b_middle) add_middle(arena, &edits, a->items + head, a_middle, b->items + head, b_middle);
  if (tail) add(arena, &edits, ' ', a->items + a->count - tail, tail);
  return edits;
}

// End of the hunk that begins with the change at `from`: changes nearer than two contexts share it.
static size_t hunk_end(const Edits *edits, size_t from) {
  size_t end = from, quiet = 0;
  for (size_t i = from; i < edits->count && quiet <= 2 * CONTEXT; i++) {
    quiet = edits->items[i].kind == ' ' ? quiet + 1 : 0;
    if (!quiet) end = i + 1;
  }
  return end;
}

static void print_hunk(const Edits *edits, size_t begin, size_t end, size_t a_line, size_t b_line, Writer *out) {
  size_t a_count = 0, b_count = 0;
  for (size_t i = begin; i < end; i++) {
    a_count += edits->items[i].kind != '+';
    b_count += edits->items[i].kind != '-';
  }
  writer_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", a_count ? a_line : a_line - 1, a_count, b_count ? b_line : b_line - 1,
                b_count);
  for (size_t i = begin; i < end; i++) {
    const Edit *edit = &edits->items[i];
    writer_printf(out, "%c", edit->kind);
    writer_bytes(out, edit->line.text, edit->line.length);
    if (edit->line.text[edit->line.length - 1] != '\n') writer_text(out, "\n\\ No newline at end of file\n");
  }
}

void diff_print(Arena *arena, const char *name, const char *before, const char *after, Writer *out) {
  Lines a = split(arena, before), b = split(arena, after);
  Edits edits = edits_between(arena, &a, &b);
  writer_printf(out, "--- %s\n+++ %s\n", name, name);
  size_t a_line = 1, b_line = 1, printed = 0;
  for (size_t i = 0; i < edits.count; i++) {
    if (edits.items[i].kind == ' ') continue;
    size_t begin = i - printed > CONTEXT ? i - CONTEXT : printed;
    size_t end = hunk_end(&edits, i);
    end = edits.count - end > CONTEXT ? end + CONTEXT : edits.count;
    for (size_t k = printed; k < begin; k++) a_line++, b_line++;
    print_hunk(&edits, begin, end, a_line, b_line, out);
    for (size_t k = begin; k < end; k++) {
      a_line += edits.items[k].kind != '+';
      b_line += edits.items[k].kind != '-';
    }
    printed = end;
    i = end - 1;
  }
}
