// NCCL between processes that each have a simulated GPU: a library that a trainer opens in place of libnccl.so.2
// (SEER_LIBNCCL), with the functions of runtime/device/nccl.def. What ranks tell and send each other lies as files in a
// folder, which the unique id names.
//
// An operation (a call, or all calls of a group on one communicator) begins when its stream comes to it: what is to
// arrive is poisoned then. It is sent when all ranks have begun the same operation, and arrives some time later; until
// then the stream waits, and others go on. Ranks whose operations do not fit each other, buffers that are not memory of
// the GPU or that overlap, and what else is undefined in NCCL end the process.
//
//   SEER_SIMULATED_NCCL_FOLDER   where the folders are made; /dev/shm
//   SEER_SIMULATED_NCCL_VERSION  22809
//   SEER_SIMULATED_NCCL_FAIL     "WHAT:N:RESULT:RANK": on this rank the N-th call of a function gives this result; of
//                                "operation", it never ends, and ncclCommGetAsyncError gives the result. A negative one is a
//                                signal, which ends the process
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "driver_state.h"
#include "runtime/device/nccl.h"

namespace simulated {
namespace {

enum NcclResult {
  NCCL_SUCCESS = 0,
  NCCL_UNHANDLED_CUDA_ERROR = 1,
  NCCL_SYSTEM_ERROR = 2,
  NCCL_INVALID_ARGUMENT = 4,
  NCCL_INVALID_USAGE = 5
};
enum CallKind { GATHER, SEND, RECEIVE };

struct Call {
  CallKind kind;
  uintptr_t from, to;  // of what it has
  size_t bytes;        // of one rank
  int peer;
};

struct Ranks {
  std::filesystem::path folder;
  int rank, count;
  SeerDriverContext *context;
  uint64_t begun;   // operations
  bool busy;        // with one of them
  int graph_nodes;  // that are left
  bool aborted;
  int failure;
};
typedef std::shared_ptr<Ranks> RanksRef;

int process_rank = -1;  // in its first communicator
bool has_failed;        // some operation of this process
std::map<std::string, int> calls_of;
thread_local std::string last_error;
std::set<const void *> communicators;

int injected(const char *what) {
  const int call = ++calls_of[what];
  const char *wanted = std::getenv("SEER_SIMULATED_NCCL_FAIL");
  if (!wanted) return NCCL_SUCCESS;
  char name[64];
  int number, result, rank;
  if (std::sscanf(wanted, "%63[^:]:%d:%d:%d", name, &number, &result, &rank) != 4)
    fault("SEER_SIMULATED_NCCL_FAIL", "'%s' is not WHAT:N:RESULT:RANK", wanted);
  if (rank != process_rank || number != call || std::strcmp(name, what) != 0) return NCCL_SUCCESS;
  if (result < 0) std::raise(-result);
  last_error = "as SEER_SIMULATED_NCCL_FAIL asks";
  return result;
}

// ---- files ----

std::filesystem::path file_of(const Ranks &ranks, uint64_t operation, int rank, const std::string &what) {
  return ranks.folder / (std::to_string(operation) + "." + std::to_string(rank) + "." + what);
}

// Whole or not at all.
void file_write(const std::filesystem::path &path, const std::string &text) {
  const std::filesystem::path begun = path.string() + "~";
  std::ofstream file(begun, std::ios::binary);
  file.write(text.data(), (std::streamsize)text.size());
  file.close();
  if (!file || std::rename(begun.c_str(), path.c_str()) != 0)
    fault("simulated NCCL", "cannot write '%s'", path.c_str());
}

bool file_read(const std::filesystem::path &path, std::string &text) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  text.assign(std::istreambuf_iterator<char>(file), {});
  return true;
}

// ---- operations ----

struct Range {
  uintptr_t begin, end;
  bool is_written;
};

bool overlap(const Range &a, const Range &b) { return a.begin < b.end && b.begin < a.end; }

struct Work {
  RanksRef ranks;
  std::vector<Call> calls;
  bool is_captured;
  enum { WAITS, BEGUN, SENT, STUCK } phase;
  uint64_t number;

  Work(RanksRef of, bool captured) : ranks(std::move(of)), is_captured(captured), phase(WAITS), number(0) {
    ranks->graph_nodes += captured;
  }
  ~Work() { ranks->graph_nodes -= is_captured; }

  bool advance();
  std::vector<Range> regions(const Call &call) const;
  void buffers_check() const;

