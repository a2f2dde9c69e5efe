#!/bin/bash
# VNN-COMP: run an instance. Usage: run_instance.sh v1 BENCHMARK NETWORK PROPERTY RESULTS SECONDS
# NETWORK is a file or, for a query in VNN-LIB 2.0, [('f', 'one.onnx'), ('g', 'other.onnx')].
# RESULTS gets one line with the verdict (sat, unsat, timeout, unknown, error), and the counterexample after sat.
set -uo pipefail
[ "${1:-}" = "v1" ] || { echo "expected first argument (version) 'v1', got '${1:-}'" >&2; exit 1; }
network="${3:?the network}"
property="${4:?the property}"
results="${5:?the file for the result}"
seconds="${6:?the time limit}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
netproof="$here/.venv/bin/netproof"
[ -x "$netproof" ] || netproof=netproof
case "$network" in "["*) ;; *) [ -e "$network" ] || network="$network.gz" ;; esac
[ -e "$property" ] || property="$property.gz"
# The limit is for everything, start-up included.
limit="$(awk -v s="$seconds" 'BEGIN { l = s - 3; print (l > 1 ? l : 1) }')"
"$netproof" verify "$network" "$property" --timeout "$limit" --threads "${NETPROOF_THREADS:-$(nproc)}" \
    --competition "$results"
status=$?
[ "$status" -eq 0 ] || echo error > "$results"
exit "$status"
