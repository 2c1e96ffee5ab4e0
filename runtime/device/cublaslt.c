// Products by cuBLASLt. How each is made is asked of its heuristic once, for the shape and the workspace that the plan
// gives; only ways are wanted that add up in one order and in single precision.
#include "runtime/device/cublaslt.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/device/library.h"
#include "runtime/device/symbol.h"
#include "runtime/program.h"

typedef struct SeerCublaslt {
#define FUNCTION(type, field, symbol, parameters) type(*field) parameters;
#include "runtime/device/cublaslt.def"
} SeerCublaslt;

static SeerCublaslt lt;

struct SeerLibraryHandle {
  SeerLtHandle *lt;
};

// In cuBLASLt's words: its a is our b, and the other way round.
struct SeerPreparedCall {
  SeerMatmul matmul;
  SeerLtMatmulDesc *desc;
  SeerLtLayout *a, *b, *d;  // the addend lies as d does
  SeerLtAlgo algo;
};

static SeerStatus check(int result, const char *what) {
  if (!result) return SEER_OK;
  const char *name = lt.get_status_name(result), *text = lt.get_status_string(result);
  return seer_fail(result == SEER_LT_INVALID_VALUE ? SEER_BUG : SEER_MACHINE, "cuBLASLt: %s: %s (%d)%s%s", what,
                   name ? name : "an unknown status", result, text && name && strcmp(name, text) ? ": " : "",
                   text && name && strcmp(name, text) ? text : "");
}

static const char *cublaslt_load(void *library, int64_t *version) {
  const char *missing = NULL;
#define FUNCTION(type, field, symbol, parameters) \
  if (!seer_symbol_find(library, symbol, &lt.field, sizeof lt.field) && !missing) missing = symbol;
#include "runtime/device/cublaslt.def"
  if (!missing) *version = (int64_t)lt.get_version();
  return missing;
}

static SeerStatus cublaslt_open(SeerLibraryHandle **handle) {
  SeerLibraryHandle *made = calloc(1, sizeof *made);
  if (!made) return seer_fail(SEER_MACHINE, "no memory for cuBLASLt's handle");
  SeerStatus status = check(lt.create(&made->lt), "cublasLtCreate");
  if (status)
    free(made);
  else
    *handle = made;
  return status;
}

static void cublaslt_close(SeerLibraryHandle *handle) {
  lt.destroy(handle->lt);
  free(handle);
}

// ---- a product ----

static int type_of(SeerFormat format) {
  return format == SEER_FP32 ? SEER_LT_FLOAT : format == SEER_FP16 ? SEER_LT_FP16 : SEER_LT_BF16;
}

static SeerStatus set(SeerLtMatmulDesc *desc, int attribute, const void *value, size_t bytes) {
  return check(lt.matmul_desc_set(desc, attribute, value, bytes), "cublasLtMatmulDescSetAttribute");
}

static SeerStatus describe(SeerPreparedCall *call) {
  const SeerMatmul *m = &call->matmul;
  int32_t turn_a = m->b_turned ? SEER_LT_TURNED : SEER_LT_PLAIN, turn_b = m->a_turned ? SEER_LT_TURNED : SEER_LT_PLAIN;
  uint32_t epilogue = SEER_LT_EPILOGUE_BIAS;
  SeerStatus status =
      check(lt.matmul_desc_create(&call->desc, SEER_LT_COMPUTE_FLOAT, SEER_LT_FLOAT), "cublasLtMatmulDescCreate");
  if (!status) status = set(call->desc, SEER_LT_TURN_A, &turn_a, sizeof turn_a);
  if (!status) status = set(call->desc, SEER_LT_TURN_B, &turn_b, sizeof turn_b);
  if (!status && m->has_bias) status = set(call->desc, SEER_LT_EPILOGUE, &epilogue, sizeof epilogue);
  return status;
}

// Of a row-major matrix.
static SeerStatus lay(SeerLtLayout **layout, SeerFormat format, int64_t rows, int64_t columns) {
  return check(lt.layout_create(layout, type_of(format), (uint64_t)columns, (uint64_t)rows, columns),
               "cublasLtMatrixLayoutCreate");
}

static SeerStatus prefer(SeerLtPreference *preference, int attribute, const void *value, size_t bytes) {
  return check(lt.preference_set(preference, attribute, value, bytes), "cublasLtMatmulPreferenceSetAttribute");
}

