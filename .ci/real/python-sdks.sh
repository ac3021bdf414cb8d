#!/usr/bin/env bash
# Installs the Python SDKs and pytest; prints the path of a Python that has them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pins=$real/python-sdks/requirements.txt
pinned "$pins" "openai==$OPENAI_PYTHON"
pinned "$pins" "anthropic==$ANTHROPIC_PYTHON"
pinned "$pins" "pytest==$PYTEST"

need python3 python3
python3 - "$PYTHON_MIN" <<'PY' || fail "Python $PYTHON_MIN or newer is needed"
import sys
sys.exit(sys.version_info[:2] < tuple(map(int, sys.argv[1].split("."))))
PY
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"

install() {
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --no-deps --requirement "$pins"
    "$folder/bin/python" -m pip check
}

version=$(python3 -c 'import sys; print(sys.version, sys.base_prefix)')
folder=$cache/python-sdks/$(digest "$version" "$pins")
install_once "$folder" install
echo "$folder/bin/python"
