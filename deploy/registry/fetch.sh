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
mvn -q -B -ntp -C package
(cd target && sha256sum --quiet --strict -c ../SHA256SUMS) || {
  echo "deploy/registry/fetch.sh: the fetched archive is not that of SHA256SUMS" >&2
  exit 1
}
mkdir dist
tar -xzf target/*.tar.gz -C dist
cp SHA256SUMS dist/
rm -rf target
