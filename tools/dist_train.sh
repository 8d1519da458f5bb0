#!/usr/bin/env bash
# Trains with several processes on this machine: one per GPU, or on the CPU where there is none.
#   tools/dist_train.sh CONFIG PROCESSES [arguments of paco-seg train]
# NNODES, NODE_RANK, MASTER_ADDR and PORT join several machines; PORT also separates two jobs.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4s/^# \?//p' "$0" >&2; exit 2; fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    -m paco_seg train "$1" --launcher pytorch "${@:3}"
