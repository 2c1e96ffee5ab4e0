#!/usr/bin/env bash
# The commands check, fmt, show, explain and doc as a user runs them: exit codes, streams, options, files that are missing.
# Takes the compiler and the top of the tree.
set -u
top=$2
. "$(dirname "$0")/helpers.sh" "$1"

printf 'use "models/regnety_400mf"\ndata { pictures = "photos/" }\n' >good.seer
printf 'train { bacth = 3 }\n' >bad.seer
printf 'train{batch=256}\n' >messy.seer
printf 'train {\n' >broken.seer
printf 'model { bn_momentum = 0 }\n' >warns.seer

expect version 0 "$seerc" --version; holds version out 'seerc '
expect help 0 "$seerc" --help; holds help out 'explain'; empty help err
expect nothing 2 "$seerc"; holds nothing err 'usage:'; empty nothing out
expect unknown-command 2 "$seerc" chek good.seer; holds unknown-command err "did you mean 'check'"
expect unknown-option 2 "$seerc" check --jsn good.seer; holds unknown-option err "did you mean '--json'"
expect option-of-other-command 2 "$seerc" explain --json
expect flag-with-argument 2 "$seerc" check --json=yes good.seer
expect option-without-argument 2 "$seerc" check good.seer -D; holds option-without-argument err "needs an argument"
expect choice 2 "$seerc" check --color=sometimes good.seer
for command in check fmt show plan scale build bench tune data explain doc; do
  expect "help-$command" 0 "$seerc" "$command" --help
  holds "help-$command" out "usage: seerc $command"
  expect "help-short-$command" 0 "$seerc" "$command" -h
done

expect check-good 0 "$seerc" check good.seer; empty check-good out; empty check-good err
expect check-no-file 2 "$seerc" check
expect check-bad 1 "$seerc" check bad.seer; holds check-bad err "bad.seer:1:9: error: section 'train' has no key 'bacth' [unknown-key]"
expect check-warning 0 "$seerc" check warns.seer; holds check-warning err 'warning:'
expect check-several 1 "$seerc" check good.seer bad.seer warns.seer; holds check-several err bacth; holds check-several err bn_momentum
expect check-missing 1 "$seerc" check nowhere.seer; holds check-missing err 'No such file or directory'
expect check-folder 1 "$seerc" check "$work"; holds check-folder err 'Is a directory'
expect check-dashes 1 "$seerc" check -- -missing.seer; holds check-dashes err "'-missing.seer'"
expect check-stdin 1 bash -c "'$seerc' check - <bad.seer"; holds check-stdin err '<stdin>:1:9'
expect check-json 1 "$seerc" check --json bad.seer; empty check-json err; holds check-json out '"check":"unknown-key"'
expect check-json-parses 0 /usr/bin/python3 -c 'import json; [json.loads(l) for l in open("out")]'
expect check-colour 1 "$seerc" check --color=always bad.seer; holds check-colour err $'\033[1;31m'
expect check-no-colour 1 "$seerc" check bad.seer; lacks check-no-colour err $'\033['
expect define 1 "$seerc" check -D train.batch=0 good.seer; holds define err '-D:1:13: error'
expect define-long 0 "$seerc" check --define train.batch=64 --define=train.seed=3 good.seer
expect define-attached 1 "$seerc" check -Dtrain.nothing=1 good.seer; holds define-attached err "has no key 'nothing'"
expect define-order 0 "$seerc" show -D train.batch=64 -D train.batch=32 good.seer; holds define-order out 'batch = 32'
mkdir -p shelf/models && printf 'model { depths = [1]  widths = [8]  group_widths = [8] }\n' >shelf/models/regnety_400mf.seer
expect library 0 "$seerc" show -I shelf good.seer; holds library out 'depths = [1]'
if [ "$(id -u)" != 0 ]; then
  cp good.seer secret.seer && chmod 0 secret.seer
  expect unreadable 1 "$seerc" check secret.seer; holds unreadable err 'Permission denied'
fi

