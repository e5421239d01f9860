#!/usr/bin/env bash
# Train on all GPUs of one machine, or on its CPU where it has none:
#
#   training/launch/single_node.sh paper --store /data/ct-rate-store --output runs/paper
#
# Stop it with Ctrl-C or SIGTERM: it saves at the end of the step. The same command goes on, on any number of GPUs.
# A process that dies is started again, up to RESTARTS times, from the last checkpoint.
set -euo pipefail
# torchrun kills after 30 s what it has asked to stop: too soon for a long step and a large checkpoint.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-240}"
processes=$(python -c 'import torch; print(max(torch.cuda.device_count(), 1))')
exec torchrun --standalone --nproc-per-node "${PROCESSES:-$processes}" --max-restarts "${RESTARTS:-3}" \
    -m simcrop_training.cli run "$@"
