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

// Only training is the work of many: the others would each do the same, into the same files.
static SeerStatus one_rank_check(SeerCommand command) {
  if (command == SEER_COMMAND_BENCH && seer_program.ranks > 1)
    return seer_fail(
        SEER_INPUT,
        "this trainer was built for %d ranks, and 'bench' measures one\nnote: build it with `seerc build -D "
        "cluster.nodes=1 -D cluster.ranks_per_node=1` and one rank's share of the batch",
        seer_program.ranks);
  SeerComm *comm = NULL;
  SeerStatus status = seer_comm_open(seer_program.name, seer_program.patience_seconds, &comm);
  if (status || !comm) return status;
  int ranks = seer_comm_size(comm);
  status = seer_fail(SEER_INPUT, "this command is for one rank, and %d were started\nnote: start it without a launcher",
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
      if (!status && options.command != SEER_COMMAND_TRAIN) status = one_rank_check(options.command);
    }
    if (!status) status = commands[options.command](&seer_program, &options);
  }
  if (fflush(stdout) != 0 && !status) status = seer_fail(SEER_MACHINE, "cannot write to standard output");
  if (*seer_error()) fprintf(stderr, "%s: error: %s\n", seer_program.name, seer_error());
  return (int)status;
}