 private:
  void begin();
  void poison() const;
  std::string told() const;
  void match(int peer, const std::string &their) const;
  bool have_begun();
  bool has_arrived();
  std::string payload(int peer) const;
  void land(const std::vector<std::string> &from) const;
};

std::vector<Range> Work::regions(const Call &call) const {
  std::vector<Range> found;
  const size_t bytes = call.bytes;
  if (call.kind != RECEIVE) found.push_back({call.from, call.from + bytes, false});
  if (call.kind == RECEIVE) found.push_back({call.to, call.to + bytes, true});
  if (call.kind == GATHER) {
    const uintptr_t own = call.to + (size_t)ranks->rank * bytes, end = call.to + (size_t)ranks->count * bytes;
    // In place: the own part is only read.
    if (call.from == own)
      found.insert(found.end(), {{call.to, own, true}, {own + bytes, end, true}});
    else
      found.push_back({call.to, end, true});
  }
  return found;
}

void Work::buffers_check() const {
  std::vector<Range> all;
  for (const Call &call : calls)
    for (const Range &range : regions(call)) {
      if (range.begin == range.end) continue;
      demand_inside("NCCL", ranks->context, range.begin, range.end - range.begin);
      for (const Range &other : all)
        if ((range.is_written || other.is_written) && overlap(range, other))
          fault("NCCL", "what is sent or received at %p overlaps what is received at %p", (void *)range.begin,
                (void *)other.begin);
      all.push_back(range);
    }
}

void Work::poison() const {
  for (const Call &call : calls)
    for (const Range &range : regions(call))
      if (range.is_written) std::memset((void *)range.begin, 0xFF, range.end - range.begin);
}

// What the other ranks' must fit: "captured 0", "gather 64", "send 1 64", "receive 1 64".
std::string Work::told() const {
  std::ostringstream text;
  text << "captured " << is_captured << '\n';
  for (const Call &call : calls) {
    if (call.kind == GATHER)
      text << "gather " << call.bytes << '\n';
    else
      text << (call.kind == SEND ? "send " : "receive ") << call.peer << ' ' << call.bytes << '\n';
  }
  return text.str();
}

// The lines that concern two ranks alike, as the one with `rank` must have them.
std::string shared_lines(const std::string &told, int peer, bool turned) {
  std::istringstream lines(told);
  std::ostringstream text;
  const std::string sends = (turned ? "receive " : "send ") + std::to_string(peer) + " ",
                    receives = (turned ? "send " : "receive ") + std::to_string(peer) + " ";
  std::vector<std::string> out, in;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(sends, 0) == 0)
      out.push_back(line.substr(sends.size()));
    else if (line.rfind(receives, 0) == 0)
      in.push_back(line.substr(receives.size()));
    else if (line.rfind("send", 0) != 0 && line.rfind("receive", 0) != 0)
      text << line << '\n';
  }
  for (const std::string &bytes : out) text << "> " << bytes << '\n';
  for (const std::string &bytes : in) text << "< " << bytes << '\n';
  return text.str();
}

void Work::match(int peer, const std::string &their) const {
  if (shared_lines(told(), peer, false) == shared_lines(their, ranks->rank, true)) return;
  fault("NCCL", "operation %llu of a communicator differs between ranks\nrank %d:\n%srank %d:\n%s",
        (unsigned long long)number, ranks->rank, told().c_str(), peer, their.c_str());
}

void Work::begin() {
  if (ranks->busy) fault("NCCL", "two operations of one communicator at once: nothing orders them");
  if (const int result = injected("operation")) {
    ranks->failure = result;
    has_failed = true;
    phase = STUCK;
    return;
  }
  ranks->busy = true;
  number = ++ranks->begun;
  buffers_check();
  poison();
  file_write(file_of(*ranks, number, ranks->rank, "calls"), told());
  phase = BEGUN;
}

// What goes to a peer, in the order of calls.
std::string Work::payload(int peer) const {
  std::string all;
  for (const Call &call : calls)
    if (call.kind == GATHER || (call.kind == SEND && call.peer == peer))
      all.append((const char *)call.from, call.bytes);
  return all;
}

bool Work::have_begun() {
  std::vector<std::string> theirs((size_t)ranks->count);
  for (int peer = 0; peer < ranks->count; peer++)
    if (!file_read(file_of(*ranks, number, peer, "calls"), theirs[(size_t)peer])) return false;
  for (int peer = 0; peer < ranks->count; peer++) match(peer, theirs[(size_t)peer]);
  for (int peer = 0; peer < ranks->count; peer++)
    file_write(file_of(*ranks, number, ranks->rank, std::to_string(peer)), payload(peer));
  phase = SENT;
  return true;
}

