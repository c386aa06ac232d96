#!/usr/bin/env bash
# Puts the packages of requirements.txt, each held against its hash, into the virtual environment venv/ beside this file. Does
# nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")"

if [ -x venv/bin/python ] && cmp -s requirements.txt venv/installed.txt && venv/bin/python -c 'import confluent_kafka, duckdb, fastavro, pytz' 2>/dev/null; then exit 0; fi
command -v python3 >/dev/null || { echo "deploy/python/install.sh: Python is missing: apt-get install python3 python3-venv" >&2; exit 1; }
rm -rf venv
python3 -m venv venv
../retry.sh venv/bin/pip install --timeout 60 --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements.txt || {
  echo "deploy/python/install.sh: the packages of requirements.txt cannot be installed for $(python3 --version) on $(uname -m): they are pinned for Python 3.11 to 3.13, and come from the index that pip is set up for" >&2
  exit 1
}
cp requirements.txt venv/installed.txt
