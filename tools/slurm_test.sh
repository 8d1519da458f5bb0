#!/usr/bin/env bash
# Tests on a Slurm cluster.
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of paco-seg test]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS describe the job.
set -euo pipefail
if [ $# -lt 4 ]; then sed -n '2,4s/^# \?//p' "$0" >&2; exit 2; fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-4}

# SRUN_ARGS holds several words.
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" srun -p "$1" \
    --job-name="$2" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u -m paco_seg test "$3" "$4" --launcher slurm "${@:5}"
