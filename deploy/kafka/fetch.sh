#!/usr/bin/env bash
# Fetches a real Apache Kafka as jars into libs/ and holds every byte against SHA256SUMS. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")"

intact() {
  [ -d libs ] && diff -q <(cd libs && LC_ALL=C ls) <(awk '{print $2}' SHA256SUMS | LC_ALL=C sort) >/dev/null &&
    (cd libs && sha256sum --quiet --strict -c ../SHA256SUMS >/dev/null 2>&1)
}

if intact; then exit 0; fi
command -v mvn >/dev/null || { echo "deploy/kafka/fetch.sh: Maven is missing: apt-get install maven" >&2; exit 1; }
rm -rf libs
# -C checks what the repository itself claims; only SHA256SUMS below pins the jars.
# A connection that stands still is given up after a minute, Maven itself would wait for half an hour; -U: it remembers
# failures, and would not try again.
../retry.sh mvn -q -B -ntp -C -U -Dmaven.wagon.rto=60000 -Daether.connector.requestTimeout=60000 package
intact || {
  echo "deploy/kafka/fetch.sh: the fetched jars are not those of SHA256SUMS:" >&2
  diff <(cd libs && LC_ALL=C ls) <(awk '{print $2}' SHA256SUMS | LC_ALL=C sort) >&2 || true
  (cd libs && sha256sum --quiet --strict -c ../SHA256SUMS) >&2 || true
  exit 1
}
