// Last words; see last_words.h. Handlers call only what signal-safety(7) allows: the text is put together by hand.
#include "runtime/comm/last_words.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/files.h"

enum { TEXT_BYTES = 1024, LEAVE_SECONDS = 5 };

typedef struct Crash {
  int signal;
  const char *name;
} Crash;

static const Crash crashes[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"}, {SIGABRT, "SIGABRT"}};
enum { CRASH_COUNT = sizeof crashes / sizeof *crashes };

static struct {
  volatile sig_atomic_t speaks;
  char begin[TEXT_BYTES / 2];  // "NAME: error: "
  char who[128];               // "rank 1 on 'host' "
  SeerPath path;
  const SeerWhere *where;
  struct sigaction before[CRASH_COUNT];
  bool prepared;
} words;

typedef struct Text {
  char bytes[TEXT_BYTES];
  size_t length;
} Text;

static void text_add(Text *text, const char *more) {
  while (*more && text->length < sizeof text->bytes) text->bytes[text->length++] = *more++;
}

static void number_add(Text *text, uint64_t number) {
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  text_add(text, digits + at);
}

static void where_add(Text *text, const SeerWhere *where) {
  uint64_t count = atomic_load(&where->count);
  bool waits = count % 2 == 1;
  text_add(text, " in step ");
  number_add(text, (uint64_t)atomic_load(&where->step));
  text_add(text, waits ? ", in the " : ", busy with ");
  text_add(text, atomic_load(waits ? &where->what : &where->work));
  text_add(text, waits ? " (collective " : ", before collective ");
  number_add(text, count / 2 + 1);
  text_add(text, waits ? ")\n" : "\n");
}

static void text_write(int fd, const Text *text) {
  // A process that dies has nobody left to tell that it could not say why.
  ssize_t written = write(fd, text->bytes, text->length);
  (void)written;
}

// `how` and `more`: "crashed with", "SIGSEGV"
static void say(const char *how, const char *more) {
  if (!words.speaks) return;
  words.speaks = 0;
  Text line = {.length = 0}, all = {.length = 0};
  text_add(&line, words.who);
  text_add(&line, how);
  text_add(&line, more);
  where_add(&line, words.where);
  // Another rank may have said first that this one is gone; here it is said why.
  int fd = open(words.path.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd >= 0) {
    text_write(fd, &line);
    close(fd);
  }
  text_add(&all, words.begin);
  for (size_t i = 0; i < line.length && all.length < sizeof all.bytes; i++) all.bytes[all.length++] = line.bytes[i];
  text_write(STDERR_FILENO, &all);
}

static void crash_handle(int number) {
  for (int i = 0; i < CRASH_COUNT; i++) {
    if (crashes[i].signal != number) continue;
    say("crashed with ", crashes[i].name);
    sigaction(number, &words.before[i], NULL);
  }
  raise(number);  // when this returns, to whoever had the signal before
}

// Some libraries call exit for want of a better idea.
static void exit_handle(void) {
  if (!words.speaks) return;
  say("called exit", "");
  _exit(70);
}

void seer_last_words_prepare(const char *name, const char *folder, int rank, const char *host, const SeerWhere *where) {
  snprintf(words.begin, sizeof words.begin, "%.400s: error: ", name);
  snprintf(words.who, sizeof words.who, "rank %d on '%.64s' ", rank, host);
  if (seer_path_print(&words.path, "%s/end", folder)) return;  // the record's own path was too long, too
  words.where = where;
  words.speaks = 1;
  if (words.prepared) return;
  words.prepared = true;
  struct sigaction action = {.sa_handler = crash_handle};
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < CRASH_COUNT; i++) sigaction(crashes[i].signal, &action, &words.before[i]);
  atexit(exit_handle);
}

void seer_last_words_none(void) { words.speaks = 0; }

static void leave(int number) {
  (void)number;
  _exit(SEER_MACHINE);
}

void seer_leave_soon(void) {
  struct sigaction action = {.sa_handler = leave};
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  alarm(LEAVE_SECONDS);
}
