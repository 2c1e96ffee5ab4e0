#!/usr/bin/env bash
# What the tests of commands share, to be sourced with the compiler as first argument: a working folder of its own, the
# runs counted, and what a run must have printed.
seerc=$1
[ -x "$seerc" ] || { echo "no compiler at $seerc"; exit 1; }
seerc=$(cd "$(dirname "$seerc")" && pwd)/$(basename "$seerc")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
count=0 failed=0

# expect NAME CODE COMMAND...: runs it, keeps out and err, checks the exit code.
expect() {
  local name=$1 wanted=$2 code=0
  shift 2
  count=$((count + 1))
  "$@" >out 2>err </dev/null || code=$?
  [ "$code" = "$wanted" ] && return
  echo "$name: exit code $code, expected $wanted"
  cat out err
  failed=$((failed + 1))
}
# holds NAME FILE TEXT; lacks NAME FILE TEXT; empty NAME FILE
holds() { grep -qF -- "$3" "$2" || { echo "$1: no '$3' in $2:"; cat "$2"; failed=$((failed + 1)); }; }
lacks() { ! grep -qF -- "$3" "$2" || { echo "$1: unwanted '$3' in $2"; failed=$((failed + 1)); }; }
empty() { [ ! -s "$2" ] || { echo "$1: $2 is not empty:"; cat "$2"; failed=$((failed + 1)); }; }
finish() {
  echo "$count runs, $failed failed"
  [ "$failed" = 0 ]
}