void Work::land(const std::vector<std::string> &from) const {
  std::vector<size_t> at(from.size(), 0);
  const auto take = [&](int peer, uintptr_t to, size_t bytes) {
    std::memcpy((void *)to, from[(size_t)peer].data() + at[(size_t)peer], bytes);
    at[(size_t)peer] += bytes;
  };
  for (const Call &call : calls) {
    if (call.kind == RECEIVE) take(call.peer, call.to, call.bytes);
    for (int peer = 0; peer < ranks->count && call.kind == GATHER; peer++)
      take(peer, call.to + (size_t)peer * call.bytes, call.bytes);
  }
}

bool Work::has_arrived() {
  std::vector<std::string> from((size_t)ranks->count);
  for (int peer = 0; peer < ranks->count; peer++)
    if (!file_read(file_of(*ranks, number, peer, std::to_string(ranks->rank)), from[(size_t)peer])) return false;
  land(from);
  // All have begun this operation, so nobody looks at the one before any more.
  std::remove(file_of(*ranks, number - 1, ranks->rank, "calls").c_str());
  for (int peer = 0; peer < ranks->count; peer++)
    std::remove(file_of(*ranks, number - 1, ranks->rank, std::to_string(peer)).c_str());
  ranks->busy = false;
  phase = WAITS;
  return true;
}

bool Work::advance() {
  if (ranks->aborted) return true;
  switch (phase) {
    case WAITS: begin(); return false;
    case BEGUN: have_begun(); return false;
    case SENT: return has_arrived();
    case STUCK: break;
  }
  return false;
}

}  // namespace
}  // namespace simulated

using namespace simulated;

struct SeerNcclComm {
  RanksRef ranks;
};

namespace {

struct GroupedCall {
  SeerNcclComm *comm;
  SeerDeviceStream *stream;
  Call call;
};
thread_local int depth;
thread_local std::vector<GroupedCall> grouped;

int refused(int result, const std::string &why) {
  last_error = why;
  return result;
}

// Of one communicator.
int launch(SeerNcclComm *comm, const std::vector<GroupedCall> &calls) {
  SeerDeviceStream *stream = calls[0].stream;
  if (!is_live(state.streams, stream) || stream->context != comm->ranks->context)
    return refused(NCCL_UNHANDLED_CUDA_ERROR, "the stream is not one of the communicator's GPU");
  const auto work = std::make_shared<Work>(comm->ranks, stream->capture != nullptr);
  for (const GroupedCall &one : calls) {
    if (one.stream != stream) fault("ncclGroupEnd", "one communicator in two streams of a group");
    work->calls.push_back(one.call);
  }
  work->buffers_check();
  return enqueue(stream, nullptr, false, [work] { return work->advance(); }) ? NCCL_UNHANDLED_CUDA_ERROR : NCCL_SUCCESS;
}

int group_launch() {
  std::unique_lock<std::mutex> held(lock);
  std::vector<GroupedCall> rest = std::move(grouped);
  grouped.clear();
  while (!rest.empty()) {
    SeerNcclComm *comm = rest[0].comm;
    std::vector<GroupedCall> own, others;
    for (const GroupedCall &one : rest) (one.comm == comm ? own : others).push_back(one);
    if (const int result = launch(comm, own)) return result;
    rest = std::move(others);
  }
  return NCCL_SUCCESS;
}

int add(const char *function, SeerNcclComm *comm, SeerDeviceStream *stream, int type, const Call &call) {
  {
    std::unique_lock<std::mutex> held(lock);
    if (!is_live(communicators, comm)) fault(function, "names no communicator");
    if (const int result = injected(function)) return result;
    if (type != SEER_NCCL_BYTES) return refused(NCCL_INVALID_ARGUMENT, "only bytes are simulated");
    if (call.peer < 0 || call.peer >= comm->ranks->count) return refused(NCCL_INVALID_ARGUMENT, "no such peer");
  }
  grouped.push_back({comm, stream, call});
  return depth ? NCCL_SUCCESS : group_launch();
}

std::string uuid_text(const SeerDriverContext *context) {
  const SeerDriverUuid uuid = uuid_of(context);
  return std::string((const char *)uuid.bytes, sizeof uuid.bytes);
}

// Waits until all ranks have told their GPUs; "" or what is wrong with them.
std::string ranks_meet(const Ranks &ranks) {
  file_write(file_of(ranks, 0, ranks.rank, "gpu"), std::to_string(ranks.count) + " " + uuid_text(ranks.context));
  std::vector<std::string> told((size_t)ranks.count);
  for (int peer = 0; peer < ranks.count; peer++)
    while (!file_read(file_of(ranks, 0, peer, "gpu"), told[(size_t)peer])) usleep(500);
  for (int a = 0; a < ranks.count; a++)
    for (int b = 0; b < a; b++)
      if (told[(size_t)a] == told[(size_t)b])
        return "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " + std::to_string(b);
  return "";
}

}  // namespace

