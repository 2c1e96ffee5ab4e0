// The run folder; see rundir.h.
#include "runtime/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { RUN_FORMAT = 1, RUN_BYTES_MAX = 1 << 22 };

static const char run_name[] = "run.json";

SeerStatus seer_run_path(const SeerRun *run, const char *name, SeerPath *path) {
  return seer_path_print(path, "%s/%s", run->folder.text, name);
}

static char *text_absolute(const char *path) {
  char folder[SEER_PATH_MAX];
  char *text = NULL;
  if (path[0] == '/' || !getcwd(folder, sizeof folder)) return strdup(path);
  return asprintf(&text, "%s/%s", strcmp(folder, "/") ? folder : "", path) < 0 ? NULL : text;
}

static SeerStatus data_add(SeerRun *run, const char *pattern) {
  char *text = run->data.count < SEER_LIST_MAX ? text_absolute(pattern) : NULL;
  if (!text) return seer_fail(SEER_MACHINE, "no room for picture pattern '%s'", pattern);
  run->data.items[run->data.count++] = text;
  return SEER_OK;
}

static void data_clear(SeerRun *run) {
  for (int i = 0; i < run->data.count; i++) free((char *)(uintptr_t)run->data.items[i]);
  run->data = (SeerTextList){.count = 0};
  free(run->labels);
  run->labels = NULL;
}

static SeerStatus labels_set(SeerRun *run, const char *labels) {
  free(run->labels);
  run->labels = labels ? text_absolute(labels) : NULL;
  return labels && !run->labels ? seer_fail(SEER_MACHINE, "no memory for '%s'", labels) : SEER_OK;
}

SeerStatus seer_run_read(const char *folder, SeerRun *run) {
  *run = (SeerRun){.lock = -1};
  SeerPath path;
  char *text = NULL;
  uint64_t bytes = 0;
  SeerStatus status = seer_path_print(&run->folder, "%s", folder);
  if (!status) status = seer_run_path(run, run_name, &path);
  if (!status) status = seer_file_read(path.text, RUN_BYTES_MAX, &text, &bytes);
  if (status) return seer_context(status, "'%s' is no run folder", folder);
  json_error_t error;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error), *data = NULL;
  int format = 0;
  json_int_t steps = 0, pictures = 0;
  const char *seed = NULL, *labels = NULL, *keep = NULL;
  if (!root ||
      json_unpack(root, "{s:i, s:o, s?:s, s:s, s:I, s?:F, s?:I, s?:{s:s}}", "format", &format, "data", &data, "labels",
                  &labels, "seed", &seed, "steps", &steps, "epochs", &run->epochs, "pictures", &pictures, "keep",
                  "condition", &keep) != 0 ||
      format != RUN_FORMAT) {
    status = seer_fail(SEER_INPUT,
                       "'%s' is damaged\nnote: name the pictures with --data and start a new run with --out "
                       "and --weights",
                       path.text);
  }
  for (size_t i = 0; !status && i < json_array_size(data); i++) {
    const char *pattern = json_string_value(json_array_get(data, i));
    if (pattern) status = data_add(run, pattern);
  }
  if (!status) {
    status = labels_set(run, labels);
    run->keep = keep ? strdup(keep) : NULL;
    if (!status && keep && !run->keep) status = seer_fail(SEER_MACHINE, "no memory for '%s'", keep);
    run->seed = strtoull(seed, NULL, 10);
    run->steps = steps;
    run->pictures = pictures;
    run->existed = true;
  }
  json_decref(root);
  free(text);
  return status;
}

// The number of the newest NAME-runN beside us; 0: none.
static int run_newest(const char *name) {
  DIR *stream = opendir(".");
  int newest = 0;
  size_t length = strlen(name);
  for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;) {
    int number = 0, end = 0;
    if (strncmp(entry->d_name, name, length) != 0) continue;
    if (sscanf(entry->d_name + length, "-run%d%n", &number, &end) == 1 && !entry->d_name[length + (size_t)end] &&
        number > newest) {
      newest = number;
    }
  }
  if (stream) closedir(stream);
  return newest;
}

