#!/usr/bin/env bash
# The command plan as a user runs it: every output, one at a time; placements, budgets and clusters; bare chains.
# plan_output.py judges what is printed. Takes the compiler.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/helpers.sh" "$1"
# output NAME KIND [ARGUMENT...]: what the last run printed is such an output.
output() {
  count=$((count + 1))
  python3 "$here/plan_output.py" "$2" out "${@:3}" >judged 2>&1 && return
  echo "$1: not as it must be:"; cat judged; failed=$((failed + 1))
}

cat >small.seer <<'SPEC'
model { depths = [2, 3]  widths = [32, 64]  group_widths = [16] }
swav { prototypes = 32  head = [64, 16]  freeze_prototypes = 5steps }
views { crops = [crop(count = 2, size = 64px, scale = 0.14..1.0), crop(count = 2, size = 32px)] }
data { pictures = "photos/" }
train { batch = 32  steps = 2000 }
cluster { memory = 4GiB  flops = 1e12  bandwidth = 1e11 }
evaluate { size = 64px  resize = 64px }
SPEC
cat >cluster.seer <<'SPEC'
model { depths = [1, 3, 2]  widths = [64, 160, 400]  group_widths = [16] }
data { pictures = "photos/" }
train { batch = 512  precision = fp16  steps = 2000 }
cluster { machine = "a100-40g"  nodes = 2  ranks_per_node = 8  memory = 1200MiB }
shard { parameters = full  unit = block  reduce = fp16 }
checkpoint { placement = optimal  budget = fit  cuts = [1, 2, 5] }
SPEC
blocks='stem, block1-0, block1-1, block2-0, block2-1, block2-2, head'

expect summary 0 "$seerc" plan small.seer; holds summary out 'proven optimal in its class'; empty summary err
expect summary-cluster 0 "$seerc" plan cluster.seer; holds summary-cluster out '2 nodes of 8 ranks, parameters sharded'
expect json 0 "$seerc" plan --json small.seer; output json json
expect json-cluster 0 "$seerc" plan --json cluster.seer; output json-cluster json
cp out first; expect json-again 0 "$seerc" plan --json cluster.seer -o again; expect json-same 0 cmp again first
expect json-file 0 "$seerc" plan --json small.seer -o plan.json; empty json-file out
expect json-stdin 0 bash -c "'$seerc' plan --json - <small.seer"; output json-stdin json
expect html 0 "$seerc" plan --html small.seer; output html html plan.json
expect html-cluster 0 "$seerc" plan --html cluster.seer; output html-cluster html first
output curve-cluster curve "$seerc" cluster.seer
expect why 0 "$seerc" plan --why block2-1 small.seer; holds why out "block2-1: saved as '"; output why why
expect why-tight 0 "$seerc" plan --why stem small.seer -D checkpoint.budget=60MiB; output why-tight why
expect why-unknown 2 "$seerc" plan --why block9 small.seer; empty why-unknown out
holds why-unknown err "no block 'block9': the blocks are $blocks [usage]"
expect why-nothing 2 "$seerc" plan small.seer --why; holds why-nothing err 'needs an argument'
expect sweep 0 "$seerc" plan --sweep small.seer; output sweep sweep
expect sweep-cluster 0 "$seerc" plan --sweep cluster.seer; output sweep-cluster sweep
expect svg 0 "$seerc" plan --svg small.seer; output svg svg
expect svg-cluster 0 "$seerc" plan --svg cluster.seer -o curve.svg; cp curve.svg out; output svg-cluster svg
expect compare 0 "$seerc" plan --compare small.seer; output compare compare; lacks compare out "the spec's cuts"
expect compare-cuts 0 "$seerc" plan --compare cluster.seer; output compare-cuts compare; holds compare-cuts out "the spec's cuts"
expect compare-deeper 0 "$seerc" plan --compare small.seer -D 'checkpoint.cuts=[1, 7]'; lacks compare-deeper out "the spec's cuts"
expect trace 0 "$seerc" plan --trace small.seer; output trace trace compute
expect trace-cluster 0 "$seerc" plan --trace cluster.seer; output trace-cluster trace compute network statistics
expect bad-spec 1 "$seerc" plan --json small.seer -D train.batch=0; empty bad-spec out
expect no-model 1 bash -c "echo 'train { batch = 8 }' | '$seerc' plan -"; holds no-model err '[no-model]'

