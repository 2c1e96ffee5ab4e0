// cuBLASLt on the simulated GPU: a library that a trainer opens in the place of libcublasLt.so (SEER_LIBCUBLASLT), with
// the functions of runtime/device/cublaslt.def. It is as strict as the documentation allows: operands must have the
// alignment that was promised, a way to multiply is of one shape and takes all of the workspace that it was allowed,
// which it overwrites; where sums may be taken in place, they come in an order that is drawn.
//
//   SEER_SIMULATED_CUBLASLT_VERSION  130100
//   SEER_SIMULATED_CUBLASLT_FAIL     "FUNCTION:N:STATUS" (library.h)
//   SEER_SIMULATED_CUBLASLT_BLOCKS   blocks of the simulated clock that a product takes; one for each 64 x 64
#include "runtime/device/cublaslt.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "library.h"

using namespace simulated;

struct SeerLtHandle {
  SeerDriverContext *context;
};
struct SeerLtMatmulDesc {
  bool turns[2];  // of a, b
  bool has_bias;
  uintptr_t bias;
};
struct SeerLtLayout {
  NumberType type;
  uint64_t rows, columns, pitch;
};
struct SeerLtPreference {
  uint64_t workspace_bytes;
  uint32_t reductions, alignments[4];  // of a, b, c, d
};

