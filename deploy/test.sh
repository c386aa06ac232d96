#!/usr/bin/env bash
# Everything that must hold, on a bare machine: set-up, static checks, unit and property tests under -race, a moment of
# fuzzing, journeys over real processes on kfake and on a real Kafka, the console's pages in a real browser, and a short run
# of the crash harness over three brokers. Prints a line per step and a summary.
set -uo pipefail
cd "$(dirname "$0")/.."
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
lines=() broken=0

step() {
  local name=$1 start=$SECONDS
  shift
  echo "=== $name"
  if "$@"; then verdict=ok; else verdict=FAILED; broken=1; fi
  lines+=("$(printf '%-9s %-6s %4ds' "$name" "$verdict" $((SECONDS - start)))")
  echo "=== ${lines[-1]}"
}

# gotestsum prints what `go test` prints and keeps every verdict, so that a skipped test can be counted.
gotest() {
  local name=$1
  shift
  bin/gotestsum --format standard-quiet --jsonfile "$results/$name.json" -- "$@"
}

tools() {
  GOWORK=off go build -C deploy/tools -o ../../bin/ gotest.tools/gotestsum github.com/golangci/golangci-lint/v2/cmd/golangci-lint
}

# The tools' module stands outside go.work: its tests hold Dockerfile and compose file against the services, and the test
# cache does not see files outside a module.
deployment() { (cd deploy/tools && GOWORK=off ../../bin/gotestsum --format standard-quiet --jsonfile "$results/deployment.json" -- -count=1 -timeout 20m ./...); }

# A step that hangs ends in time for a dump of its goroutines, whatever the machine's speed; all together take 20 minutes.
unit() { gotest unit -race -timeout 30m work; }

# The worker's laws under many seeds, in a bubble whose clock jumps. The tag is franz-go's own: its locks then let the
# clock go on. It changes the client, so it is for this test alone; -race runs over the same world in the step unit.
laws() { gotest laws -tags synctests -count=1 -timeout 20m -run 'LawsUnderMany|Rebalance|Moves' ./pkg/worker/...; }

journeys() { gotest journeys -tags e2e -count=1 -timeout 40m ./services/e2e/... ./pkg/registryserver/...; }

# The console's pages in a real Chromium, by keyboard; SCREENSHOTS names the folder where its pictures are left.
browser() { gotest browser -tags e2e -count=1 -timeout 25m -run TestBrowser ./services/console/; }

# Prints its report and, if a law is broken, the folder of the evidence. The long run is `make chaos`; that each law broken
# on purpose is caught takes `make chaos MUTANTS=1`, about two minutes a law.
chaos() { go build -o bin/ ./services/chaos && MINUTES=0.75 CHAOS_2102=20s CHAOS_DRAIN=10m SEED=7 RATE=20 timeout -s QUIT 40m bin/chaos; }

step set-up deploy/setup.sh all
[ $broken = 0 ] || exit 1
step tools tools
step checks deploy/check.sh
step unit unit
step laws laws
step deploy deployment
step fuzz deploy/fuzz.sh 3
step journeys journeys
step browser browser
step chaos chaos

count() { cat "$results"/*.json 2>/dev/null | grep '"Test":' | grep -c "\"Action\":\"$1\""; }
skipped=$(count skip)
if [ "$skipped" != 0 ]; then
  broken=1
  echo "skipped tests, which this house does not have:"
  cat "$results"/*.json | grep '"Action":"skip"' | grep '"Test":'
fi
printf '%s\n' "" "${lines[@]}" "total $((SECONDS / 60)) min $((SECONDS % 60)) s" "$(count pass) passed, $(count fail) failed, $skipped skipped"
exit $broken
