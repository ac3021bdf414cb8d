#!/usr/bin/env bash
# Installs a tool from crates.io into the cache, once for each version: cargo-tool.sh NAME VERSION
set -euo pipefail
name=$1 version=$2
root="${XDG_CACHE_HOME:-$HOME/.cache}/llm-gateway-ci/$name"
if [ "$("$root/bin/$name" --version 2>/dev/null | awk '{print $NF}')" != "$version" ]; then
  echo "installing $name $version, once" >&2
  cargo install --quiet --locked --root "$root" --force "$name@$version"
fi
