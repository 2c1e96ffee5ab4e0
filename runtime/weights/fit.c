// Comparing weights with what is wanted; see fit.h.
#include "runtime/weights/fit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/finite.h"

enum { NAMED_MAX = 4, LIST_BYTES = 1024 };

// "'a', 'b' and 7 more".
typedef struct Names {
  int count;
  size_t at;
  char text[LIST_BYTES];
} Names;

__attribute__((format(printf, 2, 3))) static void names_add(Names *names, const char *format, ...) {
  if (names->count++ >= NAMED_MAX) return;
  va_list arguments;
  va_start(arguments, format);
  if (names->count > 1) names->at += (size_t)snprintf(names->text + names->at, LIST_BYTES - names->at, ", ");
  int written = vsnprintf(names->text + names->at, LIST_BYTES - names->at, format, arguments);
  names->at += written > 0 ? (size_t)written : 0;
  if (names->at >= LIST_BYTES - 2) names->at = LIST_BYTES - 2;
  va_end(arguments);
}

static const char *names_more(const Names *names, char *text, size_t bytes) {
  if (names->count <= NAMED_MAX) return "";
  snprintf(text, bytes, " and %d more", names->count - NAMED_MAX);
  return text;
}

typedef struct Comparison {
  const SeerWeightFile *file;
  const SeerWanted *wanted;
  SeerWeightUse use;
  SeerFit *fit;
  bool *used;  // [file->count]
  Names missing, misshaped, extra;
  int head_faults;
} Comparison;

static bool is_wanted(const SeerTensor *tensor) {
  return tensor->kind == SEER_PARAMETER || tensor->kind == SEER_STATISTIC;
}

static bool shape_is(const SeerTensor *tensor, const SeerHeld *held) {
  if (tensor->rank != held->rank) return false;
  for (int i = 0; i < tensor->rank; i++) {
    if (tensor->size[i] != held->size[i]) return false;
  }
  return true;
}

static void misshaped_add(Comparison *c, const SeerTensor *tensor, const SeerWeight *weight) {
  char there[128], here[128];
  names_add(&c->misshaped, "'%s' is %s, wanted %s", weight->own,
            seer_shape_text(there, sizeof there, weight->held->size, weight->held->rank),
            seer_shape_text(here, sizeof here, tensor->size, tensor->rank));
}

static void tensor_compare(Comparison *c, int index) {
  const SeerTensor *tensor = &c->wanted->tensors[index];
  const SeerWeight *weight = seer_weight_find(c->file, tensor->name);
  bool head = seer_tensor_name_is_head(tensor->name), fits = weight && shape_is(tensor, weight->held);
  if (weight) c->used[weight - c->file->weights] = fits && !(head && c->use == SEER_USE_NEW_HEAD);
  if (head && (c->use == SEER_USE_NEW_HEAD || (c->use == SEER_USE_TRUNK && !fits))) {
    c->fit->head_missing++;
    return;
  }
  if (fits) {
    c->fit->weights[index] = weight;
    c->fit->taken++;
    return;
  }
  c->head_faults += head;
  if (weight) {
    c->used[weight - c->file->weights] = true;
    misshaped_add(c, tensor, weight);
  } else {
    names_add(&c->missing, "'%s'", tensor->name);
  }
}

// What is left is another head's, or what seer's own files hold besides weights, or a fault.
static void rest_look(Comparison *c) {
  for (int i = 0; i < c->file->count; i++) {
    const SeerWeight *weight = &c->file->weights[i];
    if (c->used[i] || (!weight->understood && c->file->is_seer)) continue;
    if (weight->understood && seer_part_is_head(weight->meaning.part) && !c->wanted->whole)
      c->fit->aside++;
    else
      names_add(&c->extra, "'%s'", weight->own);
  }
}

static bool wanted_network(const SeerWanted *wanted, SeerNetwork *network) {
  SeerMeant *meant = calloc((size_t)wanted->count + 1, sizeof *meant);
  int count = 0;
  for (int i = 0; meant && i < wanted->count; i++) {
    const SeerTensor *tensor = &wanted->tensors[i];
    if (is_wanted(tensor) && seer_weight_name_parse(SEER_FORMAT_SEER, tensor->name, &meant[count].meaning)) {
      meant[count].rank = tensor->rank;
      meant[count++].size = tensor->size;
    }
  }
  bool found = meant && seer_network_infer(meant, count, network);
  free(meant);
  return found;
}

// Same depths and group widths, other widths: the two rules that make widths divisible part so.
static bool rules_differ(const SeerNetwork *a, const SeerNetwork *b) {
  if (a->stage_count != b->stage_count) return false;
  for (int s = 0; s < a->stage_count; s++) {
    if (a->stages[s].depth != b->stages[s].depth || a->stages[s].group_width != b->stages[s].group_width) return false;
  }
  return true;
}

