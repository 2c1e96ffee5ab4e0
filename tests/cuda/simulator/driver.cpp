// The simulated GPU as a CUDA driver: a library that a trainer opens in place of libcuda.so.1 (SEER_LIBCUDA), with the
// functions of runtime/device/functions.def. Modules are shared objects of kernels compiled with -DSIMULATED_DEVICE.
// Nothing runs before something waits for it (work.h). What a GPU does not forgive ends the process as faults of the
// simulator do; what a driver refuses is refused with the driver's result.
//
//   SEER_SIMULATED_DEVICES   how many there are; 1. Each has its memory, its UUID and, of several, a number in its name
//   SEER_SIMULATED_BYTES     a GPU's memory; 4 GiB
//   SEER_SIMULATED_HOST      bytes of the host's memory that can be page-locked; as many as there are
//   SEER_SIMULATED_USED      a file that gets the most bytes that were allocated at a time: of the GPU, page-locked
//   SEER_SIMULATED_LAST      a file that gets what memory of the GPU held when it was released
//   SEER_SIMULATED_NAME      "Simulated GPU"; and its SEER_SIMULATED_CAPABILITY, "9.0"
//   SEER_SIMULATED_SEED      of the order of work; 0
//   SEER_SIMULATED_CLOCK     "LAUNCH:BLOCK": events tell a clock that goes on by so many seconds with each launch and
//                            each block of it, instead of this machine's time
//   SEER_SIMULATED_SCHEDULE  of a block's threads: first_first, last_first, random
//   SEER_SIMULATED_STRICT    set: what is released twice, or never, is a fault
//   SEER_SIMULATED_FAIL      "FUNCTION:N:RESULT,...": the N-th call of a function gives this result, and if that is
//                            one after which a GPU is lost, so does every call from there on
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver_state.h"

namespace simulated {

State &state = *new State();
thread_local bool is_host_function;

[[noreturn]] void fault(const char *function, const char *format, ...) {
  std::fprintf(stderr, "simulated driver: %s: ", function);
  va_list arguments;
  va_start(arguments, format);
  fault_end(format, arguments);
}

thread_local SeerDriverContext *current;

static bool is_lost_after(int result) {
  return result == DEVICE_UNAVAILABLE || result == ECC_UNCORRECTABLE || (result >= 700 && result < 720);
}

// The result that SEER_SIMULATED_FAIL has for this call; else 0.
static int injected(const char *function) {
  const int call = ++state.calls[function];
  const char *wanted = std::getenv("SEER_SIMULATED_FAIL");
  for (; wanted && *wanted; wanted += std::strcspn(wanted, ","), wanted += *wanted == ',') {
    const size_t length = std::strcspn(wanted, ":,");
    int number = 0, result = 0;
    if (std::sscanf(wanted + length, ":%d:%d", &number, &result) != 2)
      fault("SEER_SIMULATED_FAIL", "'%s' is not FUNCTION:N:RESULT", wanted);
    if (number == call && std::strlen(function) == length && std::strncmp(wanted, function, length) == 0) return result;
  }
  return 0;
}

int enter(const char *function, bool of_context) {
  if (is_host_function) return NOT_PERMITTED;
  if (!state.is_initialized) return NOT_INITIALIZED;
  if (of_context && !current) return INVALID_CONTEXT;
  if (of_context && current->lost) return current->lost;
  const int result = injected(function);
  if (is_lost_after(result)) (current ? current : &state.devices[0])->lost = result;
  return result;
}

SeerDriverUuid uuid_of(const SeerDriverContext *context) {
  SeerDriverUuid uuid;
  for (int i = 0; i < 16; i++) uuid.bytes[i] = (unsigned char)i;
  uuid.bytes[15] = (unsigned char)(15 + context->ordinal);
  return uuid;
}

}  // namespace simulated

using namespace simulated;

