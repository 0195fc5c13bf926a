# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/sft.py with images: the three stages of LLaDA-V, one after the other, from their recipes."""

import importlib.util
import json
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from support.golden_v import golden_image
from support.vision_runs import golden_model, golden_processor

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor


REPO = Path(__file__).parents[2]
CONFIGS = REPO / "examples" / "configs" / "llada_v"
CPU = ["--use_cpu", "true", "--disable_tqdm", "true", "--gradient_checkpointing", "false", "--max_steps", "1"]
CPU += ["--dataloader_num_workers", "0", "--gradient_accumulation_steps", "1", "--per_device_train_batch_size", "2"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_sft", REPO / "examples" / "sft.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_values(script):
    stages = {}
    for number in (1, 2, 3):
        _, training, _ = script.parse(["--config", str(CONFIGS / f"stage{number}.yaml"), "--use_cpu", "true"])
        stages[number] = training
    assert [stage.learning_rate for stage in stages.values()] == [1e-3, 1e-5, 1e-5]
    assert [stage.vision_tower_learning_rate for stage in stages.values()] == [None, 2e-6, 2e-6]
    assert [len(stage.trained_parts) for stage in stages.values()] == [1, 3, 3]
    assert {(stage.warmup_steps, stage.weight_decay, stage.max_length) for stage in stages.values()} == {
        (0.03, 0, 8192)
    }


def test_the_stages_follow_each_other(script, tmp_path):
    """Each starts from the folder of the one before, and its folder says how images become features."""
    golden_model().save_pretrained(tmp_path / "start")
    golden_processor().save_pretrained(tmp_path / "start")
    for name in "AB":
        golden_image(name).save(tmp_path / f"{name}.png")
    talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A square."}]
    rows = [{"id": name, "image": f"{name}.png", "conversations": talk} for name in "AB"]
    (tmp_path / "rows.json").write_text(json.dumps(rows))

    model, made = tmp_path / "start", {}
    for number in (1, 2, 3):
        output = tmp_path / f"stage{number}"
        files = ["--model_name_or_path", str(model), "--output_dir", str(output)]
        files += ["--dataset_name", str(tmp_path / "rows.json"), "--image_folder", str(tmp_path)]
        script.main(["--config", str(CONFIGS / f"stage{number}.yaml"), *files, *CPU])
        processor = LLaDAVProcessor.from_pretrained(output)
        config = LLaDAVForConditionalGeneration.from_pretrained(output).config
        made[number] = (
            config.patch_merge_type,
            processor.patch_merge_type,
            processor.image_processor.image_aspect_ratio,
        )
        model = output
    assert made == {1: ("flat", "flat", "square")} | dict.fromkeys((2, 3), ("spatial_unpad", "spatial_unpad", None))
