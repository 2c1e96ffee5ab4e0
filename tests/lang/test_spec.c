// The public interface of lang: values, layers, defines, alternatives, spans; every shipped spec printed and read
// back to identical values.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lang/files.h"
#include "lang/schema.h"
#include "lang/spec.h"

typedef struct Fixture {
  Arena *arena;
  SourceMap *sources;
  DiagList *diags;
} Fixture;

static Fixture fixture_make(void) {
  Fixture fixture = {.arena = arena_make("test")};
  fixture.sources = source_map_make(fixture.arena);
  fixture.diags = diag_list_make(fixture.arena, fixture.sources);
  return fixture;
}

static const MemoryFile library[] = {
    {"specs/models/small.seer", "model { depths = [1, 2]  widths = [16, 32]  group_widths = [8] }\n"},
    {"specs/recipes/long.seer",
     "let side = 96px\ntrain { epochs = 10  batch = 64 }\nevaluate { size = side  resize = side }\n"},
    {"specs/machines/this.seer", "cluster { memory = auto }\n"},
};
static const MemoryFiles library_files = {library, (int)(sizeof library / sizeof *library)};

static const Spec *load(Fixture *fixture, const char *text, const SpecDefine *defines, int define_count) {
  SpecFiles files = spec_files_in_memory(&library_files);
  return spec_load_text(fixture->arena, fixture->sources, fixture->diags, "main.seer", text, strlen(text), &files,
                        defines, define_count);
}

static void expect_equal_values(const SpecValue *a, const SpecValue *b) {
  assert_int_equal(a->kind, b->kind);
  assert_memory_equal(&a->number, &b->number, sizeof a->number);
  assert_memory_equal(&a->low, &b->low, sizeof a->low);
  assert_memory_equal(&a->high, &b->high, sizeof a->high);
  if (a->text || b->text) assert_string_equal(a->text, b->text);
  assert_int_equal(a->item_count, b->item_count);
  for (int i = 0; i < a->item_count; i++) expect_equal_values(&a->items[i], &b->items[i]);
}

static void defaults_are_there(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  const Spec *spec = load(&fixture, "", NULL, 0);
  assert_non_null(spec);
  assert_int_equal(spec_integer(spec, KEY_train_batch), 256);
  assert_false(spec_value(spec, KEY_train_batch)->by_user);
  assert_int_equal(spec_span(spec, KEY_train_batch).file, 0);
  assert_true(spec_is(spec, KEY_schedule_peak, "auto"));
  assert_false(spec_is_set(spec, KEY_train_steps));
  assert_null(spec_text(spec, KEY_data_pictures));
  assert_false(spec_flag(spec, KEY_swav_hard));
  const SpecValue *crops = spec_value(spec, KEY_views_crops);
  assert_int_equal(crops->item_count, 2);
  assert_true(crops->items[1].items[ARGUMENT_crop_size].number == 96);
  assert_true(crops->items[0].items[ARGUMENT_crop_scale].low == 0.14);
  assert_string_equal(spec_key_name(KEY_model_depth), "model.depth");
  assert_false(spec_require_model(spec, fixture.diags));
  assert_string_equal(fixture.diags->items[0].check, "no-model");
  arena_release(fixture.arena);
}

// A second name of `auto` is only another spelling: what reads the spec sees one.
static void other_names_of_auto(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  const char *text = "let fit = 3\ncheckpoint { budget = fit }\ntrain { accumulate = fit  batch = 12 }\n";
  const Spec *spec = load(&fixture, text, NULL, 0);
  assert_non_null(spec);
  assert_true(spec_is(spec, KEY_checkpoint_budget, "auto"));
  assert_true(spec_value(spec, KEY_checkpoint_budget)->by_user);
  assert_int_equal(spec_integer(spec, KEY_train_accumulate), 3);
  arena_release(fixture.arena);
}

static void units_and_arithmetic(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  const char *text =
      "let half = train.batch / 2\n"
      "train { batch = 2 * (100 + 28)  steps = 5000steps }\n"
      "cluster { memory = 40GiB }\n"
      "schedule { peak = 0.3 * train.batch / 256  warmup = train.steps / 20 }\n"
      "swav { queue = half * 4  freeze_prototypes = -1 + 1 }\n";
  const Spec *spec = load(&fixture, text, NULL, 0);
  assert_non_null(spec);
  assert_int_equal(spec_integer(spec, KEY_train_batch), 256);
  assert_int_equal(spec_integer(spec, KEY_cluster_memory), (int64_t)40 << 30);
  assert_true(spec_number(spec, KEY_schedule_peak) == 0.3);
  assert_int_equal(spec_integer(spec, KEY_schedule_warmup), 250);
  assert_int_equal(spec_integer(spec, KEY_swav_queue), 512);
  assert_int_equal(spec_integer(spec, KEY_swav_freeze_prototypes), 0);
  SourcePlace place = source_place(fixture.sources, spec_span(spec, KEY_cluster_memory));
  assert_int_equal(place.line, 3);
  assert_int_equal(place.column, 20);
  assert_int_equal(place.caret_length, 5);
  arena_release(fixture.arena);
}