namespace {

// ---- memory ----

bool is_inside(const std::map<uintptr_t, size_t> &allocations, uintptr_t at, size_t bytes) {
  auto next = allocations.upper_bound(at);
  if (next == allocations.begin()) return false;
  const auto &[start, size] = *--next;
  return at - start <= size && bytes <= size - (at - start);
}

// Devices by number.
bool is_device(int device) { return device >= 0 && device < (int)state.devices.size(); }

// Whether memory of the host is page-locked; what begins so and ends beyond it is a fault.
bool is_pinned(const char *function, const void *memory, size_t bytes) {
  if (!is_inside(state.host_allocations, (uintptr_t)memory, 0)) return false;
  if (is_inside(state.host_allocations, (uintptr_t)memory, bytes)) return true;
  if (is_inside(state.host_allocations, (uintptr_t)memory, 1))
    fault(function, "%zu bytes at %p reach beyond page-locked memory", bytes, memory);
  return false;
}

void use(Usage &usage, size_t bytes) {
  usage.now += bytes;
  usage.most = std::max(usage.most, usage.now);
}

void file_write(const char *variable, const void *bytes, size_t count) {
  const char *path = std::getenv(variable);
  if (!path) return;
  FILE *file = std::fopen(path, "w");
  const bool written = file && std::fwrite(bytes, 1, count, file) == count;
  if (!file || std::fclose(file) != 0 || !written) fault(variable, "cannot write '%s'", path);
}

// ---- modules ----

size_t image_bytes(const unsigned char *image) {
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  size_t end = header.e_shoff + (size_t)header.e_shnum * header.e_shentsize;
  for (size_t i = 0; i < header.e_shnum; i++) {
    Elf64_Shdr section;
    std::memcpy(&section, image + header.e_shoff + i * header.e_shentsize, sizeof section);
    if (section.sh_type != SHT_NOBITS) end = std::max(end, (size_t)(section.sh_offset + section.sh_size));
  }
  return end;
}

bool is_image(const unsigned char *image) {
  if (std::memcmp(image, ELFMAG, SELFMAG) != 0 || image[EI_CLASS] != ELFCLASS64) return false;
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  return header.e_machine == EM_X86_64 && header.e_type == ET_DYN;
}

void *image_open(const unsigned char *image) {
  const size_t bytes = image_bytes(image);
  // Stays open: dlopen takes a file of the same name for the same library.
  const int file = memfd_create("module", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  for (size_t at = 0; at < bytes;) {
    const ssize_t written = write(file, image + at, bytes - at);
    if (written <= 0) return nullptr;
    at += (size_t)written;
  }
  return dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
}

// ---- launches ----

struct alignas(ARGUMENT_UNIT) Cell {
  unsigned char bytes[ARGUMENT_UNIT];
};

// Values of a launch's parameters.
struct Arguments {
  std::vector<Cell> cells;
  std::vector<void *> addresses;
  Arguments(const unsigned *sizes, void **from) {
    size_t count = 0, parameters = 0;
    for (; sizes[parameters]; parameters++) count += (sizes[parameters] + ARGUMENT_UNIT - 1) / ARGUMENT_UNIT;
    cells.resize(count);
    Cell *next = cells.data();
    for (size_t i = 0; i < parameters; i++) {
      std::memcpy(next->bytes, from[i], sizes[i]);
      addresses.push_back(next->bytes);
      next += (sizes[i] + ARGUMENT_UNIT - 1) / ARGUMENT_UNIT;
    }
  }
};

bool is_launchable(const SeerDriverFunction &function, Index grid, Index block, unsigned shared_bytes) {
  const uint64_t threads = (uint64_t)block.x * block.y * block.z;
  return grid.x && grid.y && grid.z && grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535 && threads &&
         block.x <= 1024 && block.y <= 1024 && block.z <= 64 && threads <= function.shape[0] &&
         shared_bytes <= (unsigned)function.shared_bytes_most;
}

// ---- the end ----

__attribute__((destructor)) void usage_report() {
  std::unique_lock<std::mutex> held(lock);
  const std::string told = std::to_string(state.gpu.most) + " " + std::to_string(state.host.most) + "\n";
  file_write("SEER_SIMULATED_USED", told.data(), told.size());
}

bool any_lost() {
  return std::any_of(state.devices.begin(), state.devices.end(), [](const auto &device) { return device.lost != 0; });
}

size_t holders_all() {
  size_t count = 0;
  for (const SeerDriverContext &device : state.devices) count += (size_t)device.holders;
  return count;
}

__attribute__((destructor)) void leaks_report() {
  std::unique_lock<std::mutex> held(lock);
  if (!state.is_strict || any_lost()) return;
  const struct {
    const char *what;
    size_t count;
  } left[] = {
      {"allocations", state.allocations.size()},  {"allocations of page-locked memory", state.host_allocations.size()},
      {"streams", state.streams.size()},          {"events", state.events.size()},
      {"captured graphs", state.captured.size()}, {"graphs", state.graphs.size()},
      {"modules", state.modules.size()},          {"contexts", holders_all()}};
  bool any = false;
  for (const auto &kind : left) {
    if (kind.count) std::fprintf(stderr, "simulated driver: never released: %zu %s\n", kind.count, kind.what);
    any = any || kind.count;
  }
  if (any) std::_Exit(70);
}

}  // namespace

void simulated::demand_inside(const char *function, const SeerDriverContext *context, uintptr_t at, size_t bytes) {
  if (!is_inside(state.allocations, at, bytes))
    fault(function, "%zu bytes at %p are not inside of one allocation", bytes, (void *)at);
  if ((--state.owners.upper_bound(at))->second != context)
    fault(function, "%zu bytes at %p are of another GPU", bytes, (void *)at);
}

extern "C" {

int cuGetErrorName(int result, const char **name) {
#define RESULT(name_, number, text) \
  if (result == number) return *name = number ? "CUDA_ERROR_" #name_ : "CUDA_SUCCESS", SUCCESS;
  RESULTS(RESULT)
#undef RESULT
  *name = nullptr;
  return INVALID_VALUE;
}

int cuGetErrorString(int result, const char **told) {
#define RESULT(name, number, text) \
  if (result == number) return *told = text, SUCCESS;
  RESULTS(RESULT)
#undef RESULT
  *told = nullptr;
  return INVALID_VALUE;
}

int cuInit(unsigned flags) {
  std::unique_lock<std::mutex> held(lock);
  if (flags) return INVALID_VALUE;
  if (const int result = injected(__func__)) return result;
  const char *bytes = std::getenv("SEER_SIMULATED_BYTES"), *schedule = std::getenv("SEER_SIMULATED_SCHEDULE");
  state.all_bytes = bytes ? std::strtoull(bytes, nullptr, 10) : (size_t)4 << 30;
  const char *host = std::getenv("SEER_SIMULATED_HOST");
  state.host_bytes = host ? std::strtoull(host, nullptr, 10) : SIZE_MAX;
  state.is_strict = std::getenv("SEER_SIMULATED_STRICT") != nullptr;
  const char *devices = std::getenv("SEER_SIMULATED_DEVICES");
  for (int i = 0; i < (devices ? std::atoi(devices) : 1); i++) state.devices.push_back(SeerDriverContext{i, 0, 0, 0});
  const std::string name = schedule ? schedule : "first_first";
  if (name != "first_first" && name != "last_first" && name != "random")
    fault("SEER_SIMULATED_SCHEDULE", "'%s' is not first_first, last_first, random", name.c_str());
  state.schedule = name == "first_first"  ? Schedule::first_first
                   : name == "last_first" ? Schedule::last_first
                                          : Schedule::random;
  state.is_initialized = true;
  return SUCCESS;
}

int cuDriverGetVersion(int *version) {
  *version = 13000;
  return SUCCESS;
}

int cuDeviceGetCount(int *count) {
  ENTER(false);
  *count = (int)state.devices.size();
  return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
  ENTER(false);
  if (!is_device(ordinal)) return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}

int cuDeviceGetName(char *name, int bytes, int device) {
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  const char *wanted = std::getenv("SEER_SIMULATED_NAME");
  const std::string number = state.devices.size() > 1 ? " " + std::to_string(device) : "";
  std::snprintf(name, (size_t)bytes, "%s%s", wanted ? wanted : "Simulated GPU", number.c_str());
  return SUCCESS;
}

// Those of an H200.
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  static const std::map<int, int> values = {{1, 1024},       {2, 1024},   {3, 1024},        {4, 64},
                                            {5, 0x7FFFFFFF}, {6, 65535},  {7, 65535},       {8, 48 * 1024},
                                            {10, 32},        {12, 65536}, {13, 1980000},    {16, 132},
                                            {38, 50 << 20},  {39, 2048},  {81, 228 * 1024}, {97, SHARED_BYTES_MOST}};
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  if (attribute == CAPABILITY_MAJOR || attribute == CAPABILITY_MINOR) {
    const char *wanted = std::getenv("SEER_SIMULATED_CAPABILITY");
    int major = 9, minor = 0;
    if (wanted && std::sscanf(wanted, "%d.%d", &major, &minor) != 2)
      fault("SEER_SIMULATED_CAPABILITY", "'%s' is not MAJOR.MINOR", wanted);
    *value = attribute == CAPABILITY_MAJOR ? major : minor;
    return SUCCESS;
  }
  const auto found = values.find(attribute);
  if (found == values.end()) return INVALID_VALUE;
  *value = found->second;
  return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  *bytes = state.all_bytes;
  return SUCCESS;
}

int cuDeviceGetUuid_v2(SeerDriverUuid *uuid, int device) {
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  *uuid = uuid_of(&state.devices[(size_t)device]);
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(SeerDriverContext **context, int device) {
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  *context = &state.devices[(size_t)device];
  (*context)->holders++;
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER(false);
  if (!is_device(device)) return INVALID_DEVICE;
  int &holders = state.devices[(size_t)device].holders;
  if (holders == 0) return INVALID_CONTEXT;
  if (--holders == 0) work_drain(held);
  return SUCCESS;
}

int cuCtxSetCurrent(SeerDriverContext *context) {
  ENTER(false);
  if (context && context->holders == 0) return INVALID_CONTEXT;
  current = context;
  return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *all_bytes) {
  ENTER(true);
  *free_bytes = state.all_bytes - current->used_bytes;
  *all_bytes = state.all_bytes;
  return SUCCESS;
}

// At multiples of 256, so that up to 255 bytes behind a size that is none can be touched by kernels; copies are exact.
static size_t allocated_bytes(size_t bytes) {
  return (bytes + ALLOCATION_UNIT - 1) / ALLOCATION_UNIT * ALLOCATION_UNIT;
}

int cuMemAlloc_v2(SeerAddress *address, size_t bytes) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  if (bytes == 0) return INVALID_VALUE;
  const size_t left = state.all_bytes - current->used_bytes;
  if (bytes > left || allocated_bytes(bytes) > left) return OUT_OF_MEMORY;
  *address = (uintptr_t)memory_make(allocated_bytes(bytes));
  state.allocations[*address] = bytes;
  state.owners[*address] = current;
  current->used_bytes += allocated_bytes(bytes);
  use(state.gpu, bytes);
  return SUCCESS;
}

int cuMemFree_v2(SeerAddress address) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  work_drain(held);
  const auto found = state.allocations.find(address);
  if (found == state.allocations.end()) {
    if (state.is_strict) fault(__func__, "releases %p, which is not allocated", (void *)address);
    return INVALID_VALUE;
  }
  file_write("SEER_SIMULATED_LAST", (const void *)address, found->second);
  memory_release((void *)address, allocated_bytes(found->second));
  state.owners[address]->used_bytes -= allocated_bytes(found->second);
  state.owners.erase(address);
  state.gpu.now -= found->second;
  state.allocations.erase(found);
  return SUCCESS;
}

int cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  if (bytes == 0) return INVALID_VALUE;
  if (bytes > state.host_bytes - state.host.now) return OUT_OF_MEMORY;
  *memory = memory_make(allocated_bytes(bytes));
  state.host_allocations[(uintptr_t)*memory] = bytes;
  use(state.host, bytes);
  return SUCCESS;
}

int cuMemFreeHost(void *memory) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  work_drain(held);
  const auto found = state.host_allocations.find((uintptr_t)memory);
  if (found == state.host_allocations.end()) {
    if (state.is_strict) fault(__func__, "releases %p, which is not allocated", memory);
    return INVALID_VALUE;
  }
  memory_release(memory, allocated_bytes(found->second));
  state.host.now -= found->second;
  state.host_allocations.erase(found);
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(SeerAddress to, const void *from, size_t bytes, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  demand_inside(__func__, current, to, bytes);
  const char *const name = __func__;
  const SeerDriverContext *const context = current;
  if (stream->capture || is_pinned(name, from, bytes))
    return enqueue(stream, [=] {
      demand_inside(name, context, to, bytes);
      std::memcpy((void *)to, from, bytes);
    });
  const auto staged = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
  return enqueue(stream, [=] { std::memcpy((void *)to, staged->data(), bytes); });
}

int cuMemcpyDtoHAsync_v2(void *to, SeerAddress from, size_t bytes, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  demand_inside(__func__, current, from, bytes);
  const char *const name = __func__;
  const SeerDriverContext *const context = current;
  const int result = enqueue(stream, [=] {
    demand_inside(name, context, from, bytes);
    std::memcpy(to, (const void *)from, bytes);
  });
  if (!result && !stream->capture && !is_pinned(name, to, bytes)) work_wait(held, stream->last);
  return result;
}

