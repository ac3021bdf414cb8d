#!/usr/bin/env bash
# Makes sure that Debian packages are there: debian.sh PACKAGE[=COMMAND] ...
# A package is there if its command is, which has its name unless told. Installs what is missing if
# it may; otherwise says what to install. Two at a time wait for each other.
set -euo pipefail
# Seconds until another installation counts as stuck.
LOCK_SECONDS=600

look() {
  local argument
  missing=()
  for argument in "$@"; do
    command -v "${argument#*=}" >/dev/null || missing+=("${argument%%=*}")
  done
  [ ${#missing[@]} -gt 0 ] || exit 0
}

look "$@"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "please install: ${missing[*]}" >&2
  exit 69
fi
exec 9>/run/llm-gateway-ci.lock
flock 9
look "$@"
export DEBIAN_FRONTEND=noninteractive
options=(-qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout="$LOCK_SECONDS")
# What a package starts must not hold the lock.
apt-get "${options[@]}" update 9>&-
apt-get "${options[@]}" install -y --no-install-recommends "${missing[@]}" 9>&-
