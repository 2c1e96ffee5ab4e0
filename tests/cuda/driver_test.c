// The CUDA driver and the GPU as the runtime sees them: errors where there is none, and on the simulated GPU everything
// that trainers ask for. `driver_test CASE MODULE`; the environment of each case is in CMakeLists.txt.
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/device/device.h"
#include "tests/cuda/module_file.h"

enum { COUNT = 1000, TURNED = 16384, TRIALS = 60 };
enum { SCALE, TURN };

#define CHECK(condition)                                                                               \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      fprintf(stderr, "%s:%d: not so: %s; error: %s\n", __FILE__, __LINE__, #condition, seer_error()); \
      exit(1);                                                                                         \
    }                                                                                                  \
  } while (0)
#define GOOD(call) CHECK((call) == SEER_OK)

static void expect(SeerStatus got, SeerStatus status, const char *text) {
  if (got != status || !strstr(seer_error(), text)) {
    fprintf(stderr, "status %d, error:\n%s\nnot %d,\n%s\n", got, seer_error(), status, text);
    exit(1);
  }
  seer_error_clear();
}

// ---- a trainer's kernels ----

static SeerModule module;
static SeerArchitecture architectures[4];
static const SeerKernel kernel_list[] = {{"layer1 scale", "scale", 0}, {"layer1 turn", "turn", 0}};
static const SeerBlock blocks[] = {{64, 0}, {64, 65536}};
static SeerKernels kernels = {1, 1, 2, architectures, kernel_list};

static void module_load(const char *path) {
  module = module_read(path);
  CHECK(module.bytes);
  architectures[0] = (SeerArchitecture){"simulated", &module, blocks};
}

// A device with two streams, an event, and arrays of COUNT floats on it and page-locked.
typedef struct Bench {
  SeerDevice *device;
  SeerDeviceStream *streams[2];
  SeerDeviceEvent *events[2];
  SeerAddress a, b, c, shift;
  float *host, *back;
} Bench;

static Bench bench_make(void) {
  Bench bench;
  const uint64_t bytes = COUNT * sizeof(float);
  GOOD(seer_device_open(&kernels, 0, &bench.device));
  for (int i = 0; i < 2; i++) {
    GOOD(seer_device_stream_make(bench.device, &bench.streams[i]));
    GOOD(seer_device_event_make(bench.device, true, &bench.events[i]));
  }
  SeerAddress *addresses[] = {&bench.a, &bench.b, &bench.c, &bench.shift};
  for (int i = 0; i < 4; i++) GOOD(seer_device_alloc(bench.device, i < 3 ? bytes : 4, "an array", addresses[i]));
  GOOD(seer_device_host_alloc(bench.device, bytes, "what goes there", (void **)&bench.host));
  GOOD(seer_device_host_alloc(bench.device, bytes, "what comes back", (void **)&bench.back));
  for (int i = 0; i < COUNT; i++) bench.host[i] = (float)i;
  GOOD(seer_device_fill(bench.device, bench.streams[0], bench.shift, 0, 4));
  GOOD(seer_device_stream_wait(bench.device, bench.streams[0]));
  return bench;
}

static void bench_release(Bench *bench) {
  const SeerAddress addresses[] = {bench->a, bench->b, bench->c, bench->shift};
  for (int i = 0; i < 4; i++) seer_device_free(bench->device, addresses[i]);
  seer_device_host_free(bench->device, bench->host);
  seer_device_host_free(bench->device, bench->back);
  for (int i = 0; i < 2; i++) {
    seer_device_stream_release(bench->device, bench->streams[i]);
    seer_device_event_release(bench->device, bench->events[i]);
  }
  seer_device_close(bench->device);
}

static SeerStatus scale(Bench *bench, int stream, SeerAddress to, SeerAddress from, double factor) {
  int count = COUNT;
  void *arguments[] = {&to, &from, &bench->shift, &count, &factor};
  SeerStatus status =
      seer_device_launch(bench->device, bench->streams[stream], SCALE, (COUNT + 63) / 64, 1, 1, arguments);
  // Its values were read: what the variables hold now must not matter.
  to = from = 0;
  count = -1;
  factor = (double)NAN;
  return status;
}

