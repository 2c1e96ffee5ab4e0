// One function per command of a trainer. Each prints its results, records its first error and returns its exit code.
#ifndef SEER_RUNTIME_COMMANDS_H
#define SEER_RUNTIME_COMMANDS_H

#include "runtime/options.h"
#include "runtime/program.h"

SeerStatus seer_command_train(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_plan(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_check(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_doctor(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_features(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_knn(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_probe(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_tasks(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_hate_speech(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_fairness(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_export(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_report(const SeerProgram *program, const SeerOptions *options);
SeerStatus seer_command_bench(const SeerProgram *program, const SeerOptions *options);

#endif
