#!/usr/bin/env bash
# Golden diagnostics: `seerc check NAME.seer` must write exactly NAME.txt to standard error, and exit with 1 where that
# holds an error, else with 0. Takes the compiler, the folder of cases, the folder of shipped specs, and the least number of
# cases. UPDATE=1 writes the .txt files instead, for review.
set -u
seerc=$1 cases=$2 library=$3 least=$4
[ -x "$seerc" ] || { echo "no compiler at $seerc"; exit 1; }
cd "$cases" || exit 1
count=0 failed=0
for spec in *.seer; do
  name=${spec%.seer} count=$((count + 1))
  actual=$("$seerc" check --color=never -I "$library" "$spec" 2>&1 | tr -d "\000"; echo "exit ${PIPESTATUS[0]}")
  code=${actual##*exit } actual=${actual%exit *}
  if [ "${UPDATE:-}" = 1 ]; then
    printf '%s' "$actual" > "$name.txt"
    continue
  fi
  wanted=0
  case $actual in *': error: '*) wanted=1 ;; esac
  if [ "$code" != "$wanted" ]; then
    echo "$name: exit code $code, expected $wanted"; failed=$((failed + 1))
  fi
  if ! diff -u "$name.txt" <(printf '%s' "$actual"); then
    echo "$name: differs" && failed=$((failed + 1))
  fi
done
for text in *.txt; do
  [ -f "${text%.txt}.seer" ] || { echo "$text has no spec"; failed=$((failed + 1)); }
done
echo "$count diagnostics, $failed failed"
[ "$failed" = 0 ] && [ "$count" -ge "$least" ]
