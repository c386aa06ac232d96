#!/usr/bin/env bash
# Makes a bare machine fit for `make test`: what is missing is installed where that is allowed, else named.
#   setup.sh go     a Go that can read go.work
#   setup.sh all    and: a C compiler (-race needs cgo), PostgreSQL, Chromium, Java, Maven, kcat, Python with the packages of
#                   deploy/python/requirements.txt, a real Kafka and a real schema registry
set -euo pipefail
cd "$(dirname "$0")/.."

fetch() { deploy/retry.sh "$@"; }
apt=(-o Acquire::Retries=3 -o Acquire::http::Timeout=60 -o Acquire::https::Timeout=60 -o DPkg::Lock::Timeout=300)

# need WHAT PACKAGE...: the packages are installed as root with apt, else their absence is a clear failure.
need() {
  local what=$1
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: $what is missing; install it, on Debian: apt-get install $*" >&2
    exit 1
  fi
  echo "setup: $what is missing, installing $*"
  [ -n "${apt_updated:-}" ] || { fetch apt-get "${apt[@]}" update -qq; apt_updated=1; }
  # apt-get update calls it a success when an index did not come: it is asked for again before the next try.
  DEBIAN_FRONTEND=noninteractive fetch bash -c '"$@" || { apt-get '"${apt[*]}"' update -qq; exit 1; }' install \
    apt-get "${apt[@]}" install -y -qq --no-install-recommends "$@" >/dev/null
}

has_postgres() {
  command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
    { command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]; }
}

has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

java_version() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1; }

command -v go >/dev/null || { echo "setup: Go is missing: https://go.dev/dl, version $(awk '/^go /{print $2}' go.work) or newer" >&2; exit 1; }
fetch go work edit -json >/dev/null # an older go fetches the one that go.work asks for
download() { GOWORK=off fetch go -C "$1" mod download; }
download pkg
download services

[ "${1:-all}" = all ] || exit 0
download deploy/tools

command -v gcc >/dev/null || need "a C compiler (for go test -race)" gcc libc6-dev
has_postgres || need "PostgreSQL" postgresql
has_postgres || { echo "setup: PostgreSQL was installed, but there is no initdb" >&2; exit 1; }
has_chromium || need "Chromium (the console's pages are tested in it)" chromium fonts-dejavu-core fonts-noto-cjk
has_chromium || { echo "setup: Chromium was installed, but there is no program of that name" >&2; exit 1; }
command -v java >/dev/null && [ "$(java_version)" -ge 17 ] || need "Java 17 or newer (for Apache Kafka)" default-jre-headless
[ "$(java_version)" -ge 17 ] || { echo "setup: java is version $(java_version), Apache Kafka needs 17: set PATH to a newer one" >&2; exit 1; }
command -v mvn >/dev/null || need "Maven (fetches Apache Kafka and Apicurio Registry)" maven
command -v kcat >/dev/null || need "kcat (reads orders.v1 as analysts may)" kcat
deploy/kafka/fetch.sh
deploy/registry/fetch.sh
python3 -c 'import venv, ensurepip' 2>/dev/null || need "Python with venv (reads orders.v1 as analysts may)" python3 python3-venv
deploy/python/install.sh