static void layers_override(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  const SpecDefine defines[] = {{.text = "train.batch=128"}, {.text = "train.batch = 2 * 96"}, {.text = "side=224px"}};
  const char *text =
      "use \"recipes/long\"\nuse \"models/small.seer\"\ntrain { batch = 32 }\ntrain { steps = 100steps  batch = 48 }\n"
      "swav { freeze_prototypes = 0 }\n";
  const Spec *spec = load(&fixture, text, defines, 3);
  assert_non_null(spec);
  assert_int_equal(spec_integer(spec, KEY_train_batch), 192);
  assert_int_equal(spec_integer(spec, KEY_evaluate_size), 224);
  assert_int_equal(spec_integer(spec, KEY_train_steps), 100);
  assert_false(spec_is_set(spec, KEY_train_epochs));
  assert_true(spec_require_model(spec, fixture.diags));
  assert_int_equal(fixture.diags->count, 0);
  arena_release(fixture.arena);
}

static void errors_give_no_spec(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  assert_null(load(&fixture, "train { bach = 3  seed = 1.5 }\nuse \"models/smal\"\n", NULL, 0));
  assert_int_equal(fixture.diags->error_count, 3);
  const SpecDefine bad[] = {{.text = "train.batch"}, {.text = "=3"}, {.text = ""}, {.text = "train.nothing=1"}};
  for (int i = 0; i < 4; i++) {
    Fixture one = fixture_make();
    assert_null(load(&one, "", &bad[i], 1));
    assert_int_equal(one.diags->error_count, 1);
    arena_release(one.arena);
  }
  arena_release(fixture.arena);
}

// Loads, prints, reads back, compares every value.
static void expect_round_trip(const char *path) {
  Fixture fixture = fixture_make();
  const Spec *spec = spec_load(fixture.arena, fixture.sources, fixture.diags, path, SPECS_FOLDER, NULL, 0);
  if (!spec) fail_msg("%s does not load", path);
  Writer text = {0};
  spec_print(spec, &text);
  SourceMap *sources = source_map_make(fixture.arena);
  DiagList *diags = diag_list_make(fixture.arena, sources);
  SpecFiles none = spec_files_in_memory(&library_files);
  const Spec *again = spec_load_text(fixture.arena, sources, diags, "again.seer", text.text, text.size, &none, NULL, 0);
  Writer messages = {0};
  diag_print(diags, &messages, false);
  if (!again) fail_msg("%s: %s", path, messages.text);
  for (int key = 0; key < SPEC_KEY_COUNT; key++) {
    expect_equal_values(spec_value(spec, (SpecKey)key), spec_value(again, (SpecKey)key));
  }
  writer_release(&messages);
  writer_release(&text);
  arena_release(fixture.arena);
}

static void shipped_specs_read_back(void **state) {
  (void)state;
  const char *const shelves[] = {"models", "recipes", "machines"};
  int count = 0;
  for (int i = 0; i < 3; i++) {
    Arena *arena = arena_make("paths");
    const char **names = NULL;
    const char *folder = arena_printf(arena, "%s/%s", SPECS_FOLDER, shelves[i]);
    int found = spec_files_on_disk.list(NULL, arena, folder, &names);
    for (int k = 0; k < found; k++, count++) expect_round_trip(arena_printf(arena, "%s/%s", folder, names[k]));
    arena_release(arena);
  }
  assert_true(count >= 35);
}

static void strange_values_read_back(void **state) {
  (void)state;
  Fixture fixture = fixture_make();
  const char *text =
      "data { pictures = [\"a \\\"quoted\\\" name\", \"tab\\tand\\nline\", \"back\\\\slash\", \"{0001..0100}.tar\"] }\n"
      "schedule { base = 0.1 + 0.2  start = 1e-300  end = 0.3333333333333333 / 3 }\n"
      "model { family = regnetx  bn_epsilon = 1.2345678901234567e-7 }\n"
      "cluster { memory = 123456789123456789B  flops = 312e12 }\n"
      "supervised { classes = auto }\n";
  const Spec *spec = load(&fixture, text, NULL, 0);
  assert_non_null(spec);
  Writer printed = {0};
  spec_print(spec, &printed);
  const Spec *again = load(&fixture, printed.text, NULL, 0);
  assert_non_null(again);
  for (int key = 0; key < SPEC_KEY_COUNT; key++)
    expect_equal_values(spec_value(spec, (SpecKey)key), spec_value(again, (SpecKey)key));
  assert_int_equal(fixture.diags->count, 0);
  writer_release(&printed);
  arena_release(fixture.arena);
}

static const char *nearest(const char *wanted, const char *const *names) {
  Suggestion suggestion = suggestion_make(wanted);
  for (; *names; names++) suggestion_offer(&suggestion, *names);
  return suggestion_best(&suggestion);
}

static void suggestions(void **state) {
  (void)state;
  const char *const names[] = {"batch", "steps", "epochs", "group_width", "group_widths", NULL};
  assert_string_equal(nearest("bacth", names), "batch");
  assert_string_equal(nearest("Batch", names), "batch");
  assert_string_equal(nearest("group-width", names), "group_width");
  assert_string_equal(nearest("groupwidths", names), "group_widths");
  assert_null(nearest("colour", names));
  assert_null(nearest("", names));
  assert_null(nearest("a_name_that_is_far_longer_than_any_name_of_the_language_could_ever_be_in_practice", names));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults_are_there),
      cmocka_unit_test(other_names_of_auto),
      cmocka_unit_test(units_and_arithmetic),
      cmocka_unit_test(layers_override),
      cmocka_unit_test(errors_give_no_spec),
      cmocka_unit_test(shipped_specs_read_back),
      cmocka_unit_test(strange_values_read_back),
      cmocka_unit_test(suggestions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
