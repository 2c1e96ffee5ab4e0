#!/usr/bin/env bash
# The formatter: each NAME.seer must become exactly NAME.out, which must not change again; every diagnostic case that parses
# must be stable after one run; shipped specs are in form. Takes the compiler, the folder of tests, the shipped specs.
# UPDATE=1 writes the .out files instead, for review.
set -u
seerc=$1 tests=$2 specs=$3
[ -x "$seerc" ] || { echo "no compiler at $seerc"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failed=0
fail() { echo "$1"; failed=$((failed + 1)); }
for spec in "$tests"/fmt/*.seer; do
  count=$((count + 1))
  "$seerc" fmt - <"$spec" >"$work/out" || fail "$spec: exit code $?"
  [ "${UPDATE:-}" = 1 ] && cp "$work/out" "${spec%.seer}.out"
  diff -u "${spec%.seer}.out" "$work/out" || fail "$spec: differs"
  "$seerc" fmt --check - <"$work/out" >/dev/null || fail "$spec: not stable"
done
for spec in "$tests"/diagnostics/*.seer; do
  "$seerc" fmt - <"$spec" >"$work/out" 2>/dev/null || continue
  count=$((count + 1))
  "$seerc" fmt --check - <"$work/out" >/dev/null || fail "$spec: not stable"
done
for spec in "$specs"/*/*.seer; do
  count=$((count + 1))
  "$seerc" fmt --diff "$spec" || fail "$spec: not in form"
  # What is resolved must be the same after formatting, and a resolved spec must read back to itself, in form.
  "$seerc" show --at=spec -I "$specs" "$spec" >"$work/spec.seer" || fail "$spec: does not resolve"
  "$seerc" show --at=spec -I "$specs" "$work/spec.seer" >"$work/again.seer" || fail "$spec: its resolved spec does not check"
  diff -u "$work/spec.seer" "$work/again.seer" || fail "$spec: reads back differently"
done
echo "$count texts, $failed failed"
[ "$failed" = 0 ] && [ "$count" -gt 150 ]
