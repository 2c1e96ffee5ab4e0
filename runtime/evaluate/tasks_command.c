// TRAINER tasks: measures a list of data sets, or puts results side by side; see tasks.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/evaluate/tasks.h"
#include "runtime/files.h"

static SeerStatus json_print(json_t *json) {
  char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
  json_decref(json);
  if (!text) return seer_fail(SEER_MACHINE, "no memory for the result");
  printf("%s\n", text);
  free(text);
  return SEER_OK;
}

static SeerStatus page_write(const SeerTaskModels *models, const SeerOptions *options) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *page = open_memstream(&text, &bytes);
  if (!page) return seer_fail(SEER_MACHINE, "no memory for the page");
  seer_task_models_page(models, page);
  SeerStatus status = fclose(page) == 0 ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for the page");
  if (!status) status = seer_file_replace(options->html_page, text, bytes);
  if (!status && !options->quiet && !options->json) printf("'%s'\n", options->html_page);
  free(text);
  return status;
}

static SeerStatus compare(const SeerOptions *options, const char *const *paths, int count, bool prints) {
  SeerTaskModels models;
  SeerStatus status = seer_task_models_load(paths, count, options->against_models, &models);
  if (status) return status;
  if (models.unknown_columns && !options->quiet)
    fprintf(stderr, "note: %d columns of '%s' are no tasks of the results, '%s' the first of them\n",
            models.unknown_columns, options->against_models, models.unknown);
  if (prints && options->json)
    status = json_print(seer_task_models_json(&models));
  else if (!options->json)
    seer_task_models_print(&models, stdout);
  if (!status && options->html_page) status = page_write(&models, options);
  seer_task_models_release(&models);
  return status;
}

static SeerStatus measure(const SeerProgram *program, const SeerOptions *options) {
  const char *list = options->tasks ? options->tasks : program->evaluate_tasks;
  const char *out = options->out ? options->out : "tasks.json";
  json_t *result = NULL;
  if (!list)
    return seer_fail(SEER_USAGE,
                     "which tasks?\nnote: --tasks LIST, or evaluate.tasks in the spec; or, to put results "
                     "side by side, --result FILE for each");
  if (!options->weights == !options->untrained)
    return seer_fail(SEER_USAGE, "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors, or --untrained");
  SeerStatus status = seer_tasks_measure(program, options, list, out, &result);
  if (!status && options->json)
    status = json_print(json_incref(result));
  else if (!status)
    seer_tasks_print(result, stdout);
  if (!status && !options->quiet && !options->json) printf("the result is in '%s'\n", out);
  if (!status && (options->against_models || options->html_page)) status = compare(options, &out, 1, false);
  if (!status) status = seer_tasks_judge(result);
  json_decref(result);
  return status;
}

SeerStatus seer_command_tasks(const SeerProgram *program, const SeerOptions *options) {
  if (!options->result.count) return measure(program, options);
  if (options->weights || options->untrained || options->tasks || options->out || options->cache)
    return seer_fail(SEER_USAGE,
                     "results are given as files: --weights, --untrained, --tasks, --out and --cache are not "
                     "wanted then\nnote: the page goes to --html FILE");
  return compare(options, options->result.items, options->result.count, true);
}
