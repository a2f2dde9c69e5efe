#!/bin/bash
# VNN-COMP: prepare an instance. Usage: prepare_instance.sh v1 BENCHMARK NETWORK PROPERTY
# Nothing is converted; files that cannot be read make this script fail.
set -euo pipefail
[ "${1:-}" = "v1" ] || { echo "expected first argument (version) 'v1', got '${1:-}'" >&2; exit 1; }
network="${3:?the network}"
property="${4:?the property}"
# Several networks are named as Python writes a list of pairs: [('f', 'one.onnx'), ('g', 'other.onnx')]
case "$network" in
    "["*) mapfile -t networks < <(grep -oE "'[^']*\.onnx'|\"[^\"]*\.onnx\"" <<< "$network" | tr -d "'\"") ;;
    *) networks=("$network") ;;
esac
for file in "${networks[@]}" "$property"; do
    [ -r "$file" ] || [ -r "$file.gz" ] || { echo "cannot read $file" >&2; exit 1; }
done
