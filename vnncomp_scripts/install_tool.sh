#!/bin/bash
# VNN-COMP: install the tool. Usage: install_tool.sh v1
set -euo pipefail
[ "${1:-}" = "v1" ] || { echo "expected first argument (version) 'v1', got '${1:-}'" >&2; exit 1; }
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python3 -m venv "$here/.venv"
"$here/.venv/bin/python" -m pip install --upgrade pip
"$here/.venv/bin/python" -m pip install -c "$here/constraints.txt" "$here"
"$here/.venv/bin/netproof" --version
