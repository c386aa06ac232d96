#!/usr/bin/env bash
# Fuzzes every Fuzz target of the house for a moment: fuzz.sh [SECONDS_EACH]. A failing input is left under testdata/fuzz
# of its package: mend the code and commit the input as a test.
set -uo pipefail
cd "$(dirname "$0")/.."
each=${1:-3}
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

while read -r package target; do
  if go test -run '^$' -fuzz "^$target\$" -fuzztime "${each}s" "$package" >"$log" 2>&1; then
    passed=$((passed + 1))
  # The toolchain at times reports its own deadline as a failure: without a failing input nothing was found.
  elif grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1)); echo "--- FAIL: $target ($package)"; cat "$log"
  fi
done < <(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' schemas pkg services |
  while read -r file; do grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk -v d="./$(dirname "$file")" '{print d, $2}'; done)

echo "fuzzing: $passed targets passed, $failed failed (${each}s each)"
[ $failed = 0 ] && [ $passed -gt 0 ]