namespace {

enum { INVALID_VALUE_STATUS = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED_STATUS = 15 };
enum { REDUCTION_IN_PLACE = 1, REDUCTION_OUTPUT_TYPE = 4, REDUCTIONS_ALL = 7, EPILOGUE_NONE = 1, VECTOR_BYTES = 16 };
const uint64_t MAGIC = 0x5EE21A160;

SimulatedLibrary &library = *new SimulatedLibrary{"CUBLASLT", {}, {}, {}};

__attribute__((destructor)) void leaks_report() { library_leaks_report(library); }

#define BEGIN()                            \
  std::unique_lock<std::mutex> held(lock); \
  if (const int status = library_injected(library, __func__)) return status

bool type_read(int number, NumberType *type) {
  *type = number == SEER_LT_FP16 ? NUMBER_FP16 : number == SEER_LT_BF16 ? NUMBER_BF16 : NUMBER_FLOAT;
  return number == SEER_LT_FLOAT || *type != NUMBER_FLOAT;
}

// What of a shape a way to multiply is for.
struct Problem {
  uint64_t m, n, k;
  NumberType operands, result;
  bool turns[2], has_bias;
  std::string kind() const {
    return std::to_string(operands) + std::to_string(result) + std::to_string(turns[0]) + std::to_string(turns[1]) +
           std::to_string(has_bias);
  }
  uint64_t hash() const { return ((m * 1000003 + n) * 1000003 + k) * 1000003 + std::hash<std::string>()(kind()); }
};

// 0, or why there is none.
int problem_make(const SeerLtMatmulDesc &desc, const SeerLtLayout &a, const SeerLtLayout &b, const SeerLtLayout &c,
                 const SeerLtLayout &d, Problem *problem) {
  const uint64_t a_rows = desc.turns[0] ? a.columns : a.rows, a_depth = desc.turns[0] ? a.rows : a.columns;
  const uint64_t b_depth = desc.turns[1] ? b.columns : b.rows, b_columns = desc.turns[1] ? b.rows : b.columns;
  *problem = Problem{d.rows, d.columns, a_depth, a.type, d.type, {desc.turns[0], desc.turns[1]}, desc.has_bias};
  if (a_rows != d.rows || b_columns != d.columns || a_depth != b_depth) return INVALID_VALUE_STATUS;
  if (c.rows != d.rows || c.columns != d.columns || c.type != d.type) return INVALID_VALUE_STATUS;
  if (a.type != b.type || (d.type != a.type && d.type != NUMBER_FLOAT)) return NOT_SUPPORTED_STATUS;
  // On tensor cores rows are read by vectors.
  for (const SeerLtLayout *layout : {&a, &b, &c, &d})
    if (a.type != NUMBER_FLOAT && layout->pitch * number_bytes(layout->type) % VECTOR_BYTES)
      return NOT_SUPPORTED_STATUS;
  return 0;
}

struct Product {
  Problem problem;
  SeerLtLayout a_layout, b_layout, c_layout, d_layout;
  uintptr_t a, b, c, d, bias, workspace;
  float alpha, beta;
  size_t workspace_bytes;
  bool in_place;
  double sum(uint64_t row, uint64_t column, uint64_t begin, uint64_t end) const;
  void run() const;
};

size_t bytes_of(const SeerLtLayout &layout) {
  return ((layout.columns - 1) * layout.pitch + layout.rows) * number_bytes(layout.type);
}

double Product::sum(uint64_t row, uint64_t column, uint64_t begin, uint64_t end) const {
  double sum = 0;
  for (uint64_t k = begin; k < end; k++) {
    const size_t a_at = problem.turns[0] ? row * a_layout.pitch + k : k * a_layout.pitch + row;
    const size_t b_at = problem.turns[1] ? k * b_layout.pitch + column : column * b_layout.pitch + k;
    sum += number_read(a_layout.type, a, a_at) * number_read(b_layout.type, b, b_at);
  }
  return sum;
}

void Product::run() const {
  std::memset((void *)workspace, 0xFF, workspace_bytes);
  const uint64_t middle = in_place && problem.k > 1 ? 1 + work_draw() % (problem.k - 1) : problem.k;
  std::vector<float> made(problem.m * problem.n);
  for (uint64_t column = 0; column < problem.n; column++)
    for (uint64_t row = 0; row < problem.m; row++) {
      float value = alpha * (float)sum(row, column, 0, middle);
      if (middle < problem.k) {
        number_write(d_layout.type, d, column * d_layout.pitch + row, value);
        value = (float)number_read(d_layout.type, d, column * d_layout.pitch + row);
        value += alpha * (float)sum(row, column, middle, problem.k);
      }
      if (beta != 0) value += beta * (float)number_read(c_layout.type, c, column * c_layout.pitch + row);
      if (bias) value += ((const float *)bias)[row];
      made[column * problem.m + row] = value;
    }
  for (uint64_t column = 0; column < problem.n; column++)
    for (uint64_t row = 0; row < problem.m; row++)
      number_write(d_layout.type, d, column * d_layout.pitch + row, made[column * problem.m + row]);
}

bool is_aligned(uintptr_t at, uint64_t alignment) { return at % alignment == 0; }

}  // namespace

