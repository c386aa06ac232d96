#!/usr/bin/env bash
# Fuzzes every Fuzz target of the house for a moment: fuzz.sh [SECONDS_EACH]. A failing input is left under testdata/fuzz
# of its package: mend the code and commit the input as a test.
set -uo pipefail
cd "$(dirname "$0")/.."
each=${1:-3}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

fuzz_one() {
  local package=$1 target=$2 log
  log=$logs/${target}_$$_$RANDOM
  if timeout -s QUIT 15m go test -run '^$' -fuzz "^$target\$" -fuzztime "${each}s" -parallel 1 "$package" >"$log" 2>&1; then
    echo passed
  # The toolchain at times reports its own deadline as a failure: without a failing input nothing was found.
  elif grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
    echo passed
  else
    echo "fuzzing failed: $target ($package)"; cat "$log"
  fi
}
export -f fuzz_one
export each logs

grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' schemas pkg services |
  while read -r file; do grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk -v d="./$(dirname "$file")" '{print d, $2}'; done |
  xargs -P "$(nproc)" -L 1 bash -c 'fuzz_one "$@"' fuzz_one >"$logs/verdicts"

grep -v '^passed$' "$logs/verdicts"
passed=$(grep -c '^passed$' "$logs/verdicts") failed=$(grep -c '^fuzzing failed: ' "$logs/verdicts")
echo "fuzzing: $passed targets passed, $failed failed (${each}s each)"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
