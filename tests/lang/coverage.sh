#!/usr/bin/env bash
# Every check of checks.def must show up in at least one golden diagnostic, and every check that a golden diagnostic names
# must be in checks.def. Takes checks.def and the folder of cases. The commands' own are tested with them.
set -u
table=$1 cases=$2 failed=0
names=$(sed -nE 's/^MESSAGE\("([^"]+)".*/\1/p; s/^CHECK\([a-z_]+, "([^"]+)".*/\1/p' "$table")
[ -n "$names" ] || { echo "no checks in $table"; exit 1; }
for name in $names; do
  case $name in
    file | no-model | limitation | classes | scale | reference | tuning | model-size | output | compiler) continue ;;
  esac
  grep -aqF " [$name]" "$cases"/*.txt || { echo "no diagnostic shows [$name]"; failed=1; }
done
for name in $(grep -ahoE '(error|warning): .* \[[a-z-]+\]$' "$cases"/*.txt | sed -E 's/.*\[([a-z-]+)\]$/\1/' | sort -u); do
  grep -qxF "$name" <<<"$names" || { echo "[$name] is not in the table"; failed=1; }
done
exit $failed
