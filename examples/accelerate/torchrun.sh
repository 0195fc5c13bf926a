#!/bin/bash
# Data parallelism on several machines by torchrun. Run it on each of them with its own NODE_RANK, 0 on the first:
#     NODES=2 NODE_RANK=0 MASTER_ADDR=ADDRESS_OF_THE_FIRST bash examples/accelerate/torchrun.sh examples/pretrain.py --config ...
# All machines need the same code, corpus and output folder, such as a shared file system. A process is started for each GPU.
set -e
exec torchrun --nnodes "${NODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "${PROCESSES:-gpu}" \
    --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}" "$@"
