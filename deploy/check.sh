#!/usr/bin/env bash
# The static checks, each on its own: check.sh [NAME...] runs those named, else all.
set -uo pipefail
cd "$(dirname "$0")/.."
modules=(schemas pkg services)
paths=("${modules[@]/#/./}")
paths=("${paths[@]/%//...}")

# Where a sibling module is missing in a go.mod, the workspace hides it; inside its folder a module shows its true face.
check_modules() {
  local m out bad=0
  for m in "${modules[@]}"; do
    if ! out=$(cd "$m" && GOWORK=off go build ./... 2>&1 && GOWORK=off go vet ./... 2>&1); then
      echo "$m alone: $out"; bad=1
    elif [[ $out == *"matched no packages"* ]]; then
      echo "$m alone: matched no packages"; bad=1
    fi
  done
  return $bad
}

check_vet() { go vet work && go vet -tags e2e ./services/e2e/... ./services/console/... ./pkg/registryserver/... && go vet -tags synctests ./pkg/worker/...; }

tidy_diff() { (cd "$1" && GOWORK=off "${@:2}" go mod tidy -diff); }

# A difference is printed; a failure without one is that of a download.
check_tidy() {
  local m out bad=0
  for m in "${modules[@]}"; do
    out=$(tidy_diff "$m") && continue
    if [ -z "$out" ]; then out=$(tidy_diff "$m" ../deploy/retry.sh) && continue; fi
    echo "$m/go.mod is not tidy: make tidy"; echo "$out"; bad=1
  done
  return $bad
}

check_lint() {
  GOWORK=off go build -C deploy/tools -o ../../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint &&
    bin/golangci-lint run --allow-parallel-runners "${paths[@]}"
}

check_format() {
  local out
  out=$(gofmt -l "${modules[@]}")
  [ -z "$out" ] || { echo "not formatted (make fmt): $out"; return 1; }
}

# A file answers one question; tests tell stories and may be longer.
check_length() {
  local out
  out=$(find "${modules[@]}" -name '*.go' ! -name '*_test.go' -exec wc -l {} + | awk '$2 != "total" && $1 > 330 {print $2 ": " $1 " lines, 330 are allowed"}')
  [ -z "$out" ] || { echo "$out"; return 1; }
}

# What was built or downloaded stays out of every clone.
check_size() {
  local out
  out=$(git ls-files -z | xargs -0 du -k -- | awk '$1 > 512 {print $2 ": " $1 " KiB, 512 are allowed"}')
  [ -z "$out" ] || { echo "$out"; return 1; }
}

check_names() {
  local out
  out=$(find "${modules[@]}" -type d \( -name util -o -name utils -o -name common -o -name helpers -o -name misc -o -name models \))
  [ -z "$out" ] || { echo "a name that says nothing: $out"; return 1; }
}

failed=()
for name in "${@:-vet modules tidy format length size names lint}"; do
  for one in $name; do
    start=$SECONDS
    if "check_$one"; then verdict=ok; else verdict=FAILED; failed+=("$one"); fi
    printf 'check %-8s %-6s %ds\n' "$one" "$verdict" $((SECONDS - start))
  done
done
[ ${#failed[@]} = 0 ] || { echo "failed checks: ${failed[*]}"; exit 1; }
