#!/usr/bin/env bash
# The files of `seerc build --emit`: what they say, the same bytes each time, no word of a spec that a shell would run.
# Takes the compiler.
set -u
. "$(dirname "$0")/../cli/helpers.sh" "$1"

cat >small.seer <<'SPEC'
model { depths = [1]  widths = [16]  group_widths = [8]  stem_width = 8 }
supervised { classes = 4 }
views { crops = [crop(count = 1, size = 16px)] }
train { batch = 24  steps = 2 }
evaluate { size = 16px  resize = 16px }
data { pictures = "photos"  max_pixels = 10000px  decode_threads = 1 }
cluster { nodes = 2  ranks_per_node = 3  hosts = ["node1", "node2.lan"] }
SPEC

expect unknown 2 "$seerc" build small.seer --emit=sbatch,pbs
holds unknown err "does not know 'pbs': sbatch, hostfile, c and cuda are known"
expect nothing 2 "$seerc" build small.seer --emit=,
holds nothing err 'names nothing'
expect no-file 3 "$seerc" build small.seer -o nowhere/small --emit=sbatch

expect emit 0 "$seerc" build small.seer -o small --emit=sbatch,hostfile
for line in '#SBATCH --nodes=2' '#SBATCH --ntasks=6' '#SBATCH --ntasks-per-node=3' '#SBATCH --signal=USR1@120' \
  '#SBATCH --requeue' '#SBATCH --open-mode=append' "trainer=./'small'"; do
  holds sbatch small.sbatch "$line"
done
# Memory of three ranks: at least what the plan allocates, and not without bound.
peak=$("$seerc" plan --json small.seer | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["memory"]["peak_bytes"])')
mib=$(sed -n 's/^#SBATCH --mem=\([0-9]*\)M$/\1/p' small.sbatch)
expect memory 0 test "$mib" -ge $((3 * peak / 1048576)) -a "$mib" -le $((3 * (peak / 1048576 + 200)))
printf 'node1 slots=3\nnode2.lan slots=3\n' >wanted && expect openmpi 0 bash -c "grep -v '^#' small.hostfile-openmpi | cmp - wanted"
printf 'node1:3\nnode2.lan:3\n' >wanted && expect mpich 0 bash -c "grep -v '^#' small.hostfile-mpich | cmp - wanted"
expect parses 0 bash -n small.sbatch
if command -v shellcheck >/dev/null; then expect shellcheck 0 shellcheck small.sbatch; fi
# Outside of Slurm it says so.
expect no-slurm 2 env -u SLURM_JOB_ID bash small.sbatch
holds no-slurm err 'this file is for Slurm'

cp small.sbatch before.sbatch && cp small.hostfile-openmpi before.openmpi
expect again 0 "$seerc" build small.seer -o small --emit=hostfile,sbatch
expect same-sbatch 0 cmp small.sbatch before.sbatch
expect same-hosts 0 cmp small.hostfile-openmpi before.openmpi

# A name that would do harm, were it not made plain.
name="a'b; touch harm #\$(touch harm)"
cp small.seer "$name.seer"
expect strange 0 "$seerc" build "$name.seer" -o plain --emit=sbatch,hostfile -D cluster.nodes=1 -D 'cluster.hosts="here"'
expect strange-parses 0 bash -n plain.sbatch
expect strange-runs 3 env SLURM_JOB_ID=1 SEER_TRAINER=nowhere bash plain.sbatch
holds strange-runs err "no trainer './nowhere'"
expect no-harm 1 test -e harm
expect only-the-host 0 bash -c "grep -v '^#' plain.hostfile-mpich | grep -qx here:3"

sed 's/hosts = .*/}/' small.seer >nameless.seer
expect nameless 1 "$seerc" build nameless.seer --emit=hostfile
holds nameless err 'a host file for 2 machines needs their names'
finish
