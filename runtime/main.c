// The trainer's entry: reads the command line, runs the command, prints the error if there was one.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/comm/comm.h"
#include "runtime/commands.h"
#include "runtime/engine.h"

typedef SeerStatus Command(const SeerProgram *program, const SeerOptions *options);

static Command *const commands[] = {
    [SEER_COMMAND_TRAIN] = seer_command_train,       [SEER_COMMAND_PLAN] = seer_command_plan,
    [SEER_COMMAND_CHECK] = seer_command_check,       [SEER_COMMAND_DOCTOR] = seer_command_doctor,
    [SEER_COMMAND_FEATURES] = seer_command_features, [SEER_COMMAND_KNN] = seer_command_knn,
    [SEER_COMMAND_REPORT] = seer_command_report,     [SEER_COMMAND_BENCH] = seer_command_bench,
};

// The others must answer on any machine.
static bool computes(SeerCommand command) {
  return command != SEER_COMMAND_PLAN && command != SEER_COMMAND_CHECK && command != SEER_COMMAND_DOCTOR;
}

// A program's plan is for one rank: several would each do the same, into the same files.
static SeerStatus one_rank_check(void) {
  SeerComm *comm = NULL;
  SeerStatus status = seer_comm_open(&comm);
  if (status || !comm) return status;
  int ranks = seer_comm_size(comm);
  status = seer_fail(SEER_INPUT,
                     "this trainer was built for one rank, and %d were started\nnote: start it without a launcher; "
                     "seerc cannot yet build trainers for several ranks",
                     ranks);
  if (seer_comm_rank(comm) > 0) seer_error_clear();
  seer_comm_close(comm);
  return status;
}

int main(int argc, char **argv) {
  SeerOptions options;
  SeerStatus status = seer_options_read(argc, argv, &options);
  if (!status && options.version) {
    printf("%s, built by seerc %s\n", seer_program.name, seer_program.seer_version);
  } else if (!status && options.help) {
    bool one = argc > 1 && argv[1][0] != '-';
    seer_options_help(stdout, options.program, seer_program.name, one ? options.command : SEER_COMMAND_COUNT);
  } else if (!status) {
    if (computes(options.command)) {
      status = seer_engine_check_cpu(&seer_program);
      if (!status) status = one_rank_check();
    }
    if (!status) status = commands[options.command](&seer_program, &options);
  }
  if (fflush(stdout) != 0 && !status) status = seer_fail(SEER_MACHINE, "cannot write to standard output");
  if (*seer_error()) fprintf(stderr, "%s: error: %s\n", seer_program.name, seer_error());
  return (int)status;
}