static SeerStatus preference_make(const SeerMatmul *m, SeerLtPreference **preference) {
  static const int alignments[] = {SEER_LT_ALIGNMENT_A, SEER_LT_ALIGNMENT_B, SEER_LT_ALIGNMENT_C, SEER_LT_ALIGNMENT_D};
  uint64_t workspace_bytes = m->workspace_bytes;
  uint32_t reductions = SEER_LT_REDUCTION_COMPUTE_TYPE, alignment = SEER_ALIGNMENT;
  SeerStatus status = check(lt.preference_create(preference), "cublasLtMatmulPreferenceCreate");
  if (!status) status = prefer(*preference, SEER_LT_WORKSPACE_MOST, &workspace_bytes, sizeof workspace_bytes);
  if (!status) status = prefer(*preference, SEER_LT_REDUCTIONS, &reductions, sizeof reductions);
  for (size_t i = 0; i < sizeof alignments / sizeof *alignments && !status; i++)
    status = prefer(*preference, alignments[i], &alignment, sizeof alignment);
  return status;
}

static SeerStatus choose_algo(SeerLibraryHandle *handle, SeerPreparedCall *call) {
  SeerLtPreference *preference = NULL;
  SeerLtHeuristic best = {.status = SEER_LT_NOT_SUPPORTED};
  int count = 0;
  SeerStatus status = preference_make(&call->matmul, &preference);
  if (!status) {
    int result =
        lt.algo_get_heuristic(handle->lt, call->desc, call->a, call->b, call->d, call->d, preference, 1, &best, &count);
    status = check(!result && count < 1 ? SEER_LT_NOT_SUPPORTED
                   : result             ? result
                                        : best.status,
                   "cublasLtMatmulAlgoGetHeuristic");
  }
  if (preference) lt.preference_destroy(preference);
  call->algo = best.algo;
  return status;
}

static void cublaslt_release(SeerLibraryHandle *handle, SeerPreparedCall *call) {
  (void)handle;
  if (call->a) lt.layout_destroy(call->a);
  if (call->b) lt.layout_destroy(call->b);
  if (call->d) lt.layout_destroy(call->d);
  if (call->desc) lt.matmul_desc_destroy(call->desc);
  free(call);
}

static SeerStatus cublaslt_prepare(SeerLibraryHandle *handle, const SeerLibraryCall *wanted,
                                   SeerPreparedCall **prepared) {
  const SeerMatmul *m = &wanted->matmul;
  SeerPreparedCall *call = calloc(1, sizeof *call);
  if (!call) return seer_fail(SEER_MACHINE, "no memory for a call of cuBLASLt");
  call->matmul = *m;
  SeerStatus status = describe(call);
  if (!status)
    status = lay(&call->a, m->operands, m->b_turned ? m->columns : m->depth, m->b_turned ? m->depth : m->columns);
  if (!status) status = lay(&call->b, m->operands, m->a_turned ? m->depth : m->rows, m->a_turned ? m->rows : m->depth);
  if (!status) status = lay(&call->d, m->result, m->rows, m->columns);
  if (!status) status = choose_algo(handle, call);
  if (status)
    cublaslt_release(handle, call);
  else
    *prepared = call;
  return status;
}

static SeerStatus cublaslt_run(SeerLibraryHandle *handle, SeerPreparedCall *call, SeerDeviceStream *stream,
                               const void *const *pointers) {
  enum { A, B, ADDEND, BIAS, Y, WORKSPACE };
  const SeerMatmul *m = &call->matmul;
  const float one = 1, beta = m->adds ? 1 : 0;
  void *y = (void *)(uintptr_t)pointers[Y];
  if (m->has_bias) {
    SeerStatus status = set(call->desc, SEER_LT_BIAS_POINTER, &pointers[BIAS], sizeof pointers[BIAS]);
    if (status) return status;
  }
  int result = lt.matmul(handle->lt, call->desc, &one, pointers[B], call->a, pointers[A], call->b, &beta,
                         m->adds ? pointers[ADDEND] : y, call->d, y, call->d, &call->algo,
                         seer_library_workspace(pointers[WORKSPACE]), m->workspace_bytes, stream);
  return check(result, "cublasLtMatmul");
}

const SeerLibraryType seer_cublaslt = {
    .title = "cuBLASLt",
    .variable = "SEER_LIBCUBLASLT",
    .file = "libcublasLt.so.",
    .newest = 13,
    .oldest = 12,
    .package = "NVIDIA's cuBLAS, of the CUDA toolkit: package libcublas-13-0, or nvidia-cublas of PyPI",
    .load = cublaslt_load,
    .open = cublaslt_open,
    .close = cublaslt_close,
    .prepare = cublaslt_prepare,
    .release = cublaslt_release,
    .run = cublaslt_run,
};
