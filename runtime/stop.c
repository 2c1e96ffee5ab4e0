// Requests to stop; see stop.h. Handlers only set a flag: saving inside a handler is how snapshots get torn.
#include "runtime/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stop_signal;

static void stop_note(int signal_number) { stop_signal = signal_number; }

void seer_stop_listen(void) {
  static const int stopping[] = {SIGTERM, SIGUSR1, SIGHUP, SIGINT};
  struct sigaction action = {.sa_handler = stop_note, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++) {
    action.sa_flags = stopping[i] == SIGINT ? SA_RESTART | (int)SA_RESETHAND : SA_RESTART;
    sigaction(stopping[i], &action, NULL);
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

int seer_stop_requested(void) { return stop_signal; }

const char *seer_stop_name(int signal_number) {
  switch (signal_number) {
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    default: return "request";
  }
}
