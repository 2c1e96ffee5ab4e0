// What a linear probe has found, as a table and as JSON; see probe.h.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/probe.h"
#include "runtime/json_text.h"

typedef struct Spread {
  double mean, deviation;  // over seeds; deviation of a sample, 0 of one
} Spread;

typedef enum Figure { HELD, TOP1, TOP5, PER_CLASS } Figure;

static double figure_of(const SeerProbeFigure *figure, Figure which) {
  return which == HELD ? figure->held : which == TOP1 ? figure->top1 : which == TOP5 ? figure->top5 : figure->per_class;
}

static Spread spread_of(const SeerProbe *probe, int share, int layer, int rate, Figure which) {
  int n = probe->plan->seed_count;
  double sum = 0, squares = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int seed = 0; seed < n; seed++) {
      const SeerProbeFigure *figure = &probe->figures[seer_probe_at(probe, share, layer, seed, rate)];
      double value = figure_of(figure, which);
      if (pass == 0)
        sum += value;
      else
        squares += (value - sum / n) * (value - sum / n);
    }
  }
  return (Spread){sum / n, n > 1 ? sqrt(squares / (n - 1)) : 0};
}

static const char *spread_text(const SeerProbe *probe, Spread spread, char *text, size_t bytes) {
  if (spread.mean < 0)
    snprintf(text, bytes, "-");
  else if (probe->plan->seed_count > 1)
    snprintf(text, bytes, "%.2f ± %.2f %%", 100 * spread.mean, 100 * spread.deviation);
  else
    snprintf(text, bytes, "%.2f %%", 100 * spread.mean);
  return text;
}

// "±" is two bytes and one column.
static void cell_print(FILE *out, const char *text) {
  int wide = strstr(text, "±") != NULL;
  fprintf(out, "  %*s", 16 + wide, text);
}

static void shares_print(const SeerProbe *probe, FILE *out) {
  const SeerProbePlan *plan = probe->plan;
  for (int share = 0; share < plan->share_count; share++) {
    const SeerProbeSplit *split = &probe->splits[share * plan->seed_count];
    if (plan->shares[share] >= 1) continue;
    fprintf(out, "%g %%: %lld pictures, %lld", 100 * plan->shares[share],
            (long long)(split->train_count + split->held_count), (long long)split->least);
    if (split->most != split->least) fprintf(out, " to %lld", (long long)split->most);
    fprintf(out, " of each class, drawn anew by each of the seeds %llu to %llu\n", (unsigned long long)plan->seed,
            (unsigned long long)(plan->seed + (uint64_t)plan->seed_count - 1));
  }
}

void seer_probe_print(const SeerProbe *probe, FILE *out) {
  const SeerProbePlan *plan = probe->plan;
  char text[64];
  fprintf(out, "linear probe: %lld pictures, %d classes, %d epochs, batch %d, %d seed%s; tested on %lld pictures\n",
          (long long)probe->train->count, probe->classes, plan->recipe.epochs, plan->recipe.batch, plan->seed_count,
          plan->seed_count > 1 ? "s" : "", (long long)probe->test_count);
  shares_print(probe, out);
  fprintf(out, "%7s  %-12s %13s  %16s  %16s  %16s\n", "share", "layer", "learning rate", "held out", "top-1", "top-5");
  for (int share = 0; share < plan->share_count; share++) {
    for (int layer = 0; layer < probe->train->layer_count; layer++) {
      for (int rate = 0; rate < plan->rate_count; rate++) {
        fprintf(out, "%5g %%  %-12s %13g", 100 * plan->shares[share], probe->train->layers[layer].name,
                plan->rates[rate]);
        for (int which = HELD; which <= TOP5; which++)
          cell_print(out, spread_text(probe, spread_of(probe, share, layer, rate, (Figure)which), text, sizeof text));
        fprintf(out, "\n");
      }
    }
  }
  for (int share = 0; share < plan->share_count; share++) {
    const SeerProbeSplit *split = &probe->splits[share * plan->seed_count];
    SeerProbeChoice choice = probe->choices[share];
    if (!split->held_count) continue;
    fprintf(out, "%g %%: '%s' with learning rate %g, chosen on %lld pictures held out of training: top-1 %s\n",
            100 * plan->shares[share], probe->train->layers[choice.layer].name, plan->rates[choice.rate],
            (long long)split->held_count,
            spread_text(probe, spread_of(probe, share, choice.layer, choice.rate, TOP1), text, sizeof text));
  }
}

static json_t *spread_json(const SeerProbe *probe, int share, int layer, int rate, Figure which) {
  Spread spread = spread_of(probe, share, layer, rate, which);
  if (spread.mean < 0) return json_null();
  json_t *seeds = json_array();
  for (int seed = 0; seed < probe->plan->seed_count; seed++) {
    const SeerProbeFigure *figure = &probe->figures[seer_probe_at(probe, share, layer, seed, rate)];
    json_array_append_new(seeds, json_real(figure_of(figure, which)));
  }
  return json_pack("{s:f, s:f, s:o}", "mean", spread.mean, "deviation", spread.deviation, "seeds", seeds);
}

static json_t *row_json(const SeerProbe *probe, int share, int layer, int rate) {
  const SeerProbePlan *plan = probe->plan;
  const SeerProbeSplit *split = &probe->splits[share * plan->seed_count];
  SeerProbeChoice choice = probe->choices[share];
  return json_pack("{s:f, s:s, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:b}", "share", plan->shares[share],
                   "layer", probe->train->layers[layer].name, "learning_rate", plan->rates[rate], "pictures",
                   (json_int_t)split->train_count, "held_out", (json_int_t)split->held_count, "least_of_a_class",
                   (json_int_t)split->least, "most_of_a_class", (json_int_t)split->most, "held_out_top1",
                   spread_json(probe, share, layer, rate, HELD), "top1", spread_json(probe, share, layer, rate, TOP1),
                   "top5", spread_json(probe, share, layer, rate, TOP5), "mean_per_class",
                   spread_json(probe, share, layer, rate, PER_CLASS), "chosen",
                   choice.layer == layer && choice.rate == rate);
}

char *seer_probe_json(const SeerProbe *probe) {
  const SeerProbePlan *plan = probe->plan;
  json_t *rows = json_array();
  for (int share = 0; share < plan->share_count; share++) {
    for (int layer = 0; layer < probe->train->layer_count; layer++) {
      for (int rate = 0; rate < plan->rate_count; rate++)
        json_array_append_new(rows, row_json(probe, share, layer, rate));
    }
  }
  json_t *object =
      json_pack("{s:o, s:o, s:o, s:I, s:I, s:i, s:i, s:i, s:f, s:s, s:I, s:i, s:i, s:o}", "train",
                seer_text_pack(probe->train->origin), "test", seer_text_pack(probe->test->origin), "program",
                seer_text_pack(probe->train->program), "train_pictures", (json_int_t)probe->train->count,
                "test_pictures", (json_int_t)probe->test_count, "classes", probe->classes, "epochs",
                plan->recipe.epochs, "batch", plan->recipe.batch, "weight_decay", plan->recipe.weight_decay, "schedule",
                plan->recipe.cosine ? "cosine" : "step", "first_seed", (json_int_t)plan->seed, "seeds",
                plan->seed_count, "passes", probe->train->passes, "rows", rows);
  char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(object);
  return text;
}
