#!/usr/bin/env bash
# Fetches a real Apicurio Registry, holds the archive against SHA256SUMS and unpacks it into dist/. Does nothing when that
# was done.
set -euo pipefail
cd "$(dirname "$0")"

# dist/SHA256SUMS is written last: it tells which archive lies there, whole.
if cmp -s SHA256SUMS dist/SHA256SUMS; then exit 0; fi
command -v mvn >/dev/null || { echo "deploy/registry/fetch.sh: Maven is missing: apt-get install maven" >&2; exit 1; }
rm -rf dist target
# -C checks what the repository itself claims; only SHA256SUMS below pins the archive.
# A connection that stands still is given up after a minute, Maven itself would wait for half an hour; -U: it remembers
# failures, and would not try again.
../retry.sh mvn -q -B -ntp -C -U -Dmaven.wagon.rto=60000 -Daether.connector.requestTimeout=60000 package
(cd target && sha256sum --quiet --strict -c ../SHA256SUMS) || {
  echo "deploy/registry/fetch.sh: the fetched archive is not that of SHA256SUMS" >&2
  exit 1
}
mkdir dist
tar -xzf target/*.tar.gz -C dist
cp SHA256SUMS dist/
rm -rf target
