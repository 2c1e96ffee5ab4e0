// Prints the files that start a trainer on a cluster; see launch.h.
#include "codegen/launch.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

// A word in single quotes.
static void print_word(const char *text, Writer *out) {
  writer_text(out, "'");
  for (const char *c = text; *c; c++) {
    if (*c == '\'')
      writer_text(out, "'\\''");
    else
      writer_bytes(out, c, 1);
  }
  writer_text(out, "'");
}

// For comments and for sbatch, which has quoting rules of its own.
static void print_plain(const char *text, Writer *out) {
  for (const char *c = text; *c; c++) writer_bytes(out, isalnum((unsigned char)*c) || strchr("._-/", *c) ? c : "_", 1);
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static void print_usage(const LaunchPlan *plan, const char *base, Writer *out) {
  writer_text(out, "#!/bin/bash\n# Trains '");
  print_plain(plan->name, out);
  writer_printf(out, "' under Slurm: %d node%s, %d rank%s on each. Written by seerc; edits are lost.\n#\n#   sbatch ",
                plan->nodes, plan->nodes == 1 ? "" : "s", plan->ranks_per_node, plan->ranks_per_node == 1 ? "" : "s");
  print_plain(base, out);
  writer_text(out,
              ".sbatch [TRAINER OPTION]...   from the folder where the trainer was built\n#   sbatch --array=1-3 ");
  print_plain(base, out);
  writer_text(
      out,
      ".sbatch       a run for each task, which is also its seed\n"
      "#\n"
      "# Options of sbatch (--partition, --time, --mem, ...) before the file's name win over those below. Submitted "
      "again, a run\n"
      "# goes on where it stopped. From the environment:\n"
      "#   SEER_RUN=FOLDER      the run; with --array, FOLDER-TASK; '");
  print_plain(base, out);
  writer_text(
      out,
      "-run' unless told\n"
      "#   SEER_TRAINER=FILE    the trainer, where it does not lie as it was built\n"
      "#   SEER_MPI=WORD        what srun's --mpi says, instead of what fits the MPI that is installed\n"
      "#   SEER_REQUEUES=N      times that the job goes back to the queue after a preemption or its time limit; "
      "100\n"
      "#   SEER_RETRIES=N       times that a crash is tried again within the job; 2\n");
}

static void print_resources(const LaunchPlan *plan, Writer *out) {
  writer_printf(out, "#SBATCH --nodes=%d\n#SBATCH --ntasks=%d\n#SBATCH --ntasks-per-node=%d\n", plan->nodes,
                plan->nodes * plan->ranks_per_node, plan->ranks_per_node);
  if (plan->threads > 0)
    writer_printf(out,
                  "# The cores of the machine that seerc ran on, divided by its ranks.\n#SBATCH --cpus-per-task=%d\n",
                  plan->threads);
  else
    writer_text(out, "# How many cores the machine has is not described: give --cpus-per-task=N.\n");
  writer_printf(out,
                "# What the plan allocates, and what it says lies besides at most.\n"
                "#SBATCH --mem=%" PRIu64 "M\n",
                (plan->node_bytes + 1048575) / 1048576);
  writer_printf(out,
                "# So many seconds before the time limit, to all ranks (\"B:\" would reach this script alone): they "
                "finish the step\n"
                "# and write a snapshot. Slurm itself is up to a minute late.\n"
                "#SBATCH --signal=USR1@%" PRId64 "\n",
                plan->stop_seconds);
  writer_text(out, "#SBATCH --requeue\n#SBATCH --open-mode=append\n");
}

void print_sbatch(const LaunchPlan *plan, Writer *out) {
  const char *base = base_of(plan->trainer);
  print_usage(plan, base, out);
  writer_text(out, "#SBATCH --job-name=");
  print_plain(base, out);
  writer_text(out, "\n");
  print_resources(plan, out);
  writer_text(out, "#SBATCH --output=%x-%j.log\n\ntrainer=");
  if (!strchr(plan->trainer, '/')) writer_text(out, "./");
  print_word(plan->trainer, out);
  writer_text(out, "\nrun=");
  print_word(base, out);
  writer_text(out, "-run\nseed=${SLURM_ARRAY_TASK_ID:-}\n");
  writer_text(out, embedded_job);
}

// ---- a sweep ----

static void print_task(const LaunchTask *task, Writer *out) {
  writer_printf(out, "  %d)\n    variant=", task->number);
  print_word(task->folder, out);
  writer_text(out, "\n    set --");
  for (int i = 0; task->options[i]; i++) {
    writer_text(out, " ");
    print_word(task->options[i], out);
  }
  writer_text(out, " \"$@\" ;;\n");
}

static void print_array(const LaunchArray *array, Writer *out) {
  writer_text(out, "#SBATCH --array=");
  for (int i = 0; i < array->count; i++) writer_printf(out, "%s%d", i ? "," : "", array->tasks[i].number);
  if (array->at_once > 0) writer_printf(out, "%%%d", array->at_once);
  writer_text(out, "\n");
}

// Plain names alone may stand in #SBATCH lines.
static void print_log(const char *folder, Writer *out) {
  Writer plain = {0};
  print_plain(folder, &plain);
  writer_printf(out, "#SBATCH --output=%s%s%%x-%%A_%%a.log\n", strcmp(plain.text, folder) == 0 ? folder : "",
                strcmp(plain.text, folder) == 0 ? "/" : "");
  writer_release(&plain);
}

static const char array_task[] =
    "  *) echo \"task '${SLURM_ARRAY_TASK_ID:-none}' is no variant: this file is for Slurm, sbatch $0\" >&2; exit 2 "
    ";;\n"
    "esac\n"
    "if [ ! -f \"$sweep/sweep.json\" ]; then\n"
    "  echo \"no sweep '$sweep' in '$PWD' on $(hostname): submit from the folder where it was made\" >&2\n"
    "  exit 3\n"
    "fi\n"
    "trainer=$sweep/$variant/trainer\n"
    "run=$sweep/$variant/run\n"
    "seed=\n"
    "unset SEER_RUN SEER_TRAINER\n"
    "# What is read when results are collected: the log, and how the last start ended. A task that is stopped goes "
    "on.\n"
    "rm -f \"$sweep/$variant/exit\"\n"
    "exec >>\"$sweep/$variant/log\" 2>&1\n"
    "trap 'code=$?; case $code in 129 | 130 | 143) code=75 ;; esac; echo \"$code\" >\"$sweep/$variant/exit\"' EXIT\n";

void print_sweep_sbatch(const LaunchPlan *plan, const LaunchArray *array, Writer *out) {
  writer_text(out, "#!/bin/bash\n# A sweep of '");
  print_plain(plan->name, out);
  writer_printf(out, "' under Slurm: %d task%s, each a variant, on %d node%s, %d rank%s on each. Written by seerc; ",
                array->count, array->count == 1 ? "" : "s", plan->nodes, plan->nodes == 1 ? "" : "s",
                plan->ranks_per_node, plan->ranks_per_node == 1 ? "" : "s");
  writer_text(out, "edits are lost.\n#\n#   sbatch ");
  print_plain(array->folder, out);
  writer_text(out,
              "/sweep.sbatch [TRAINER OPTION]...   from the folder where the sweep was made\n"
              "#   seerc sweep --collect ");
  print_plain(array->folder, out);
  writer_text(out,
              "           results, at any time\n"
              "#\n"
              "# Options of sbatch (--partition, --time, --mem, ...) before the file's name win over those below. "
              "Submitted again,\n"
              "# tasks go on where they stopped. From the environment: SEER_MPI, SEER_REQUEUES, SEER_RETRIES, as for "
              "every trainer.\n"
              "#SBATCH --job-name=");
  print_plain(base_of(array->folder), out);
  writer_text(out, "\n");
  print_array(array, out);
  print_resources(plan, out);
  print_log(array->folder, out);
  writer_text(out, "\nsweep=");
  print_word(array->folder, out);
  writer_text(out, "\ncase ${SLURM_ARRAY_TASK_ID:-none} in\n");
  for (int i = 0; i < array->count; i++) print_task(&array->tasks[i], out);
  writer_text(out, array_task);
  writer_text(out, embedded_job);
}

// One file for both cannot be: neither reads the other's counts, and a host on several lines has a place too many where
// mpirun of Open MPI runs itself.
static void print_hosts(const LaunchPlan *plan, const char *mpi, const char *start, const char *suffix,
                        const char *count, Writer *out) {
  writer_text(out, "# Hosts of the trainer '");
  print_plain(base_of(plan->trainer), out);
  writer_printf(out, "' for the mpirun of %s. Written by seerc; edits are lost.\n#   %s ", mpi, start);
  print_plain(plan->trainer, out);
  writer_printf(out, ".%s -n %d ", suffix, plan->nodes * plan->ranks_per_node);
  if (!strchr(plan->trainer, '/')) writer_text(out, "./");
  print_plain(plan->trainer, out);
  writer_text(out, " --resume --out FOLDER\n");
  for (int node = 0; node < plan->nodes; node++)
    writer_printf(out, "%s%s%d\n", plan->hosts[node], count, plan->ranks_per_node);
}

void print_hostfile_openmpi(const LaunchPlan *plan, Writer *out) {
  print_hosts(plan, "Open MPI", "mpirun --hostfile", "hostfile-openmpi", " slots=", out);
}

void print_hostfile_mpich(const LaunchPlan *plan, Writer *out) {
  print_hosts(plan, "MPICH", "mpirun -f", "hostfile-mpich", ":", out);
}