static SeerStatus follow(Bench *bench, int later, int earlier) {
  SeerStatus status = seer_device_event_record(bench->device, bench->events[earlier], bench->streams[earlier]);
  return status ? status : seer_device_stream_follow(bench->device, bench->streams[later], bench->events[earlier]);
}

static bool is_scaled(const float *values, float factor) {
  for (int i = 0; i < COUNT; i++) {
    if (values[i] != factor * (float)i) return false;
  }
  return true;
}

// ---- opening ----

static SeerStatus opened(void) {
  const SeerDriver *driver;
  return seer_driver_open(&driver);
}

static void case_missing(void) {
  expect(opened(), SEER_MACHINE, "cannot open the CUDA driver that SEER_LIBCUDA names, '/nowhere': ");
  int count;
  expect(seer_device_count(&count), SEER_MACHINE, "note: unset SEER_LIBCUDA");
}

static void case_other_library(void) { expect(opened(), SEER_MACHINE, "'libm.so.6' is no CUDA driver"); }

static void case_old(void) {
  expect(opened(), SEER_MACHINE,
         "is too old: it knows CUDA 5.5 and has no 'cuGetErrorName', which came with CUDA 6.0\nnote: install a newer");
}

// The toolkit's library for linking has every function of the interface, and none that works.
static void case_stub(void) { expect(opened(), SEER_MACHINE, "does not start: cuInit: "); }

static void case_refused(void) {
  expect(opened(), SEER_MACHINE,
         "does not start: cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803): the driver and its library do not match\n"
         "note: the driver's library and its kernel module are of different versions");
  GOOD(opened());  // the second time it works
}

static void case_functions(void) {
  const SeerDriver *driver = NULL;
  GOOD(seer_driver_open(&driver));
  void *library = dlopen(getenv("SEER_LIBCUDA"), RTLD_NOW);
  CHECK(library && driver->version == 13000);
#define FUNCTION(field, symbol, since, parameters) CHECK(driver->field &&dlsym(library, symbol));
#include "runtime/device/functions.def"
  GOOD(seer_driver_check(driver, 0, "nothing"));
  expect(seer_driver_check(driver, 12345, "cuNothing"), SEER_MACHINE, "cuNothing: an unknown error (12345)");
  expect(seer_driver_check(driver, 214, "cuNothing"), SEER_MACHINE, "memory of the GPU is broken");
}

static const char *architecture_of(const char *first, const char *second, const char *third) {
  const char *names[] = {first, second, third};
  kernels.architecture_count = 0;
  for (int i = 0; i < 3 && names[i]; i++)
    architectures[kernels.architecture_count++] = (SeerArchitecture){names[i], &module, blocks};
  SeerDevice *device;
  if (seer_device_open(&kernels, 0, &device)) return "none";
  const char *architecture = seer_device_facts(device)->architecture;
  seer_device_close(device);
  return architecture;
}

#define OPENS(capability, name, ...)                        \
  do {                                                      \
    setenv("SEER_SIMULATED_CAPABILITY", capability, 1);     \
    CHECK(strcmp(architecture_of(__VA_ARGS__), name) == 0); \
  } while (0)

