#!/bin/bash
# Data parallelism on several machines by Slurm. STRATEGY is ddp, or fsdp2 for a model that does not fit on one GPU:
#     STRATEGY=fsdp2 sbatch --nodes 8 examples/accelerate/slurm.sh examples/pretrain.py --config ... --resume
# With `--requeue`, a job that was preempted starts again, and goes on from its last checkpoint.
#SBATCH --job-name=llada
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --requeue
set -e
export STRATEGY="${STRATEGY:-ddp}" MASTER_PORT="${MASTER_PORT:-29500}"
MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
export MASTER_ADDR

# One launcher on each machine, which starts a process for each of its GPUs.
# shellcheck disable=SC2016  # the variables are those of the machine
srun --kill-on-bad-exit=1 bash -c 'accelerate launch --config_file "examples/accelerate/$STRATEGY.yaml" \
    --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" \
    --num_processes "$((SLURM_NNODES * ${SLURM_GPUS_ON_NODE:-8}))" \
    --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" "$@"' launch "$@"
