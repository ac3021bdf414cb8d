#!/usr/bin/env bash
# Installs cargo-deny, which checks licences, sources and duplicate crates.
exec "$(dirname "$0")/cargo-tool.sh" cargo-deny 0.20.2