static void case_architectures(void) {
  OPENS("9.0", "sm_90a", "compute_80", "sm_90a", "sm_90");
  OPENS("9.0", "sm_90", "compute_80", "sm_80", "sm_90");
  OPENS("9.0", "compute_80", "compute_75", "compute_80", "compute_100");
  OPENS("8.0", "sm_80", "sm_86", "sm_80", "simulated");
  OPENS("8.9", "sm_86", "sm_80", "sm_86", "compute_80");
  OPENS("10.0", "compute_80", "sm_90a", "sm_80", "compute_80");
  OPENS("8.0", "none", "sm_86", "sm_90a", "simulated");
  OPENS("9.0", "none", "simulated", "simulated_sm_90a", "compute_100");
  seer_error_clear();
  setenv("SEER_SIMULATED_CAPABILITY", "8.6", 1);
  SeerDevice *device;
  kernels.architecture_count = 2;
  architectures[0].name = "sm_90a";
  architectures[1].name = "simulated";
  expect(seer_device_open(&kernels, 0, &device), SEER_MACHINE,
         "GPU 0 'NVIDIA Test', of compute capability 8.6, runs nothing of what this trainer was built for: sm_90a, "
         "simulated\nnote: build it again with `seerc build --target=cuda:sm_86`");
  CHECK(!device);
  setenv("SEER_SIMULATED_NAME", "Simulated GPU", 1);
  kernels.architecture_count = 1;
  expect(seer_device_open(&kernels, 0, &device), SEER_MACHINE, "with `seerc build --target=cuda:simulated`");
  OPENS("9.0", "simulated_sm_90a", "sm_90a", "simulated_sm_90a", "simulated");
  OPENS("8.0", "simulated", "sm_90a", "simulated_sm_90a", "simulated");
  OPENS("8.0", "none", "sm_80", "simulated_sm_90a", "compute_80");
  seer_error_clear();
}

static void case_open(void) {
  SeerDevice *device;
  expect(seer_device_open(&kernels, 1, &device), SEER_MACHINE, "there is no GPU 1: this process may use 1, counted");
  const SeerModule text = {"\n.version 7.0", 14};
  architectures[0].modules = &text;
  expect(seer_device_open(&kernels, 0, &device), SEER_MACHINE,
         "GPU 0 'Simulated GPU': cuModuleLoadData of module 0 for simulated: CUDA_ERROR_NO_BINARY_FOR_GPU (209)");
  architectures[0].modules = &module;
  SeerKernel wrong[] = {{"layer1 scale", "scalf", 0}, {"big", "turn", 0}};
  const SeerBlock large = {64, 300000};
  const SeerArchitecture demanding = {"simulated", &module, &large};
  const SeerKernels other = {1, 1, 1, architectures, wrong}, big = {1, 1, 1, &demanding, wrong + 1};
  expect(seer_device_open(&other, 0, &device), SEER_BUG, "cuModuleGetFunction of kernel 'layer1 scale' ('scalf'): ");
  expect(seer_device_open(&big, 0, &device), SEER_MACHINE,
         "kernel 'big' needs 64 threads and 300000 bytes of shared memory a block, of at most 1024 and 232448");
  GOOD(seer_device_open(NULL, 0, &device));
  const SeerDeviceFacts *facts = seer_device_facts(device);
  CHECK(facts->capability == 90 && facts->multiprocessors == 132 && facts->memory_bytes == 1 << 20);
  CHECK(strcmp(facts->uuid, "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f") == 0 && !facts->architecture);
  SeerAddress address, second;
  uint64_t left;
  expect(seer_device_alloc(device, 3 << 20, "the arena", &address), SEER_MACHINE,
         "GPU 0 'Simulated GPU': cannot get 3.0 MiB for the arena: 1.0 of its 1.0 MiB are free\nnote: stop other "
         "programs that use this GPU (`nvidia-smi` lists them), or build with a smaller train.batch");
  GOOD(seer_device_alloc(device, 1 << 19, "the state", &address));
  GOOD(seer_device_free_bytes(device, &left));
  CHECK(left == 1 << 19);
  expect(seer_device_alloc(device, (1 << 19) + 1, "more", &second), SEER_MACHINE, "0.5 of its 1.0 MiB are free");
  seer_device_free(device, address);
  seer_device_close(device);
}