static SeerStatus networks_tell(const Comparison *c, SeerStatus status) {
  SeerNetwork there, here;
  bool found = false;
  char text[1024], other[1024];
  if (seer_weight_file_network(c->file, &there, &found) != SEER_OK || !found || !wanted_network(c->wanted, &here))
    return status;
  if (seer_network_equal(&there, &here)) return status;
  seer_note(status, "'%s' seems to hold another network: %s", c->file->path.text,
            seer_network_text(&there, text, sizeof text));
  seer_note(status, "wanted: %s", seer_network_text(&here, other, sizeof other));
  if (rules_differ(&there, &here))
    seer_note(status, "the widths may be those of the other model.group_rule, 'nearest' or 'torchvision'");
  return status;
}

static SeerStatus faults_tell(const Comparison *c) {
  const char *path = c->file->path.text;
  char more[32];
  SeerStatus status;
  if (!c->fit->taken && !c->misshaped.count) {
    status = seer_fail(SEER_INPUT, "'%s' has no tensor of %s, such as '%s'", path, c->wanted->who,
                       c->wanted->count ? c->wanted->tensors[0].name : "");
    return networks_tell(c, status);
  }
  status = seer_fail(SEER_INPUT, "'%s' does not fit %s: tensors missing: %d, of another shape: %d, too many: %d", path,
                     c->wanted->who, c->missing.count, c->misshaped.count, c->extra.count);
  if (c->missing.count) seer_note(status, "missing: %s%s", c->missing.text, names_more(&c->missing, more, sizeof more));
  if (c->misshaped.count)
    seer_note(status, "of another shape: %s%s", c->misshaped.text, names_more(&c->misshaped, more, sizeof more));
  if (c->extra.count) seer_note(status, "too many: %s%s", c->extra.text, names_more(&c->extra, more, sizeof more));
  if (c->head_faults == c->missing.count + c->misshaped.count && !c->extra.count && c->wanted->head_note)
    seer_note(status, "the trunk fits, the head does not: %s", c->wanted->head_note);
  return networks_tell(c, status);
}

SeerStatus seer_weights_fit(const SeerWeightFile *file, const SeerWanted *wanted, SeerWeightUse use, SeerFit *fit) {
  Comparison c = {.file = file, .wanted = wanted, .use = use, .fit = fit};
  *fit = (SeerFit){.weights = calloc((size_t)wanted->count + 1, sizeof *fit->weights)};
  c.used = calloc((size_t)file->count + 1, sizeof *c.used);
  SeerStatus status =
      fit->weights && c.used ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", file->path.text);
  for (int i = 0; i < wanted->count && !status; i++) {
    if (is_wanted(&wanted->tensors[i])) tensor_compare(&c, i);
  }
  if (!status) rest_look(&c);
  if (!status && (c.missing.count || c.misshaped.count || c.extra.count || !fit->taken)) status = faults_tell(&c);
  free(c.used);
  if (status) seer_weights_fit_release(fit);
  return status;
}

void seer_weights_fit_release(SeerFit *fit) {
  free(fit->weights);
  fit->weights = NULL;
}

static bool any_below_zero(const float *values, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    if (values[i] < 0) return true;
  }
  return false;
}

void seer_not_finite_look(SeerNotFinite *found, const SeerWeight *weight, const float *values, uint64_t count) {
  if (found->last == weight) return;
  bool finite = seer_floats_finite(values, count);
  bool variance = weight->understood && weight->meaning.leaf == SEER_LEAF_VARIANCE;
  if (finite && !(variance && any_below_zero(values, count))) return;
  size_t length = strlen(found->names);
  found->last = weight;
  found->negative += finite;
  if (found->tensors++ < NAMED_MAX)
    snprintf(found->names + length, sizeof found->names - length, "%s'%s'", length ? ", " : "", weight->own);
}

SeerStatus seer_not_finite_tell(const SeerNotFinite *found, const char *path) {
  char more[32] = "";
  if (!found->tensors) return SEER_OK;
  if (found->tensors > NAMED_MAX) snprintf(more, sizeof more, " and %d more", found->tensors - NAMED_MAX);
  const char *what = found->negative == 0                ? "numbers that are not finite"
                     : found->negative == found->tensors ? "variances below zero"
                                                         : "numbers that are not finite, or variances below zero";
  return seer_fail(SEER_INPUT, "'%s' holds %s, in %d tensor%s: %s%s", path, what, found->tensors,
                   found->tensors > 1 ? "s" : "", found->names, more);
}
