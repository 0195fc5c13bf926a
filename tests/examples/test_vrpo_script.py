# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/vrpo.py: the script and its recipe."""

import importlib.util
import json
import re
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import PeftConfig
from support.vrpo_runs import PAIRS

from modeling_llada.training.sft.checks import PROJECTIONS
from modeling_llada.training.tuning_script import parse_arguments


REPO = Path(__file__).parents[2]
RECIPE = REPO / "examples" / "configs" / "poet_vrpo.yaml"
SMALL = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_steps", "2", "--eval_rows", "2", "--eval_steps", "2"]
SMALL += ["--per_device_train_batch_size", "4", "--num_noise_samples", "2", "--save_steps", "1"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_vrpo", REPO / "examples" / "vrpo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, poet_folder, tmp_path):
    """Runs the script with its recipe on the tiny poet and ten pairs, and returns the output folder."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in PAIRS), encoding="utf-8")

    def run(*arguments):
        start = ["--config", str(RECIPE), "--model_name_or_path", str(poet_folder), "--dataset_name", str(path)]
        script.main([*start, "--output_dir", str(tmp_path / "run"), *SMALL, *arguments])
        return tmp_path / "run"

    return run


def test_the_recipe_trains_an_adapter_and_goes_on(run, capsys):
    folder = run()
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {folder} at step 2"
    assert set(PeftConfig.from_pretrained(folder).target_modules) == set(PROJECTIONS)
    with pytest.raises(ValueError, match="already holds the checkpoints of a run"):
        run()
    run("--max_steps", "3", "--resume_from_checkpoint", "true")
    log = json.loads((folder / "checkpoint-3" / "trainer_state.json").read_text())["log_history"]
    assert [entry["eval_rewards/margins"] for entry in log if "eval_rewards/margins" in entry] != [0.0]


def test_help_names_flags_that_there_are(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help-all"])
    assert stopped.value.code == 0
    flags = set(re.findall(r"(--\w[\w-]*)", capsys.readouterr().out.split("options:")[1]))
    named = set(re.findall(r"(--\w[\w-]*)", script.__doc__.split("The flags that most runs need")[1]))
    assert named - flags == {"--config"} and len(named) > 20


def test_errors_name_lines(script, poet_folder, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"prompt": "明", "chosen": "月", "rejected": "日"}\n{"prompt": "明", "chosen": "月", "rejected": "月"}\n'
    )
    with pytest.raises(ValueError, match=r"two different responses in each row, but 1 of 2 rows \(line 2\)"):
        flags = ["--model_name_or_path", str(poet_folder), "--dataset_name", str(path), "--use_cpu", "true"]
        script.main([*flags, "--output_dir", str(tmp_path / "run"), "--report_to", "none"])


def test_values_of_the_command_line(script):
    arguments = ["--model_name_or_path", "x", "--dataset_name", "x", "--use_cpu", "true", "--eos_fill", "2048"]
    arguments += ["--loss_type", "sigmoid", "sft", "--loss_weights", "1.0", "0.05", "--shared_noise", "false"]
    _, training, _ = script.parse(arguments)
    assert (training.eos_fill, training.shared_noise) == (2048, False)
    assert (training.loss_type, training.loss_weights) == (["sigmoid", "sft"], [1.0, 0.05])
    assert script.parse_arguments is parse_arguments