extern "C" {

size_t cublasLtGetVersion() {
  const char *wanted = library_setting(library, "VERSION");
  return wanted ? std::strtoull(wanted, nullptr, 10) : 130100;
}

const char *cublasLtGetStatusName(int status) {
  switch (status) {
    case 0: return "CUBLAS_STATUS_SUCCESS";
    case 1: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3: return "CUBLAS_STATUS_ALLOC_FAILED";
    case INVALID_VALUE_STATUS: return "CUBLAS_STATUS_INVALID_VALUE";
    case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case NOT_SUPPORTED_STATUS: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "<unknown>";
  }
}

const char *cublasLtGetStatusString(int status) { return cublasLtGetStatusName(status); }

int cublasLtCreate(SeerLtHandle **handle) {
  BEGIN();
  if (!current) return 1;
  *handle = keep(library.live, new SeerLtHandle{current});
  return 0;
}

int cublasLtDestroy(SeerLtHandle *handle) {
  BEGIN();
  library_demand(library, __func__, handle);
  library_release(library, __func__, handle);
  return 0;
}

int cublasLtMatmulDescCreate(SeerLtMatmulDesc **desc, int compute_type, int scale_type) {
  BEGIN();
  if (compute_type != SEER_LT_COMPUTE_FLOAT || scale_type != SEER_LT_FLOAT) return NOT_SUPPORTED_STATUS;
  *desc = keep(library.live, new SeerLtMatmulDesc{{false, false}, false, 0});
  return 0;
}

int cublasLtMatmulDescSetAttribute(SeerLtMatmulDesc *desc, int attribute, const void *value, size_t bytes) {
  BEGIN();
  library_demand(library, __func__, desc);
  uint32_t number = 0;
  if (!value || bytes != (attribute == SEER_LT_BIAS_POINTER ? 8 : 4)) return INVALID_VALUE_STATUS;
  if (bytes == 4) std::memcpy(&number, value, bytes);
  switch (attribute) {
    case SEER_LT_TURN_A:
    case SEER_LT_TURN_B:
      if (number > SEER_LT_TURNED) return INVALID_VALUE_STATUS;
      desc->turns[attribute - SEER_LT_TURN_A] = number == SEER_LT_TURNED;
      return 0;
    case SEER_LT_EPILOGUE:
      if (number != EPILOGUE_NONE && number != SEER_LT_EPILOGUE_BIAS) return NOT_SUPPORTED_STATUS;
      desc->has_bias = number == SEER_LT_EPILOGUE_BIAS;
      return 0;
    case SEER_LT_BIAS_POINTER: std::memcpy(&desc->bias, value, bytes); return 0;
    default: return INVALID_VALUE_STATUS;
  }
}

int cublasLtMatmulDescDestroy(SeerLtMatmulDesc *desc) {
  BEGIN();
  library_release(library, __func__, desc);
  return 0;
}

int cublasLtMatrixLayoutCreate(SeerLtLayout **layout, int type, uint64_t rows, uint64_t columns, int64_t pitch) {
  BEGIN();
  NumberType numbers;
  if (!type_read(type, &numbers)) return NOT_SUPPORTED_STATUS;
  if (!rows || !columns || pitch < 0 || (uint64_t)pitch < rows) return INVALID_VALUE_STATUS;
  *layout = keep(library.live, new SeerLtLayout{numbers, rows, columns, (uint64_t)pitch});
  return 0;
}

int cublasLtMatrixLayoutDestroy(SeerLtLayout *layout) {
  BEGIN();
  library_release(library, __func__, layout);
  return 0;
}

int cublasLtMatmulPreferenceCreate(SeerLtPreference **preference) {
  BEGIN();
  *preference = keep(library.live, new SeerLtPreference{0, REDUCTIONS_ALL, {256, 256, 256, 256}});
  return 0;
}

int cublasLtMatmulPreferenceSetAttribute(SeerLtPreference *preference, int attribute, const void *value, size_t bytes) {
  BEGIN();
  library_demand(library, __func__, preference);
  if (!value || bytes != (attribute == SEER_LT_WORKSPACE_MOST ? 8 : 4)) return INVALID_VALUE_STATUS;
  if (attribute == SEER_LT_WORKSPACE_MOST)
    std::memcpy(&preference->workspace_bytes, value, bytes);
  else if (attribute == SEER_LT_REDUCTIONS)
    std::memcpy(&preference->reductions, value, bytes);
  else if (attribute >= SEER_LT_ALIGNMENT_A && attribute <= SEER_LT_ALIGNMENT_D)
    std::memcpy(&preference->alignments[attribute - SEER_LT_ALIGNMENT_A], value, bytes);
  else
    return INVALID_VALUE_STATUS;
  return 0;
}

int cublasLtMatmulPreferenceDestroy(SeerLtPreference *preference) {
  BEGIN();
  library_release(library, __func__, preference);
  return 0;
}

int cublasLtMatmulAlgoGetHeuristic(SeerLtHandle *handle, SeerLtMatmulDesc *desc, SeerLtLayout *a, SeerLtLayout *b,
                                   SeerLtLayout *c, SeerLtLayout *d, SeerLtPreference *preference, int wanted,
                                   SeerLtHeuristic *results, int *count) {
  BEGIN();
  library_demand(library, __func__, handle);
  library_demand(library, __func__, desc);
  library_demand(library, __func__, preference);
  for (const SeerLtLayout *layout : {a, b, c, d}) library_demand(library, __func__, layout);
  *count = 0;
  Problem problem;
  if (wanted < 1) return INVALID_VALUE_STATUS;
  if (const int status = problem_make(*desc, *a, *b, *c, *d, &problem)) return status;
  uint32_t alignment = 256;
  for (const uint32_t promised : preference->alignments) alignment = promised < alignment ? promised : alignment;
  if (alignment < VECTOR_BYTES) return NOT_SUPPORTED_STATUS;
  const bool in_place = preference->reductions & (REDUCTION_IN_PLACE | REDUCTION_OUTPUT_TYPE);
  results[0] = SeerLtHeuristic{{{MAGIC, problem.hash(), preference->workspace_bytes, alignment, in_place}},
                               preference->workspace_bytes,
                               0,
                               1,
                               {}};
  *count = 1;
  return 0;
}

int cublasLtMatmul(SeerLtHandle *handle, SeerLtMatmulDesc *desc, const void *alpha, const void *a,
                   SeerLtLayout *a_layout, const void *b, SeerLtLayout *b_layout, const void *beta, const void *c,
                   SeerLtLayout *c_layout, void *d, SeerLtLayout *d_layout, const SeerLtAlgo *algo, void *workspace,
                   size_t workspace_bytes, SeerDeviceStream *stream) {
  BEGIN();
  library_demand(library, __func__, handle);
  library_demand(library, __func__, desc);
  for (const SeerLtLayout *layout : {a_layout, b_layout, c_layout, d_layout}) library_demand(library, __func__, layout);
  if (handle->context != current) fault(__func__, "the handle is of another GPU than the thread's");
  Product product = {{},
                     *a_layout,
                     *b_layout,
                     *c_layout,
                     *d_layout,
                     (uintptr_t)a,
                     (uintptr_t)b,
                     (uintptr_t)c,
                     (uintptr_t)d,
                     desc->has_bias ? desc->bias : 0,
                     (uintptr_t)workspace,
                     *(const float *)alpha,
                     *(const float *)beta,
                     0,
                     false};
  if (const int status = problem_make(*desc, *a_layout, *b_layout, *c_layout, *d_layout, &product.problem))
    return status;
  if (!algo || algo->data[0] != MAGIC || algo->data[1] != product.problem.hash()) return INVALID_VALUE_STATUS;
  product.workspace_bytes = algo->data[2];
  product.in_place = algo->data[4];
  const uint64_t alignment = algo->data[3];
  bool good = product.workspace_bytes <= workspace_bytes && is_aligned(product.workspace, 256);
  for (const uintptr_t at : {product.a, product.b, product.c, product.d}) good = good && is_aligned(at, alignment);
  if (!good || (desc->has_bias && !desc->bias)) return INVALID_VALUE_STATUS;
  const bool adds = product.beta != 0;
  const size_t d_bytes = bytes_of(*d_layout);
  std::vector<Region> regions = {{"result", product.d, d_bytes, true},
                                 {"workspace", product.workspace, product.workspace_bytes, true},
                                 {"a", product.a, bytes_of(*a_layout), false},
                                 {"b", product.b, bytes_of(*b_layout), false},
                                 {"bias", product.bias, product.bias ? product.problem.m * 4 : 0, false}};
  if (adds && product.c != product.d) regions.push_back({"addend", product.c, bytes_of(*c_layout), false});
  const size_t blocks = ((product.problem.m + 63) / 64) * ((product.problem.n + 63) / 64);
  const bool sent =
      library_send(library, __func__, stream, product.problem.kind(), blocks, regions, [product] { product.run(); });
  return sent ? 0 : EXECUTION_FAILED;
}

}  // extern "C"
