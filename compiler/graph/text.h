// Words of the graph's text form, shared by the printer and the reader.
#ifndef SEER_GRAPH_TEXT_H
#define SEER_GRAPH_TEXT_H

static const char *const data_type_words[] = {"f32", "u8", "i32", "bf16", "f16"};
enum { DATA_TYPES = sizeof data_type_words / sizeof data_type_words[0] };
static const char *const value_kind_words[] = {"input", "parameter", "state", "scalar"};
static const char *const init_words[] = {"zero", "one", "normal", "uniform"};
static const char *const phase_words[] = {"forward", "backward", "update"};

#endif
