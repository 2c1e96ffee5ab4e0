// The condition of data.keep as tables of the emitted program.c.
#include <inttypes.h>

#include "codegen/emit.h"

static void print_term_lists(const SeerKeepTerm *term, int number, Writer *out) {
  if (term->word_count > 0) {
    writer_printf(out, "static const char *const keep_words_%d[] = {", number);
    for (int i = 0; i < term->word_count; i++) {
      if (i > 0) writer_text(out, i % 8 == 0 ? ",\n  " : ", ");
      print_c_string(out, term->words[i]);
    }
    writer_text(out, "};\n");
  }
  if (term->number_count > 0) {
    writer_printf(out, "static const double keep_numbers_%d[] = {", number);
    for (int i = 0; i < term->number_count; i++) {
      if (i > 0) writer_text(out, i % 8 == 0 ? ",\n  " : ", ");
      writer_json_number(out, term->numbers[i]);
    }
    writer_text(out, "};\n");
  }
}

static void print_term(const SeerKeepTerm *term, int number, Writer *out) {
  static const char *const relations[] = {"IN", "LESS", "AT_MOST", "MORE", "AT_LEAST", "UNKNOWN"};
  writer_text(out, "  {.text = ");
  print_c_string(out, term->text);
  writer_text(out, ", .column = ");
  print_c_string(out, term->column);
  writer_printf(out, ",\n   .relation = SEER_KEEP_%s", relations[term->relation]);
  if (term->word_count > 0) writer_printf(out, ", .words = keep_words_%d, .word_count = %d", number, term->word_count);
  if (term->number_count > 0)
    writer_printf(out, ", .numbers = keep_numbers_%d, .number_count = %d", number, term->number_count);
  writer_text(out, "},\n");
}

void print_keep(const SeerKeep *keep, Writer *out) {
  static const char *const operations[] = {"TERM", "NOT", "AND", "OR"};
  for (int i = 0; i < keep->term_count; i++) print_term_lists(&keep->terms[i], i, out);
  writer_text(out, "static const SeerKeepTerm keep_terms[] = {\n");
  for (int i = 0; i < keep->term_count; i++) print_term(&keep->terms[i], i, out);
  writer_text(out, "};\nstatic const SeerKeepStep keep_steps[] = {\n");
  for (int i = 0; i < keep->step_count; i++)
    writer_printf(out, "  {SEER_KEEP_%s, %d},\n", operations[keep->steps[i].operation], keep->steps[i].term);
  writer_text(out, "};\nconst SeerKeep keep = {\n  .text = ");
  print_c_string(out, keep->text);
  writer_printf(out, ",\n  .terms = keep_terms, .term_count = %d, .steps = keep_steps, .step_count = %d,\n};\n\n",
                keep->term_count, keep->step_count);
}