expect fmt-check 1 "$seerc" fmt --check messy.seer good.seer; holds fmt-check out messy.seer; lacks fmt-check out good.seer
expect fmt-check-wrote 0 grep -qx 'train{batch=256}' messy.seer
expect fmt-check-stdin 1 bash -c "'$seerc' fmt --check - <messy.seer"
expect fmt-diff 1 "$seerc" fmt --diff messy.seer; holds fmt-diff out '+train { batch = 256 }'; holds fmt-diff out '-train{batch=256}'
"$seerc" fmt --diff messy.seer >fix.patch
cp messy.seer patched.seer && expect fmt-diff-applies 0 patch -s patched.seer fix.patch
expect fmt-diff-wrote 0 grep -qx 'train{batch=256}' messy.seer
expect fmt-broken 1 "$seerc" fmt broken.seer; holds fmt-broken err 'not closed'; expect fmt-broken-kept 0 grep -qx 'train {' broken.seer
expect fmt-stdin 0 bash -c "'$seerc' fmt - <messy.seer"; holds fmt-stdin out 'train { batch = 256 }'
expect fmt-writes 0 "$seerc" fmt messy.seer; empty fmt-writes out; expect fmt-written 0 cmp messy.seer patched.seer
expect fmt-clean 0 "$seerc" fmt --check messy.seer; empty fmt-clean out
expect fmt-no-file 2 "$seerc" fmt
expect fmt-missing 1 "$seerc" fmt nowhere.seer

expect show-ast 0 "$seerc" show --at=ast good.seer; holds show-ast out 'use "models/regnety_400mf"'
expect show-spec 0 "$seerc" show good.seer; holds show-spec out 'wm = 2.09'
expect show-out 0 "$seerc" show good.seer -o resolved.seer; empty show-out out; expect show-checks 0 "$seerc" check resolved.seer
expect show-stage 2 "$seerc" show --at=asd good.seer; holds show-stage err "did you mean 'ast'"
expect show-bad 1 "$seerc" show bad.seer; empty show-bad out
expect show-two 2 "$seerc" show good.seer bad.seer
expect show-unwritable 3 "$seerc" show good.seer -o nowhere/out.seer; holds show-unwritable err 'nowhere/out.seer'
if [ -w /dev/full ]; then
  expect show-full 3 bash -c "'$seerc' show good.seer >/dev/full"; holds show-full err 'No space left'
fi

expect explain-list 0 "$seerc" explain; holds explain-list out 'optimizer'
expect explain-key 0 "$seerc" explain train.batch; holds explain-key out '256'
expect explain-bare 0 "$seerc" explain batch; holds explain-bare out 'evaluate.batch'
expect explain-section 0 "$seerc" explain swav; holds explain-section out 'prototypes'
expect explain-check 0 "$seerc" explain group-width; holds explain-check out '[group-width]'
expect explain-call 0 "$seerc" explain crop; holds explain-call out 'count'
expect explain-misspelt 1 "$seerc" explain trian; holds explain-misspelt err "did you mean 'train'"
expect explain-alias 1 "$seerc" explain batch_size; holds explain-alias err "did you mean 'train.batch'"

expect doc 0 "$seerc" doc -o language.md; empty doc out
expect doc-current 0 diff -u "$top/docs/language.md" language.md
expect doc-man 0 "$seerc" doc --man; holds doc-man out '.TH SEERC 1'; cp out seerc.1
expect doc-bash 0 "$seerc" doc --completion bash; cp out completion.bash
expect doc-bash-parses 0 bash -n completion.bash
expect doc-bash-completes 0 bash -c 'source ./completion.bash; COMP_WORDS=(seerc ch); COMP_CWORD=1; _seerc; [ "${COMPREPLY[*]}" = check ]'
expect doc-zsh 0 "$seerc" doc --completion=zsh; holds doc-zsh out '#compdef seerc'
expect doc-fish 0 "$seerc" doc --completion fish; holds doc-fish out 'complete -c seerc'
expect doc-shell 2 "$seerc" doc --completion tcsh
expect doc-both 2 "$seerc" doc --man --completion bash
expect doc-file 2 "$seerc" doc good.seer

# A bug aborts; to the shell that is exit code 70.
expect bug 70 bash -c "sleep 2 | '$seerc' check - & sleep 0.5; kill -ABRT \$!; wait \$!"

finish
