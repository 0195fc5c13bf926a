# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/pretrain.py on two machines, by the files of examples/accelerate. Both machines are this one, without GPUs."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.pretraining_runs import SCRIPT, run_script
from support.token_folder import made_up_documents, write_token_folder


REPO = Path(__file__).parents[2]
NUM_DOCUMENTS = 300
SETTINGS = [
    *(
        "model.hidden_size=32",
        "model.num_hidden_layers=2",
        "model.num_attention_heads=2",
        "model.num_key_value_heads=2",
    ),
    *(
        "model.intermediate_size=48",
        "training.use_cpu=true",
        "training.tokens_per_step=512",
        "training.warmup_steps=1",
    ),
    *("training.optim=sgd", "training.learning_rate=0.1", "training.logging_steps=1", "training.eval_strategy='no'"),
    *("training.save_steps=2", "eval_width=32", "phases.0.entries.0.width=32"),
]
# What Slurm would do: name the machines, and run the command on each.
SCONTROL = "#!/bin/bash\necho 127.0.0.1\necho 127.0.0.1\n"
SRUN = """#!/bin/bash
shift
for node in 0 1; do SLURM_NODEID=$node "$@" > "$SRUN_OUTPUT/$node.txt" 2>&1 & jobs="$jobs $!"; done
for job in $jobs; do wait "$job" || exit 1; done
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "tokens"
    documents = {"train": made_up_documents(NUM_DOCUMENTS), "validation": made_up_documents(60, seed=1)}
    return write_token_folder(folder, **documents)


def arguments(folder, output_dir, *more) -> list:
    options = ["--config", REPO / "examples/configs/text.yaml", "--corpus", folder, "--max-steps", 4]
    return [*options, "--output-dir", output_dir, *more, "--set", *SETTINGS]


@pytest.fixture(scope="module")
def one(folder, tmp_path_factory):
    """What a process by itself trains."""
    output_dir = tmp_path_factory.mktemp("one")
    run_script(*arguments(folder, output_dir / "one"))
    return output_dir / "one"


@pytest.fixture
def environment(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"MASTER_PORT": str(port), "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "CI": "1", "PATH": path}
    return os.environ | own


def start(command, environment, **more) -> subprocess.Popen:
    options = {"cwd": REPO, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([str(part) for part in command], env=environment | more, **options)


def wait(*processes) -> None:
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(output[-3000:] for output in outputs)


def losses(folder) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "training_log.json").read_text()) if "loss" in entry]


def largest_difference(first, second) -> float:
    weights = [load_file(folder / "final" / "model.safetensors") for folder in (first, second)]
    return max((weights[0][name].float() - weights[1][name].float()).abs().max().item() for name in weights[0])


@pytest.fixture
def submit(folder, environment, tmp_path):
    """Runs examples/accelerate/slurm.sh as Slurm would do it."""
    for name, script in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_NODELIST": ""}
    slurm |= {"PATH": f"{tmp_path}:{environment['PATH']}", "SRUN_OUTPUT": str(tmp_path)}

    def run(strategy, *options):
        sharded = [REPO / "tests/support/fsdp_on_cpu.py"] if strategy == "fsdp2" else []
        launch = ["bash", REPO / "examples/accelerate/slurm.sh", *sharded, SCRIPT]
        command = [*launch, *arguments(folder, tmp_path / "two", *options)]
        wait(start(command, environment, **slurm, STRATEGY=strategy))

    return run


def assert_same_run(two, one):
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert largest_difference(two, one) < 1e-2  # bfloat16


@pytest.mark.slow
def test_two_machines_by_torchrun(folder, one, environment, tmp_path):
    command = ["bash", REPO / "examples/accelerate/torchrun.sh", SCRIPT, *arguments(folder, tmp_path / "two")]
    ranks = [{"NODES": "2", "NODE_RANK": str(rank), "PROCESSES": "1"} for rank in (0, 1)]
    wait(*(start(command, environment, **rank) for rank in ranks))
    assert (tmp_path / "two" / "checkpoint-4" / "rng_state_1.pth").exists(), "there were two"
    assert_same_run(tmp_path / "two", one)


@pytest.mark.slow
def test_two_machines_by_slurm(submit, one, tmp_path):
    submit("ddp")
    assert (tmp_path / "two" / "checkpoint-4" / "rng_state_1.pth").exists(), "there were two"
    assert_same_run(tmp_path / "two", one)


@pytest.mark.slow
def test_shards_on_two_machines(submit, one, tmp_path):
    """They stop at the first step, and go on."""
    submit("fsdp2", "--max-minutes", "1e-9")
    assert losses(tmp_path / "two") == pytest.approx(losses(one)[:1], rel=1e-4)
    assert (tmp_path / "two" / "checkpoint-1" / "optimizer_0").exists()
    submit("fsdp2", "--resume")
    assert_same_run(tmp_path / "two", one)
