// A seccomp filter, for this thread alone: memory may be got, never made executable or mapped from a file.
#include "runtime/data/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef THIS_ARCH
typedef struct Sandboxed {
  const char *(*what)(const void *context);
  const void *context;
} Sandboxed;

static _Thread_local Sandboxed sandboxed;

// The calls that a thread which was taken over would want, by name.
static const char *call_name(int call) {
  static const struct {
    int call;
    const char *name;
  } names[] = {
      {SYS_openat, "openat"}, {SYS_read, "read"},         {SYS_pread64, "pread64"}, {SYS_write, "write"},
      {SYS_writev, "writev"}, {SYS_close, "close"},       {SYS_socket, "socket"},   {SYS_connect, "connect"},
      {SYS_execve, "execve"}, {SYS_clone, "clone"},       {SYS_clone3, "clone3"},   {SYS_kill, "kill"},
      {SYS_tgkill, "tgkill"}, {SYS_ptrace, "ptrace"},     {SYS_mmap, "mmap"},       {SYS_mprotect, "mprotect"},
      {SYS_ioctl, "ioctl"},   {SYS_unlinkat, "unlinkat"}, {SYS_prctl, "prctl"},     {SYS_bpf, "bpf"},
      {SYS_sendto, "sendto"}, {SYS_recvfrom, "recvfrom"}, {SYS_fcntl, "fcntl"},     {SYS_dup, "dup"},
#ifdef SYS_open
      {SYS_open, "open"},     {SYS_fork, "fork"},         {SYS_unlink, "unlink"},
#endif
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (names[i].call == call) { return names[i].name; }
  }
  return "another";
}

// What the C library asks for by itself, once, when it frees memory or counts processors: it takes no for an answer.
static bool is_harmless_file(const char *path) {
  return strcmp(path, "/proc/sys/vm/overcommit_memory") == 0 || strcmp(path, "/sys/devices/system/cpu/online") == 0 ||
         strcmp(path, "/proc/stat") == 0 || strcmp(path, "/proc/cpuinfo") == 0;
}

static bool call_refuse(int call, ucontext_t *context) {
#if defined(__x86_64__)
  greg_t *registers = context->uc_mcontext.gregs;
  if (call != SYS_openat || !is_harmless_file((const char *)registers[REG_RSI])) { return false; }
  registers[REG_RAX] = -EACCES;
#else
  if (call != SYS_openat || !is_harmless_file((const char *)context->uc_mcontext.regs[1])) { return false; }
  context->uc_mcontext.regs[0] = (unsigned long long)-EACCES;
#endif
  return true;
}

static void violation(int number, siginfo_t *info, void *context) {
  char text[4096];
  int call = info->si_syscall;
  (void)number;
  if (call_refuse(call, context)) { return; }
  int length =
      snprintf(text, sizeof text,
               "%s: error: %s: while it was decoded, the decoder made the system call '%s' (%d), which "
               "data.sandbox forbids\nnote: the picture may be made to attack the decoder: keep it apart from "
               "the others, tell who maintains the image libraries, and go on without it\n",
               program_invocation_short_name, sandboxed.what != NULL ? sandboxed.what(sandboxed.context) : "a picture",
               call_name(call), call);
  size_t count = length > 0 && (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
  ssize_t written = write(STDERR_FILENO, text, count);
  (void)written;
  _exit(SEER_INPUT);
}

static void handler_install(void) {
  struct sigaction action = {.sa_sigaction = violation, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGSYS, &action, NULL);
}

#define LOW_WORD(argument) ((unsigned)offsetof(struct seccomp_data, args[argument]))  // both processors: little-endian
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offset))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FORBID BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define ALLOW_CALL(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), ALLOW

static SeerStatus filter_install(void) {
  static struct sock_filter rules[] = {
      LOAD(offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
      FORBID,
      LOAD(offsetof(struct seccomp_data, nr)),
      ALLOW_CALL(SYS_futex),
      ALLOW_CALL(SYS_munmap),
      ALLOW_CALL(SYS_mremap),
      ALLOW_CALL(SYS_madvise),
      ALLOW_CALL(SYS_brk),
      ALLOW_CALL(SYS_clock_gettime),
      ALLOW_CALL(SYS_sched_yield),
      ALLOW_CALL(SYS_sched_getaffinity),  // the C library counts processors to share out memory
      ALLOW_CALL(SYS_rt_sigprocmask),
      ALLOW_CALL(SYS_rt_sigreturn),
      ALLOW_CALL(SYS_restart_syscall),
      ALLOW_CALL(SYS_sigaltstack),  // a sanitizer's, when a thread ends
      ALLOW_CALL(SYS_exit),
      ALLOW_CALL(SYS_exit_group),
      // write(2, ...): the message
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 4),
      LOAD(LOW_WORD(0)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDERR_FILENO, 0, 1),
      ALLOW,
      FORBID,
      // mprotect without PROT_EXEC
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
      LOAD(LOW_WORD(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
      ALLOW,
      FORBID,
      // mmap without PROT_EXEC, of no file
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
      LOAD(LOW_WORD(2)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 3, 0),
      LOAD(LOW_WORD(3)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1),
      ALLOW,
      FORBID,
  };
  static const struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
  // Both are of this thread alone; without the first, only root could do the second.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return seer_fail(
        SEER_MACHINE,
        "cannot shut decoding threads off from the system: %s\nnote: this kernel lacks seccomp filters, or "
        "a container forbids them; set data.sandbox = no",
        strerror(errno));
  }
  return SEER_OK;
}

SeerStatus seer_sandbox_enter(const char *(*what)(const void *context), const void *context) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  sigset_t violations;
  pthread_once(&once, handler_install);
  sandboxed = (Sandboxed){what, context};
  sigemptyset(&violations);
  sigaddset(&violations, SIGSYS);
  pthread_sigmask(SIG_UNBLOCK, &violations, NULL);
  return filter_install();
}
#else
SeerStatus seer_sandbox_enter(const char *(*what)(const void *context), const void *context) {
  (void)what;
  (void)context;
  return seer_fail(SEER_MACHINE,
                   "cannot shut decoding threads off from the system on this processor\nnote: set data.sandbox = no");
}
#endif