extern "C" {

int ncclGetVersion(int *version) {
  const char *wanted = std::getenv("SEER_SIMULATED_NCCL_VERSION");
  *version = wanted ? std::atoi(wanted) : 22809;
  return NCCL_SUCCESS;
}

const char *ncclGetErrorString(int result) {
  static const char *const texts[] = {"no error",
                                      "unhandled cuda error",
                                      "unhandled system error",
                                      "internal error",
                                      "invalid argument",
                                      "invalid usage",
                                      "remote process exited or there was a network error",
                                      "NCCL operation in progress"};
  return result >= 0 && result < 8 ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(SeerNcclComm *) { return last_error.c_str(); }

int ncclGetUniqueId(SeerNcclId *id) {
  if (const int result = injected(__func__)) return result;
  const char *wanted = std::getenv("SEER_SIMULATED_NCCL_FOLDER");
  std::string folder = std::string(wanted ? wanted : "/dev/shm") + "/simulated-nccl-XXXXXX";
  if (folder.size() >= sizeof id->bytes || !mkdtemp(folder.data()))
    return refused(NCCL_SYSTEM_ERROR, "cannot make a folder '" + folder + "'");
  std::memset(id->bytes, 0, sizeof id->bytes);
  std::memcpy(id->bytes, folder.data(), folder.size());
  return NCCL_SUCCESS;
}

int ncclCommInitRankConfig(SeerNcclComm **comm, int count, SeerNcclId id, int rank, SeerNcclConfig *config) {
  *comm = nullptr;
  if (process_rank < 0) process_rank = rank;
  if (const int result = injected(__func__)) return result;
  if (config->size_bytes != sizeof *config || config->magic != 0xcafebeef || config->blocking != 1)
    return refused(NCCL_INVALID_ARGUMENT, "the configuration is not initialized");
  if (!current || rank < 0 || rank >= count) return refused(NCCL_INVALID_USAGE, "no GPU, or no such rank");
  const RanksRef ranks = std::make_shared<Ranks>(Ranks{id.bytes, rank, count, current, 0, false, 0, false, 0});
  const std::string wrong = ranks_meet(*ranks);
  if (!wrong.empty()) return refused(NCCL_INVALID_USAGE, wrong);
  std::unique_lock<std::mutex> held(lock);
  *comm = keep(communicators, new SeerNcclComm{ranks});
  return NCCL_SUCCESS;
}

int ncclCommGetAsyncError(SeerNcclComm *comm, int *result) {
  std::unique_lock<std::mutex> held(lock);
  if (!is_live(communicators, comm)) fault(__func__, "names no communicator");
  *result = comm->ranks->failure;
  return NCCL_SUCCESS;
}

int ncclCommAbort(SeerNcclComm *comm) {
  std::unique_lock<std::mutex> held(lock);
  if (!is_live(communicators, comm)) fault(__func__, "names no communicator");
  Ranks &ranks = *comm->ranks;
  if (state.is_strict && ranks.graph_nodes && !has_failed)
    fault(__func__, "%d nodes of graphs are left that were captured with it", ranks.graph_nodes);
  ranks.aborted = true;
  file_write(file_of(ranks, 0, ranks.rank, "gone"), "");
  bool all_gone = true;
  std::error_code ignored;
  for (int peer = 0; peer < ranks.count; peer++)
    all_gone = all_gone && std::filesystem::exists(file_of(ranks, 0, peer, "gone"), ignored);
  if (all_gone) std::filesystem::remove_all(ranks.folder, ignored);
  return release(communicators, comm, __func__);
}

int ncclAllGather(const void *from, void *to, size_t count, int type, SeerNcclComm *comm, SeerDeviceStream *stream) {
  return add(__func__, comm, stream, type, {GATHER, (uintptr_t)from, (uintptr_t)to, count, 0});
}

int ncclSend(const void *from, size_t count, int type, int peer, SeerNcclComm *comm, SeerDeviceStream *stream) {
  return add(__func__, comm, stream, type, {SEND, (uintptr_t)from, 0, count, peer});
}

int ncclRecv(void *to, size_t count, int type, int peer, SeerNcclComm *comm, SeerDeviceStream *stream) {
  return add(__func__, comm, stream, type, {RECEIVE, 0, (uintptr_t)to, count, peer});
}

int ncclGroupStart() {
  depth++;
  return NCCL_SUCCESS;
}

int ncclGroupEnd() {
  if (depth == 0) return refused(NCCL_INVALID_USAGE, "there is no group");
  if (const int result = injected(__func__)) return result;
  return --depth ? NCCL_SUCCESS : group_launch();
}

}  // extern "C"
