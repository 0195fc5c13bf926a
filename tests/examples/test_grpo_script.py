# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/grpo.py: the script, its recipe, and rewards by their names."""

import importlib.util
import json
import re
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")
pytest.importorskip("pypinyin")

from peft import PeftConfig

from recipes.poems.rewards import prompts_of


REPO = Path(__file__).parents[2]
RECIPE = REPO / "examples" / "configs" / "poet_grpo.yaml"
SMALL = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_steps", "1", "--per_device_train_batch_size", "8"]
SMALL += ["--generation_kwargs", '{"steps": 2}', "--bf16", "false"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_grpo", REPO / "examples" / "grpo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_trains_an_adapter(script, poet_folder, tmp_path, capsys):
    path = tmp_path / "forms.jsonl"
    rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in prompts_of("七言绝句")[:4]]
    path.write_text("".join(rows), encoding="utf-8")
    start = ["--config", str(RECIPE), "--model_name_or_path", str(poet_folder), "--dataset_name", str(path)]
    script.main([*start, "--output_dir", str(tmp_path / "run"), *SMALL])
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == f"wrote {tmp_path / 'run'} at step 1"
    assert PeftConfig.from_pretrained(tmp_path / "run").r == 32


def test_help_names_flags_that_there_are(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help-all"])
    assert stopped.value.code == 0
    flags = set(re.findall(r"(--\w[\w-]*)", capsys.readouterr().out.split("options:")[1]))
    named = set(re.findall(r"(--\w[\w-]*)", script.__doc__.split("The flags that most runs need")[1]))
    assert named - flags == {"--config"} and len(named) > 20


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "`reward_funcs` must name at least one function"),
        (["recipes.poems.rewards.nothing"], "but got 'recipes.poems.rewards.nothing': module .* has no attribute"),
        (["no_such_module.reward"], "but got 'no_such_module.reward': No module named"),
        (["reward"], "but got 'reward'"),
    ],
)
def test_rewards_that_there_are_not(script, names, message):
    with pytest.raises(ValueError, match=message):
        script.read_rewards(names)