# One output at a time.
outputs=(json html "why stem" sweep svg compare trace chain)
for ((a = 0; a < ${#outputs[@]}; a++)); do
  for ((b = a + 1; b < ${#outputs[@]}; b++)); do
    # shellcheck disable=SC2086  # an option and its argument
    expect "both-$a-$b" 2 "$seerc" plan --${outputs[b]} --${outputs[a]} small.seer
    empty "both-$a-$b" out
    holds "both-$a-$b" err "'--${outputs[a]%% *}' and '--${outputs[b]%% *}' exclude each other"
  done
done

# Every placement can be asked for, and takes what it takes.
for placement in none every square_root fairscale random; do
  expect "placement-$placement" 0 "$seerc" plan --json small.seer -D "checkpoint.placement=$placement"
  output "placement-$placement" json "$placement"
done
expect placement-cuts 0 "$seerc" plan --json cluster.seer -D checkpoint.placement=cuts; output placement-cuts json cuts
expect placement-summary 0 "$seerc" plan small.seer -D checkpoint.placement=every
holds placement-summary out "placement 'every', as asked for"
expect seed 0 "$seerc" plan --json small.seer -D checkpoint.placement=random -D checkpoint.seed=1 -o drawn.1
expect seed-other 0 "$seerc" plan --json small.seer -D checkpoint.placement=random -D checkpoint.seed=2 -o drawn.2
expect seed-differs 1 cmp -s drawn.1 drawn.2
expect offload-no 0 "$seerc" plan --json cluster.seer -D checkpoint.offload=no; lacks offload-no out '"offload":true'

# Budgets: the smallest is said, holds, and one byte less does not.
for spec in small.seer cluster.seer; do
  expect "least-$spec" 0 "$seerc" plan --json "$spec"
  least=$(python3 -c 'import json; print(json.load(open("out"))["memory"]["minimum_budget_bytes"])')
  expect "at-least-$spec" 0 "$seerc" plan --json "$spec" -D "checkpoint.budget=${least}B"; output "at-least-$spec" json
  for output in "" --json --compare --trace; do
    # shellcheck disable=SC2086  # no option at all, once
    expect "below-$spec$output" 1 "$seerc" plan $output "$spec" -D "checkpoint.budget=$((least - 1))B"
    empty "below-$spec$output" out
    holds "below-$spec$output" err "needs $least bytes and the budget is $((least - 1)) bytes [budget]"
  done
  holds "below-$spec" err "the smallest budget that would do is $least bytes: "
done
expect budget-asked 1 "$seerc" plan small.seer -D checkpoint.placement=none -D checkpoint.budget=60MiB
holds budget-asked err "the placement 'none' takes what it takes; 'placement = optimal' fits into less"
expect budget-machine 1 "$seerc" plan small.seer -D cluster.memory=20MiB; holds budget-machine err 'small.seer:6:1: error: the plan needs'

# What only a plan can do yet.
expect build-fp16 1 "$seerc" build small.seer -D train.precision=fp16; holds build-fp16 err 'seerc cannot yet'
expect one-rank 0 "$seerc" plan --json small.seer -D shard.parameters=full; output one-rank json
holds one-rank err '[shard-ranks]'; holds one-rank out '"parameters":"none"'

# chain NAME CODE TEXT: a bare chain.
block='{"name": "b1", "output_bytes": 4, "output_gradient_bytes": 4,
 "forward_only": {"time_ns": 10, "transient_bytes": 2},
 "modes": [{"name": "full", "saved_bytes": 12, "forward_ns": 10, "backward_ns": 20}],
 "parameters": {"bytes": 6, "gradient_bytes": 6, "gather_ns": 5, "reduce_ns": 5}}'
chain='{"budget_bytes": 1000, "blocks": ['$block', '${block/b1/b2}']}'
chain() {
  printf '%s\n' "$3" >chain.json
  expect "chain-$1" "$2" "$seerc" plan --chain chain.json
}
wrong() {  # NAME TEXT MESSAGE
  chain "$1" 1 "$2"; empty "chain-$1" out
  holds "chain-$1" err "seerc: error: 'chain.json': $3 [chain]"; holds "chain-$1" err 'docs/planner.md'
}
chain good 0 "$chain"; output chain-good chain; empty chain-good err
least=$(python3 -c 'import json; print(json.load(open("out"))["minimum_budget_bytes"])')
chain least 0 "${chain/1000/$least}"; output chain-least chain
chain below 1 "${chain/1000/$((least - 1))}"; output chain-below no-chain "$least"; empty chain-below err
# Parameters of no bytes: keeping them saves their gather.
free=${chain//\"bytes\": 6, \"gradient_bytes\": 6, \"gather_ns\": 5/\"bytes\": 0, \"gradient_bytes\": 6, \"gather_ns\": 500}
chain free 0 "$free"; holds chain-free out '"residency":"keep"'
chain real 0 "${chain/1000/1e3}"; output chain-real chain
expect chain-stdin 0 bash -c "'$seerc' plan --chain - <chain.json"; output chain-stdin chain
expect chain-file 0 "$seerc" plan --chain chain.json -o answer.json; empty chain-file out
expect chain-missing 1 "$seerc" plan --chain nowhere.json; holds chain-missing err "cannot read 'nowhere.json': No such file"
expect chain-no-file 2 "$seerc" plan --chain; expect chain-two 2 "$seerc" plan --chain chain.json chain.json
wrong malformed '{"budget_bytes": 1,
 "blocks": [}' "line 2, column 13: unexpected token near '}'"
wrong twice '{} {}' "line 1, column 4: end of file expected near '{'"
wrong duplicate '{"budget_bytes": 1, "budget_bytes": 2}' "line 1, column 34: duplicate object key near '\"budget_bytes\"'"
wrong list '[]' 'the chain must be an object'
wrong empty '{"budget_bytes": 1, "blocks": []}' "chain: 'blocks' must be a list of 1 to 256 blocks"
wrong no-budget "{\"blocks\": [$block]}" "chain: 'budget_bytes' is missing"
wrong no-block '{"budget_bytes": 1, "blocks": [1]}' "block 1: 'blocks' must be objects"
wrong no-modes "${chain/\"modes\": \[*\],/\"modes\": [],}" "block 1: 'modes' must be a list of 1 to 32 modes"
wrong text "${chain/12/\"12\"}" "block 1, mode 1: 'saved_bytes' must be a whole number from 0 to 1125899906842624"
wrong negative "${chain/12/-12}" "block 1, mode 1: 'saved_bytes' must be a whole number from 0 to 1125899906842624"
wrong fraction "${chain/12/12.5}" "block 1, mode 1: 'saved_bytes' must be a whole number from 0 to 1125899906842624"
wrong large "${chain/12/1125899906842625}" "block 1, mode 1: 'saved_bytes' must be a whole number from 0 to 1125899906842624"
wrong long "${chain/20/1e14}" "block 1, mode 1: 'backward_ns' must be a whole number from 0 to 17592186044416"
wrong huge "${chain/: 12/: 99999999999999999999}" "block 1, mode 1: 'saved_bytes' must be a whole number from 0 to 1125899906842624"
wrong misspelt "${chain/saved_bytes/saved_byte}" "block 1, mode 1: 'saved_byte' is no key of this object"
wrong name "${chain/\"b1\"/7}" "block 1: 'name' must be a string"
wrong half-share "${chain/\"gather_ns\": 5/\"gather_ns\": 5, \"node_gather_ns\": 2}" "block 1, parameters: 'node_share_bytes' is missing: 'node_gather_ns' needs it"
wrong twin-blocks "${chain/b2/b1}" "blocks: 'name' 'b1' is there twice"
wrong twin-modes "${chain/\"modes\": [/\"modes\": [{\"name\": \"full\", \"saved_bytes\": 9, \"forward_ns\": 1, \"backward_ns\": 1\}, }" "the modes of block 1: 'name' 'full' is there twice"
{ printf '%*s' 4194304 ""; printf '%s\n' "$chain"; } >long.json
expect chain-too-long 1 "$seerc" plan --chain long.json; empty chain-too-long out; holds chain-too-long err "'long.json' is larger than 4MiB [file]"
wrong small "${chain/12/3}" "mode 'full' of block 'b1' saves less than the block's output"

finish
