// Requests to stop: SIGTERM, SIGINT, SIGHUP and SIGUSR1 set a flag that the training loop reads between steps.
#ifndef SEER_RUNTIME_STOP_H
#define SEER_RUNTIME_STOP_H

// Also ignores SIGPIPE and SIGXFSZ, so that a closed pipe or a file size limit is an error and not an end.
void seer_stop_listen(void);
// The signal that asked, or 0. A second SIGINT ends the process at once.
int seer_stop_requested(void);
const char *seer_stop_name(int signal_number);

#endif