int cuMemcpyDtoDAsync_v2(SeerAddress to, SeerAddress from, size_t bytes, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  demand_inside(__func__, current, to, bytes);
  demand_inside(__func__, current, from, bytes);
  if (to < from + bytes && from < to + bytes) fault(__func__, "from and to overlap");
  const char *const name = __func__;
  const SeerDriverContext *const context = current;
  return enqueue(stream, [=] {
    demand_inside(name, context, to, bytes);
    demand_inside(name, context, from, bytes);
    std::memcpy((void *)to, (const void *)from, bytes);
  });
}

int cuMemsetD8Async(SeerAddress to, unsigned char value, size_t bytes, SeerDeviceStream *stream) {
  ENTER(true);
  DEMAND_STREAM(stream);
  demand_inside(__func__, current, to, bytes);
  const char *const name = __func__;
  const SeerDriverContext *const context = current;
  return enqueue(stream, [=] {
    demand_inside(name, context, to, bytes);
    std::memset((void *)to, value, bytes);
  });
}

int cuModuleLoadData(SeerDriverModule **module, const void *image) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  if (!is_image((const unsigned char *)image)) return NO_BINARY_FOR_GPU;
  void *library = image_open((const unsigned char *)image);
  if (!library) {
    const char *reason = dlerror();
    std::fprintf(stderr, "simulated driver: %s: %s\n", __func__, reason ? reason : "no memory for the image");
    return INVALID_IMAGE;
  }
  *module = keep(state.modules, new SeerDriverModule{library, {}});
  return SUCCESS;
}

