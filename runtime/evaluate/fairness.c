// The command: runs one of the indicators, writes its result, prints it, and says when not all could be measured.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/evaluate/label_lists.h"
#include "runtime/evaluate/study.h"
#include "runtime/files.h"

static const struct {
  const char *name;
  SeerIndicator *run;
} indicators[] = {
    {"labels", seer_study_labels}, {"geography", seer_study_geography}, {"retrieval", seer_study_retrieval}};

static SeerStatus result_write(const json_t *result, const SeerOptions *options) {
  char *text = json_dumps(result, JSON_INDENT(1));
  if (!text) return seer_fail(SEER_MACHINE, "no memory to write the result");
  SeerStatus status = options->out ? seer_file_replace(options->out, text, strlen(text)) : SEER_OK;
  if (!status && options->json)
    printf("%s\n", text);
  else if (!status && !(options->quiet && options->out))
    seer_result_print(result, stdout);
  free(text);
  return status;
}

// Pictures that should have been measured and were not make the result one of others than were asked for.
static SeerStatus losses_judge(const json_t *result, const SeerOptions *options) {
  const json_t *told = json_object_get(result, "told"), *first = NULL;
  double losses = 0;
  for (size_t i = 0; i < json_array_size(told); i++) {
    const json_t *row = json_array_get(told, i);
    if (!json_is_true(json_object_get(row, "loss"))) continue;
    losses += seer_result_number(row, "count");
    if (!first) first = row;
  }
  if (!first || options->allow_missing) return SEER_OK;
  return seer_fail(
      SEER_INPUT,
      "%.0f of %.0f pictures used, %.0f are missing: %s, the first '%.300s'\nnote: the result is of the others; "
      "--allow-missing if that is what is wanted",
      seer_result_number(result, "pictures_used"), seer_result_number(result, "pictures"), losses,
      seer_result_text(first, "what"), seer_result_text(first, "first"));
}

static SeerStatus groups_print(const SeerOptions *options) {
  SeerLabelLists lists;
  SeerStatus status = options->groups
                          ? seer_label_lists_load(options->groups, &lists)
                          : seer_label_lists_default(options->layout && !strcmp(options->layout, "miap"), &lists);
  if (status) return status;
  seer_label_lists_print(&lists, stdout);
  seer_label_lists_release(&lists);
  return SEER_OK;
}

static SeerStatus page_write(const SeerOptions *options) {
  const char *path = options->out ? options->out : "fairness.html";
  char *text = NULL;
  size_t bytes = 0;
  if (options->result.count == 0)
    return seer_fail(SEER_USAGE,
                     "which results?\nnote: --result FILE for each model, as 'fairness labels --out FILE' "
                     "has written them");
  FILE *page = open_memstream(&text, &bytes);
  if (!page) return seer_fail(SEER_MACHINE, "no memory for the page");
  SeerStatus status = seer_fairness_page(options->result.items, options->result.count, page);
  if (fclose(page) != 0 && !status) status = seer_fail(SEER_MACHINE, "no memory for the page");
  if (!status) status = seer_file_replace(path, text, bytes);
  if (!status && !options->quiet) printf("'%s'\n", path);
  free(text);
  return status;
}

SeerStatus seer_command_fairness(const SeerProgram *program, const SeerOptions *options) {
  const char *what = options->operand ? options->operand : "";
  SeerTold told = {.count = 0};
  if (strcmp(what, "groups") == 0) return groups_print(options);
  if (strcmp(what, "page") == 0) return page_write(options);
  if (options->replicates >= 0 && (options->replicates < SEER_REPLICATES_LEAST || options->replicates > 1000000))
    return seer_fail(SEER_USAGE, "'--replicates' is from %d to 1000000", SEER_REPLICATES_LEAST);
  for (size_t i = 0; i < sizeof indicators / sizeof *indicators; i++) {
    if (strcmp(what, indicators[i].name) != 0) continue;
    json_t *result = NULL;
    SeerStatus status = indicators[i].run(program, options, &told, &result);
    if (!status) status = result_write(result, options);
    if (!status) status = losses_judge(result, options);
    json_decref(result);
    seer_told_release(&told);
    return status;
  }
  return seer_fail(SEER_USAGE, "fairness of what?%s%.60s%s\nnote: labels, geography, retrieval, groups or page",
                   *what ? " '" : "", what, *what ? "' is none of its indicators" : "");
}
