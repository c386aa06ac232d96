#!/usr/bin/env bash
# Runs a command that downloads something, and again after a pause when it fails, five times in all: retry.sh COMMAND...
# Networks fail for a moment; whoever does not mend it within five tries is told by the command itself.
set -uo pipefail

for pause in 5 10 20 40 0; do
  "$@" && exit 0
  status=$?
  [ $pause = 0 ] || { echo "failed with status $status, once more in $pause s: $*" >&2; sleep $pause; }
done
echo "failed five times, see above; is the network there? $*" >&2
exit $status