// Two of one process, each with its own memory; a stream is looked at until it is done.
static void case_devices(void) {
  SeerDevice *devices[2], *none;
  SeerAddress memory[2];
  SeerDeviceStream *stream;
  uint64_t left;
  int count = 0;
  GOOD(seer_device_count(&count));
  CHECK(count == 2);
  expect(seer_device_open(NULL, 2, &none), SEER_MACHINE, "there is no GPU 2: this process may use 2, counted");
  for (int i = 0; i < 2; i++) {
    GOOD(seer_device_open(NULL, i, &devices[i]));
    GOOD(seer_device_alloc(devices[i], 1 << 19, "half of it", &memory[i]));
  }
  for (int i = 0; i < 2; i++) {
    GOOD(seer_device_free_bytes(devices[i], &left));
    CHECK(left == 1 << 19);
  }
  CHECK(strcmp(seer_device_facts(devices[0])->uuid, seer_device_facts(devices[1])->uuid) != 0);
  CHECK(strcmp(seer_device_facts(devices[1])->name, "Simulated GPU 1") == 0);
  GOOD(seer_device_stream_make(devices[1], &stream));
  GOOD(seer_device_fill(devices[1], stream, memory[1], 7, 1 << 19));
  for (bool done = false; !done;) GOOD(seer_device_stream_look(devices[1], stream, &done));
  unsigned char got[16] = {0};
  GOOD(seer_device_download(devices[1], stream, got, memory[1], sizeof got));
  CHECK(got[0] == 7 && got[15] == 7);
  expect(seer_device_fill(devices[0], stream, memory[0], 0, 16), SEER_BUG, "CUDA_ERROR_INVALID_CONTEXT");
  seer_device_stream_release(devices[1], stream);
  for (int i = 0; i < 2; i++) {
    seer_device_free(devices[i], memory[i]);
    seer_device_close(devices[i]);
  }
}

// ---- running ----

static void *fill_from_elsewhere(void *argument) {
  Bench *bench = argument;
  GOOD(seer_device_fill(bench->device, bench->streams[1], bench->c, 0, COUNT * sizeof(float)));
  GOOD(seer_device_stream_wait(bench->device, bench->streams[1]));
  return NULL;
}

static void note_number(void *data) {
  int *numbers = data;
  numbers[0]++;
  numbers[numbers[0]] = numbers[0] * 10;
}

static void case_run(void) {
  Bench bench = bench_make();
  const uint64_t bytes = COUNT * sizeof(float);
  SeerDevice *device = bench.device;
  // What is not page-locked was read when the call returns.
  float *pageable = malloc(bytes);
  CHECK(pageable);
  for (int i = 0; i < COUNT; i++) pageable[i] = (float)i;
  GOOD(seer_device_event_record(device, bench.events[0], bench.streams[0]));
  GOOD(seer_device_upload(device, bench.streams[0], bench.a, pageable, bytes));
  memset(pageable, 0xFF, bytes);
  GOOD(scale(&bench, 0, bench.b, bench.a, 3));
  GOOD(seer_device_copy(device, bench.streams[0], bench.c, bench.b, bytes));
  int numbers[4] = {0};
  GOOD(seer_device_call(device, bench.streams[0], note_number, numbers));
  GOOD(seer_device_call(device, bench.streams[0], note_number, numbers));
  GOOD(seer_device_event_record(device, bench.events[1], bench.streams[0]));
  CHECK(numbers[0] == 0);
  GOOD(seer_device_download(device, bench.streams[0], pageable, bench.c, bytes));
  CHECK(is_scaled(pageable, 3) && numbers[0] == 2 && numbers[2] == 20);
  free(pageable);
  double seconds = -1;
  GOOD(seer_device_event_wait(device, bench.events[1]));
  GOOD(seer_device_event_seconds(device, bench.events[0], bench.events[1], &seconds));
  CHECK(seconds > 0 && seconds < 60);
  // What is page-locked is read late.
  bench.host[1] = 7;
  GOOD(seer_device_upload(device, bench.streams[0], bench.a, bench.host, bytes));
  bench.host[1] = 1;
  GOOD(seer_device_download(device, bench.streams[0], bench.back, bench.a, bytes));
  GOOD(seer_device_stream_wait(device, bench.streams[0]));
  CHECK(is_scaled(bench.back, 1));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, fill_from_elsewhere, &bench) == 0 && pthread_join(thread, NULL) == 0);
  GOOD(seer_device_download(device, bench.streams[1], bench.back, bench.c, bytes));
  GOOD(seer_device_event_record(device, bench.events[1], bench.streams[1]));
  GOOD(seer_device_event_wait(device, bench.events[1]));
  CHECK(is_scaled(bench.back, 0));
  expect(seer_device_launch(device, bench.streams[0], SCALE, 0, 1, 1,
                            (void *[]){&bench.a, &bench.a, &bench.a, numbers, &seconds}),
         SEER_BUG, "cuLaunchKernel of 'layer1 scale' in 0 x 1 x 1 blocks: CUDA_ERROR_INVALID_VALUE (1)");
  bench_release(&bench);
}

