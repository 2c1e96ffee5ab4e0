// Processes, one for each piece of work, and their pipes; see fork_jobs.h.
#include "compiler/driver/fork_jobs.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/driver/driver.h"

enum { AT_ONCE_MOST = 64 };

typedef struct Worker {
  pid_t process;
  int index, pipe;
} Worker;

static bool write_all(int file, const char *bytes, size_t size) {
  while (size) {
    ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

static _Noreturn void work(const ForkJobs *jobs, int index, int pipe) {
  Writer out = {0};
  jobs->work(jobs->context, index, &out);
  fflush(stderr);
  _exit(write_all(pipe, out.text, out.size) ? 0 : EXIT_MACHINE);
}

static bool worker_start(const ForkJobs *jobs, int index, Worker *worker) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  fflush(NULL);  // or both processes would print it
  pid_t process = fork();
  if (process == 0) {
    close(ends[0]);
    work(jobs, index, ends[1]);
  }
  close(ends[1]);
  if (process < 0) {
    close(ends[0]);
    return false;
  }
  *worker = (Worker){process, index, ends[0]};
  return true;
}

static void worker_end(const Worker *worker, ForkResult *result) {
  int status = 0;
  close(worker->pipe);
  while (waitpid(worker->process, &status, 0) < 0 && errno == EINTR) continue;
  result->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result->good = result->code == 0;
}

// Until one of them has ended; its place.
static int wait_for_one(Worker *workers, int count, ForkResult *results) {
  struct pollfd files[AT_ONCE_MOST];
  char bytes[1 << 16];
  for (;;) {
    for (int i = 0; i < count; i++) files[i] = (struct pollfd){.fd = workers[i].pipe, .events = POLLIN};
    if (poll(files, (nfds_t)count, -1) < 0) continue;
    for (int i = 0; i < count; i++) {
      if (!files[i].revents) continue;
      ssize_t size = read(workers[i].pipe, bytes, sizeof bytes);
      if (size > 0) writer_bytes(&results[workers[i].index].bytes, bytes, (size_t)size);
      if (size == 0 || (size < 0 && errno != EINTR)) return i;
    }
  }
}

void fork_jobs_run(const ForkJobs *jobs, ForkResult *results) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN), wanted = jobs->at_once ? jobs->at_once : cores;
  int most = wanted < 1 ? 1 : wanted > AT_ONCE_MOST ? AT_ONCE_MOST : (int)wanted, count = 0, next = 0, done = 0;
  Worker workers[AT_ONCE_MOST];
  for (int i = 0; i < jobs->count; i++) results[i] = (ForkResult){.code = -1};
  while (done < jobs->count) {
    while (count < most && next < jobs->count && worker_start(jobs, next, &workers[count])) {
      count++;
      next++;
    }
    if (count == 0) return;  // no process can be started
    int at = wait_for_one(workers, count, results), index = workers[at].index;
    worker_end(&workers[at], &results[index]);
    workers[at] = workers[--count];
    done++;
    if (jobs->watch) jobs->watch(jobs->context, index, done);
  }
}