static SeerStatus folder_choose(const SeerProgram *program, const SeerOptions *options, SeerRun *run) {
  const char *resume = options->resume && *options->resume ? options->resume : NULL;
  if (resume && options->out && strcmp(resume, options->out) != 0) {
    return seer_fail(SEER_USAGE,
                     "--resume '%s' and --out '%s' name two folders\nnote: a run continues in its own folder; to "
                     "start another from its weights: --weights '%s' --out '%s'",
                     resume, options->out, resume, options->out);
  }
  if (resume && !seer_path_is_folder(resume)) {
    return seer_fail(SEER_INPUT, "there is no run folder '%s' to resume\nnote: to start one: --out '%s'", resume,
                     resume);
  }
  if (resume || options->out) return seer_path_print(&run->folder, "%s", resume ? resume : options->out);
  int newest = run_newest(program->name);
  if (options->resume && newest == 0) {
    return seer_fail(SEER_INPUT, "there is no run to resume: no folder '%s-run1' here\nnote: name it with --resume RUN",
                     program->name);
  }
  return seer_path_print(&run->folder, "%s-run%d", program->name, options->resume ? newest : newest + 1);
}

static SeerStatus run_lock(SeerRun *run) {
  SeerPath path;
  SeerStatus status = seer_run_path(run, "lock", &path);
  if (status) return status;
  run->lock = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (run->lock < 0) {
    return seer_fail(SEER_MACHINE,
                     "cannot write to folder '%s': %s\nnote: choose a folder that can be written with --out",
                     run->folder.text, strerror(errno));
  }
  char text[160] = "";
  if (flock(run->lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return seer_fail(SEER_MACHINE, "cannot lock '%s': %s", path.text, strerror(errno));
    ssize_t got = pread(run->lock, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return seer_fail(SEER_INPUT,
                     "'%s' is in use by another run%s%s%s\nnote: wait for it, stop it, or choose another folder "
                     "with --out",
                     run->folder.text, *text ? " (" : "", text, *text ? ")" : "");
  }
  char host[65] = "";
  gethostname(host, sizeof host - 1);
  int length = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
  if (ftruncate(run->lock, 0) == 0 && pwrite(run->lock, text, (size_t)length, 0) == length) return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot write '%s': %s\nnote: free some space or choose another folder with --out",
                   path.text, strerror(errno));
}

// A run trains on the pictures that it began with.
static SeerStatus keep_check(const SeerProgram *program, const SeerRun *run) {
  const char *now = program->keep ? program->keep->text : "all", *then = run->keep ? run->keep : "all";
  if (!run->existed || strcmp(now, then) == 0) return SEER_OK;
  return seer_fail(
      SEER_INPUT,
      "'%s' was started with data.keep = %s, this trainer has data.keep = %s\nnote: build with the same, or "
      "start a new run with --out and --weights '%s'",
      run->folder.text, then, now, run->folder.text);
}

static SeerStatus options_merge(const SeerProgram *program, const SeerOptions *options, SeerRun *run) {
  SeerStatus status = keep_check(program, run);
  if (status) return status;
  if (options->data.count > 0 || !run->existed) {
    data_clear(run);
    bool given = options->data.count > 0;
    for (int i = 0; i < options->data.count && !status; i++) status = data_add(run, options->data.items[i]);
    for (int i = 0; !given && program->pictures && program->pictures[i] && !status; i++) {
      status = data_add(run, program->pictures[i]);
    }
    if (!status) status = labels_set(run, options->labels ? options->labels : given ? NULL : program->labels);
  } else if (options->labels) {
    status = labels_set(run, options->labels);
  }
  if (run->existed && options->seed >= 0 && (uint64_t)options->seed != run->seed) {
    return seer_fail(SEER_INPUT,
                     "'%s' was started with --seed %" PRIu64 ", it cannot go on with %" PRId64
                     "\nnote: leave "
                     "--seed out, or start a new run with --out",
                     run->folder.text, run->seed, options->seed);
  }
  if (!run->existed) run->seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed;
  if (options->steps > 0 || options->epochs > 0) {
    run->steps = options->steps > 0 ? options->steps : 0;
    run->epochs = options->steps > 0 ? 0 : options->epochs;
  } else if (!run->existed) {
    run->steps = program->steps;
    run->epochs = program->steps > 0 ? 0 : program->epochs;
  }
  return status;
}

static SeerStatus run_refuse(const SeerOptions *options, const SeerRun *run) {
  return seer_fail(SEER_INPUT,
                   "'%s' already holds a run\nnote: continue it with `%s --resume '%s'`, or choose another folder "
                   "with --out",
                   run->folder.text, options->program, run->folder.text);
}

SeerStatus seer_run_open(const SeerProgram *program, const SeerOptions *options, SeerRun *run) {
  *run = (SeerRun){.lock = -1};
  SeerPath path;
  SeerStatus status = folder_choose(program, options, run);
  if (!status) status = seer_folder_make(run->folder.text);
  if (!status) status = run_lock(run);
  if (!status) status = seer_run_path(run, run_name, &path);
  if (!status && seer_path_exists(path.text)) {
    if (!options->resume) return run_refuse(options, run);
    SeerRun stored;
    status = seer_run_read(run->folder.text, &stored);
    stored.lock = run->lock;
    *run = stored;
  }
  return status ? status : options_merge(program, options, run);
}

SeerStatus seer_run_join(const SeerProgram *program, const SeerOptions *options, const char *folder, bool existed,
                         SeerRun *run) {
  *run = (SeerRun){.lock = -1};
  SeerStatus status = existed ? seer_run_read(folder, run) : seer_path_print(&run->folder, "%s", folder);
  return status ? status : options_merge(program, options, run);
}

static SeerStatus pieces_save(const SeerRun *run, const char *name, SeerPieces pieces) {
  SeerPath path;
  SeerStatus status = seer_run_path(run, name, &path);
  char *text = seer_pieces_join(pieces);
  if (!status && !text) status = seer_fail(SEER_MACHINE, "no memory to write '%s'", path.text);
  if (!status) status = seer_file_replace(path.text, text, strlen(text));
  free(text);
  return status;
}

// {condition, pictures, kept, dropped, unknown, terms: [{term, true, unknown}]}
static json_t *keep_describe(const SeerKeep *keep, const SeerKeepCounts *counts) {
  json_t *terms = json_array();
  for (int i = 0; i < keep->term_count; i++) {
    json_array_append_new(
        terms, json_pack("{s:s, s:I, s:I}", "term", keep->terms[i].text, "true", (json_int_t)counts->holds[i],
                         "unknown", (json_int_t)counts->without_value[i]));
  }
  int64_t dropped = counts->pictures - counts->kept - counts->unknown;
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "condition", keep->text, "pictures", (json_int_t)counts->pictures,
                   "kept", (json_int_t)counts->kept, "dropped", (json_int_t)dropped, "unknown",
                   (json_int_t)counts->unknown, "terms", terms);
}