// What a host function must not do.
static void call_driver(void *data) {
  const SeerDriver *driver = NULL;
  int *result = data, count = 0;
  GOOD(seer_driver_open(&driver));
  *result = driver->device_get_count(&count);
}

static void case_host_function(void) {
  Bench bench = bench_make();
  int result = 0;
  GOOD(seer_device_call(bench.device, bench.streams[0], call_driver, &result));
  GOOD(seer_device_stream_wait(bench.device, bench.streams[0]));
  CHECK(result == 800);
  bench_release(&bench);
}

static void case_shared(void) {
  SeerDevice *device;
  SeerDeviceStream *stream;
  SeerAddress from, to;
  const uint64_t bytes = 2 * TURNED * sizeof(float);
  GOOD(seer_device_open(&kernels, 0, &device));
  GOOD(seer_device_stream_make(device, &stream));
  GOOD(seer_device_alloc(device, bytes, "floats", &from));
  GOOD(seer_device_alloc(device, bytes, "floats", &to));
  float *values = malloc(bytes);
  CHECK(values);
  for (int i = 0; i < 2 * TURNED; i++) values[i] = (float)i;
  GOOD(seer_device_upload(device, stream, from, values, bytes));
  GOOD(seer_device_launch(device, stream, TURN, 2, 1, 1, (void *[]){&to, &from}));
  GOOD(seer_device_download(device, stream, values, to, bytes));
  for (int i = 0; i < 2 * TURNED; i++) CHECK(values[i] == (float)(i / TURNED * TURNED + TURNED - 1 - i % TURNED));
  free(values);
  seer_device_free(device, from);
  seer_device_free(device, to);
  seer_device_stream_release(device, stream);
  seer_device_close(device);
}

// a -> b in one stream, b -> c in the other: right every time with an event, and wrong some time without.
static bool relay(Bench *bench, bool joined) {
  const uint64_t bytes = COUNT * sizeof(float);
  SeerDeviceStream *first = bench->streams[0], *second = bench->streams[1];
  GOOD(seer_device_fill(bench->device, first, bench->b, 0xFF, bytes));
  GOOD(seer_device_upload(bench->device, first, bench->a, bench->host, bytes));
  GOOD(seer_device_stream_wait(bench->device, first));
  GOOD(scale(bench, 0, bench->b, bench->a, 2));
  if (joined) GOOD(follow(bench, 1, 0));
  GOOD(scale(bench, 1, bench->c, bench->b, 2));
  GOOD(seer_device_download(bench->device, second, bench->back, bench->c, bytes));
  GOOD(seer_device_stream_wait(bench->device, second));
  GOOD(seer_device_stream_wait(bench->device, first));
  return is_scaled(bench->back, 4);
}

// b is read in one stream and overwritten in the other.
static bool reuse(Bench *bench, bool joined) {
  const uint64_t bytes = COUNT * sizeof(float);
  SeerDeviceStream *first = bench->streams[0], *second = bench->streams[1];
  GOOD(seer_device_upload(bench->device, first, bench->b, bench->host, bytes));
  GOOD(seer_device_stream_wait(bench->device, first));
  GOOD(seer_device_download(bench->device, first, bench->back, bench->b, bytes));
  if (joined) GOOD(follow(bench, 1, 0));
  GOOD(seer_device_fill(bench->device, second, bench->b, 0, bytes));
  GOOD(seer_device_stream_wait(bench->device, first));
  GOOD(seer_device_stream_wait(bench->device, second));
  return is_scaled(bench->back, 1);
}

