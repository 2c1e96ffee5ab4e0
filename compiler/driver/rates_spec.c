// cluster.rates and what belongs to them; see rates_spec.h.
#include "compiler/driver/rates_spec.h"

#include <math.h>
#include <string.h>

#include "compiler/base/bug.h"

static RateKind kind_of(const char *name) {
  for (int i = 0; i < RATE_KIND_COUNT; i++) {
    if (strcmp(name, rate_names[i]) == 0) return (RateKind)i;
  }
  BUG("the language knows the kernel '%s', and the plan does not", name);
}

static double over(double number) { return number > 0 ? 1 / number : 0; }

static Rate rate_of(const SpecValue *call) {
  return (Rate){.known = true,
                .start_seconds = call->items[ARGUMENT_rate_start].number,
                .flop_seconds = over(call->items[ARGUMENT_rate_flops].number),
                .byte_seconds = over(call->items[ARGUMENT_rate_bandwidth].number)};
}

void rates_from_spec(Arena *arena, const Spec *described, const Spec *spec, PlanMachine *machine) {
  const SpecValue *list = spec_value(described, KEY_cluster_rates);
  const SpecValue *cache = spec_value(described, KEY_cluster_cache);
  if (spec_value(described, KEY_cluster_cores)->kind == SPEC_NUMBER)
    machine->cores = machine->rated_cores = (int)spec_integer(described, KEY_cluster_cores);
  if (spec_value(described, KEY_cluster_rated_cores)->kind == SPEC_NUMBER)
    machine->rated_cores = (int)spec_integer(described, KEY_cluster_rated_cores);
  if (!list->item_count && cache->kind != SPEC_NUMBER) return;
  Rates *rates = arena_new(arena, Rates);
  *rates = machine->rates ? *machine->rates : (Rates){.cache_bytes = INFINITY};
  if (list->item_count) memset(rates->items, 0, sizeof rates->items);
  for (int i = 0; i < list->item_count; i++) {
    const SpecValue *call = &list->items[i];
    if (strcmp(call->items[ARGUMENT_rate_precision].text, spec_text(spec, KEY_train_precision)) != 0) continue;
    rates->items[kind_of(call->items[ARGUMENT_rate_kernel].text)] = rate_of(call);
  }
  if (cache->kind == SPEC_NUMBER) rates->cache_bytes = cache->number;
  rates->memory_byte_seconds = over(machine->bytes_per_second);
  machine->rates = rates;
}

void rate_print(RateKind kind, const char *precision, const Rate *rate, Writer *out) {
  writer_printf(out, "rate(kernel = %s, precision = %s", rate_names[kind], precision);
  if (rate->start_seconds > 0) writer_printf(out, ", start = %.3es", rate->start_seconds);
  if (rate->flop_seconds > 0) writer_printf(out, ", flops = %.4e", 1 / rate->flop_seconds);
  if (rate->byte_seconds > 0) writer_printf(out, ", bandwidth = %.4e", 1 / rate->byte_seconds);
  writer_text(out, ")");
}
