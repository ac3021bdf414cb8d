#!/usr/bin/env bash
# Makes sure that Debian packages are there: debian.sh PACKAGE[=COMMAND] ...
# A package is there if its command is, which has its name unless told. Installs what is missing if
# it may; otherwise says what to install.
set -euo pipefail
missing=()
for argument in "$@"; do
  command -v "${argument#*=}" >/dev/null || missing+=("${argument%%=*}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "please install: ${missing[*]}" >&2
  exit 69
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