SeerStatus seer_run_describe(const SeerProgram *program, const SeerRun *run) {
  char seed[24];
  snprintf(seed, sizeof seed, "%" PRIu64, run->seed);
  json_t *data = json_array();
  for (int i = 0; i < run->data.count; i++) json_array_append_new(data, json_string(run->data.items[i]));
  json_t *root =
      json_pack("{s:i, s:s, s:s, s:o, s:s*, s:s, s:I, s:f, s:I}", "format", RUN_FORMAT, "program", program->name,
                "seer", program->seer_version, "data", data, "labels", run->labels, "seed", seed, "steps",
                (json_int_t)run->steps, "epochs", run->epochs, "pictures", (json_int_t)run->pictures);
  if (root && program->keep) json_object_set_new(root, "keep", keep_describe(program->keep, &run->kept));
  char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
  json_decref(root);
  if (!text) return seer_fail(SEER_INPUT, "a picture pattern or label path is no valid UTF-8");
  SeerPath path;
  SeerStatus status = seer_run_path(run, run_name, &path);
  if (!status) status = seer_file_replace(path.text, text, strlen(text));
  if (!status) status = pieces_save(run, "spec.seer", program->spec_text);
  if (!status) status = pieces_save(run, "plan.json", program->plan_json);
  free(text);
  return status;
}

void seer_run_release(SeerRun *run) {
  data_clear(run);
  free(run->keep);
  run->keep = NULL;
  if (run->lock >= 0) close(run->lock);
  run->lock = -1;
}
