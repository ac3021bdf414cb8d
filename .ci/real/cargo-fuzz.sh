#!/usr/bin/env bash
# Installs cargo-fuzz.
exec "$(dirname "$0")/cargo-tool.sh" cargo-fuzz 0.13.1
