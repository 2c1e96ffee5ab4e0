// The trainer's entry: reads the command line, runs the command, prints the error if there was one.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/carried.h"
#include "runtime/comm/comm.h"
#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/worlds.h"

typedef SeerStatus Command(const SeerProgram *program, const SeerOptions *options);

static Command *const commands[] = {
    [SEER_COMMAND_TRAIN] = seer_command_train,
    [SEER_COMMAND_PLAN] = seer_command_plan,
    [SEER_COMMAND_CHECK] = seer_command_check,
    [SEER_COMMAND_DOCTOR] = seer_command_doctor,
    [SEER_COMMAND_FEATURES] = seer_command_features,
    [SEER_COMMAND_KNN] = seer_command_knn,
    [SEER_COMMAND_EXPORT] = seer_command_export,
    [SEER_COMMAND_REPORT] = seer_command_report,
    [SEER_COMMAND_BENCH] = seer_command_bench,
    [SEER_COMMAND_PROBE] = seer_command_probe,
    [SEER_COMMAND_TASKS] = seer_command_tasks,
    [SEER_COMMAND_HATE_SPEECH] = seer_command_hate_speech,
    [SEER_COMMAND_FAIRNESS] = seer_command_fairness,
};

// The others must answer on any machine.
static bool computes(SeerCommand command) {
  return command != SEER_COMMAND_PLAN && command != SEER_COMMAND_CHECK && command != SEER_COMMAND_DOCTOR &&
         command != SEER_COMMAND_EXPORT;
}

// The others evaluate, each rank by itself; doctor and plan look at the program of the ranks they are asked about.
static const SeerProgram *program_of(SeerCommand command) {
  bool many = command == SEER_COMMAND_TRAIN || command == SEER_COMMAND_PLAN || command == SEER_COMMAND_DOCTOR ||
              command == SEER_COMMAND_BENCH;
  return many ? seer_world_declared() : seer_world_evaluation();
}

// Training and features are the work of many: the others would each do the same, into the same files.
static SeerStatus one_rank_check(SeerCommand command) {
  SeerComm *comm = NULL;
  const SeerProgram *program = seer_world_declared();
  SeerStatus status = seer_comm_open(program->name, program->patience_seconds, &comm);
  if (status || !comm) return status;
  int ranks = seer_comm_size(comm);
  status = seer_fail(SEER_INPUT, "this command is for one rank, and %d were started\nnote: start it without a launcher",
                     ranks);
  if (seer_comm_rank(comm) > 0) seer_error_clear();
  seer_error_print(program->name);
  seer_comm_close(comm);
  return status;
}

int main(int argc, char **argv) {
  SeerOptions options;
  SeerStatus status = seer_options_read(argc, argv, &options);
  const SeerProgram *program = program_of(options.command);
  if (!status && options.version) {
    printf("%s, built by seerc %s\n", program->name, program->seer_version);
  } else if (!status && options.help) {
    bool one = argc > 1 && argv[1][0] != '-';
    seer_options_help(stdout, options.program, program->name, one ? options.command : SEER_COMMAND_COUNT);
  } else if (!status) {
    if (options.processor && program->accelerator) status = seer_carried_start(program, argv);
    if (!status && computes(options.command)) {
      status = seer_engine_check_cpu(program);
      if (!status && options.command != SEER_COMMAND_TRAIN && options.command != SEER_COMMAND_FEATURES &&
          options.command != SEER_COMMAND_BENCH)
        status = one_rank_check(options.command);
    }
    if (!status) status = commands[options.command](program, &options);
  }
  if (fflush(stdout) != 0 && !status) status = seer_fail(SEER_MACHINE, "cannot write to standard output");
  seer_error_print(program->name);
  return (int)status;
}