int cuModuleUnload(SeerDriverModule *module) {
  ENTER(true);
  OUTSIDE_OF_CAPTURES();
  DEMAND(modules, module);
  work_drain(held);
  for (const auto &function : module->functions) state.functions.erase(function.get());
  dlclose(module->library);
  return release(state.modules, module, __func__);
}

int cuModuleGetFunction(SeerDriverFunction **function, SeerDriverModule *module, const char *name) {
  ENTER(true);
  DEMAND(modules, module);
  const std::string prefix = name;
  void *kernel = dlsym(module->library, (prefix + "_simulated").c_str());
  void *parameters = dlsym(module->library, (prefix + "_parameters").c_str());
  void *shape = dlsym(module->library, (prefix + "_shape").c_str());
  if (!kernel || !parameters || !shape) return NOT_FOUND;
  module->functions.emplace_back(new SeerDriverFunction{prefix, (void (*)(void **))kernel, (const unsigned *)parameters,
                                                        (const unsigned *)shape, SHARED_BYTES_UNASKED});
  *function = keep(state.functions, module->functions.back().get());
  return SUCCESS;
}

int cuFuncSetAttribute(SeerDriverFunction *function, int attribute, int value) {
  ENTER(true);
  DEMAND(functions, function);
  if (attribute != FUNCTION_SHARED_BYTES) return SUCCESS;
  if (value < 0 || value > SHARED_BYTES_MOST) return INVALID_VALUE;
  function->shared_bytes_most = std::max(value, (int)SHARED_BYTES_UNASKED);
  return SUCCESS;
}

int cuLaunchKernel(SeerDriverFunction *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, SeerDeviceStream *stream,
                   void **arguments, void **extra) {
  ENTER(true);
  DEMAND(functions, function);
  DEMAND_STREAM(stream);
  const Index grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
  if (extra || !is_launchable(*function, grid, block, shared_bytes)) return INVALID_VALUE;
  const auto values = std::make_shared<Arguments>(function->parameters, arguments);
  return enqueue(stream, [=] {
    const Launch what = {function->kernel, values->addresses.data(), grid, block, shared_bytes, function->name.c_str()};
    launch(what, state.schedule, work_draw());
    clock_launched((size_t)grid_x * grid_y * grid_z);
  });
}

int cuLaunchHostFunc(SeerDeviceStream *stream, void (*function)(void *data), void *data) {
  ENTER(true);
  DEMAND_STREAM(stream);
  return enqueue(
      stream,
      [=] {
        is_host_function = true;
        function(data);
        is_host_function = false;
      },
      true);
}

}  // extern "C"
