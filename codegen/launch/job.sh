# What every job does; above: what was built, below this line nothing depends on it.
set -u
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID:-}}
job=${job:-${SLURM_JOB_ID:-}}
run=${SEER_RUN:-$run}${seed:+-$seed}
requeues=${SEER_REQUEUES:-100} retries=${SEER_RETRIES:-2}

note() { printf 'job %s: %s\n' "$job" "$1" >&2; }
fail() { note "error: $2"; exit "$1"; }

[ -n "$job" ] || { job='(none)' && fail 2 "this file is for Slurm: sbatch $0"; }
# Slurm runs a copy of this file elsewhere, in the folder that it was submitted from.
is_program() { [ -f "$1" ] && [ -x "$1" ]; }
trainer=${SEER_TRAINER:-$trainer}
is_program "$trainer" || [ -n "${SEER_TRAINER:-}" ] || trainer=./${trainer##*/}
[[ $trainer == */* ]] || trainer=./$trainer
is_program "$trainer" || fail 3 "no trainer '$trainer' in '$PWD' on $(hostname); submit from the\
 folder where it was built, or name it: SEER_TRAINER=FILE sbatch ..."

# Ranks whose launcher speaks another MPI's language would each believe to be alone. What srun lists may still lack a
# library, so a step that does nothing tries each word.
mpi=${SEER_MPI:-} tried=
if [ "${SLURM_NTASKS:-1}" = 1 ]; then
  mpi=none
elif [ -z "$mpi" ]; then
  known=$("$trainer" doctor --mpi)
  for word in $known; do
    tried+=$'\n'"srun --mpi=$word: "
    tried+=$(srun --nodes=1 --ntasks=1 --mpi="$word" true 2>&1) && mpi=$word && break
  done
  [ -n "$mpi" ] || fail 3 "no MPI that srun and the trainer share; found on $(hostname): ${known:-none} (pmix is Open MPI,\
 pmi2 is MPICH; on Debian: openmpi-bin and libpmix-dev, or mpich). SEER_MPI=WORD insists on one.$tried"
fi

# Slurm 22.05 and later do not hand the job's cores per task on to its steps by themselves. A rank that left without a
# word keeps the others waiting for ten minutes at most.
start=(--kill-on-bad-exit=1 --wait=600 "--mpi=$mpi")
order=(train --resume --out "$run")
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || start+=("--cpus-per-task=$SLURM_CPUS_PER_TASK")
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || order+=(--threads "$SLURM_CPUS_PER_TASK")
[ -z "$seed" ] || order+=(--seed "$seed")

progress() { stat -c '%s %y' "$run/metrics.jsonl" 2>/dev/null || echo 0; }

crashes=0
while :; do
  before=$(progress)
  srun "${start[@]}" "$trainer" "${order[@]}" "$@"
  code=$?
  case $code in
    0) exit 0 ;;
    75) break ;;
    1 | 2 | 70) fail $code "exit code $code: not started again, it would end the same way; the message above says why" ;;
  esac
  [ $code != 3 ] || [ "$(progress)" != "$before" ] ||
    fail 3 "exit code 3 before the first steps: not started again; the message above says what is lacking"
  crashes=$((crashes + 1))
  [ $crashes -le "$retries" ] ||
    fail $code "exit code $code, and $crashes times in this job: not started again (SEER_RETRIES=$retries)"
  note "exit code $code: starting again from the last snapshot, $crashes of $retries"
  sleep 5
done

[ "${SLURM_RESTART_COUNT:-0}" -lt "$requeues" ] ||
  fail 75 "stopped with a snapshot; requeued $SLURM_RESTART_COUNT times already: not again (SEER_REQUEUES=$requeues)"
note "stopped with a snapshot in '$run': requeueing"
scontrol requeue "$job" || fail 75 "could not be requeued; the same sbatch command goes on from the snapshot"
# A script that ends now would end the job with it: Slurm stops it.
sleep 600
exit 75