static void case_streams(void) {
  static bool (*const hazards[])(Bench * bench, bool joined) = {relay, reuse};
  Bench bench = bench_make();
  for (int hazard = 0; hazard < 2; hazard++) {
    int right = 0, lucky = 0;
    for (int i = 0; i < TRIALS; i++) right += hazards[hazard](&bench, true);
    for (int i = 0; i < TRIALS; i++) lucky += hazards[hazard](&bench, false);
    printf("with an event %d of %d right, without %d\n", right, TRIALS, lucky);
    CHECK(right == TRIALS && lucky < TRIALS);
  }
  bench_release(&bench);
}

// ---- graphs ----

static void replay(Bench *bench, SeerDeviceGraph *graph, float shift) {
  GOOD(seer_device_upload(bench->device, bench->streams[1], bench->shift, &shift, sizeof shift));
  GOOD(follow(bench, 0, 1));
  GOOD(seer_device_graph_launch(bench->device, graph, bench->streams[0]));
  GOOD(seer_device_graph_launch(bench->device, graph, bench->streams[0]));
  GOOD(seer_device_stream_wait(bench->device, bench->streams[0]));
  for (int i = 0; i < COUNT; i++) CHECK(bench->back[i] == 4 * (float)i + 3 * shift);
}

static void case_graph(void) {
  Bench bench = bench_make();
  SeerDevice *device = bench.device;
  const uint64_t bytes = COUNT * sizeof(float);
  SeerDeviceGraph *graph = NULL;
  GOOD(seer_device_capture_begin(device, bench.streams[0]));
  GOOD(seer_device_upload(device, bench.streams[0], bench.a, bench.host, bytes));
  GOOD(seer_device_fill(device, bench.streams[0], bench.c, 0xFF, bytes));
  GOOD(follow(&bench, 1, 0));
  GOOD(scale(&bench, 1, bench.b, bench.a, 2));
  GOOD(follow(&bench, 0, 1));
  GOOD(scale(&bench, 0, bench.c, bench.b, 2));
  GOOD(seer_device_download(device, bench.streams[0], bench.back, bench.c, bytes));
  int numbers[8] = {0};
  GOOD(seer_device_call(device, bench.streams[0], note_number, numbers));
  GOOD(seer_device_capture_end(device, bench.streams[0], &graph));
  CHECK(graph && numbers[0] == 0);
  for (int i = 0; i < 3; i++) replay(&bench, graph, (float)(2 - i));
  CHECK(numbers[0] == 6);
  seer_device_graph_release(device, graph);

  GOOD(seer_device_capture_begin(device, bench.streams[0]));
  expect(seer_device_stream_wait(device, bench.streams[0]), SEER_BUG, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)");
  expect(scale(&bench, 0, bench.b, bench.a, 1), SEER_BUG, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED (901)");
  expect(seer_device_capture_end(device, bench.streams[0], &graph), SEER_BUG, "cuStreamEndCapture: CUDA_ERROR_STREAM_");
  CHECK(!graph);
  SeerAddress more;
  GOOD(seer_device_capture_begin(device, bench.streams[0]));
  expect(seer_device_alloc(device, 256, "more", &more), SEER_BUG, "cuMemAlloc_v2 of 256 bytes for more: CUDA_ERROR_S");
  expect(seer_device_capture_end(device, bench.streams[0], &graph), SEER_BUG, "INVALIDATED (901)");
  GOOD(seer_device_capture_begin(device, bench.streams[0]));
  GOOD(scale(&bench, 0, bench.b, bench.a, 1));
  GOOD(follow(&bench, 1, 0));
  GOOD(scale(&bench, 1, bench.c, bench.b, 1));
  expect(seer_device_capture_end(device, bench.streams[0], &graph), SEER_BUG, "UNJOINED (904)");
  GOOD(seer_device_event_record(device, bench.events[1], bench.streams[1]));
  GOOD(seer_device_capture_begin(device, bench.streams[0]));
  expect(seer_device_stream_follow(device, bench.streams[0], bench.events[1]), SEER_BUG, "ISOLATION (905)");
  expect(seer_device_capture_end(device, bench.streams[0], &graph), SEER_BUG, "INVALIDATED (901)");
  CHECK(relay(&bench, true));
  bench_release(&bench);
}

// ---- faults ----

static void case_lost(void) {
  Bench bench = bench_make();
  GOOD(scale(&bench, 0, bench.b, bench.a, 1));
  GOOD(scale(&bench, 0, bench.b, bench.a, 1));
  CHECK(scale(&bench, 0, bench.b, bench.a, 1) == SEER_MACHINE);
  CHECK(seer_device_status(bench.device) == SEER_MACHINE);
  CHECK(seer_device_stream_wait(bench.device, bench.streams[0]) == SEER_MACHINE);
  uint64_t left;
  CHECK(seer_device_free_bytes(bench.device, &left) == SEER_MACHINE && left == 0);
  expect(
      scale(&bench, 0, bench.b, bench.a, 1), SEER_MACHINE,
      "GPU 0 'Simulated GPU': cuLaunchKernel of 'layer1 scale' in 16 x 1 x 1 blocks: CUDA_ERROR_LAUNCH_FAILED (719): "
      "a launch failed\nnote: start the trainer again; it goes on from its last snapshot");
  bench_release(&bench);
}

static void case_illegal_address(void) {
  Bench bench = bench_make();
  expect(seer_device_stream_wait(bench.device, bench.streams[0]), SEER_BUG,
         "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access\nnote: a kernel did what it");
  CHECK(seer_device_status(bench.device) == SEER_BUG);
  bench_release(&bench);
}

// Runs in a process of its own; its exit code.
static int code_of(void (*function)(Bench *bench)) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    Bench bench = bench_make();
    function(&bench);
    exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void fault_nothing(Bench *bench) { bench_release(bench); }
static void fault_leak(Bench *bench) {
  bench->events[1] = NULL;
  bench_release(bench);
}
static void fault_beyond(Bench *bench) {
  seer_device_fill(bench->device, bench->streams[0], bench->a + 4, 0, COUNT * sizeof(float));
}
static void fault_twice(Bench *bench) {
  seer_device_free(bench->device, bench->a);
  seer_device_free(bench->device, bench->a);
}
static void fault_stream(Bench *bench) { seer_device_fill(bench->device, NULL, bench->a, 0, 4); }
static void fault_kernel(Bench *bench) {
  seer_device_free(bench->device, bench->b);
  scale(bench, 0, bench->a, bench->b, 1);
  seer_device_stream_wait(bench->device, bench->streams[0]);
}

static void case_faults(void) {
  CHECK(code_of(fault_nothing) == 0);
  CHECK(code_of(fault_leak) == 70);
  CHECK(code_of(fault_beyond) == 70);
  CHECK(code_of(fault_twice) == 70);
  CHECK(code_of(fault_stream) == 70);
  CHECK(code_of(fault_kernel) != 0);  // AddressSanitizer has an exit code of its own
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    void (*run)(void);
  } cases[] = {{"missing", case_missing},
               {"other_library", case_other_library},
               {"old", case_old},
               {"stub", case_stub},
               {"refused", case_refused},
               {"functions", case_functions},
               {"architectures", case_architectures},
               {"open", case_open},
               {"devices", case_devices},
               {"run", case_run},
               {"shared", case_shared},
               {"streams", case_streams},
               {"graph", case_graph},
               {"lost", case_lost},
               {"illegal_address", case_illegal_address},
               {"faults", case_faults},
               {"host_function", case_host_function}};
  CHECK(count == 3);
  module_load(arguments[2]);
  int ran = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(cases[i].name, arguments[1]) != 0) continue;
    cases[i].run();
    ran++;
  }
  CHECK(ran == 1);
  free((void *)(uintptr_t)module.bytes);
  return 0;
}
