# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/sft.py: the script, its recipe, and the configurations of accelerate."""

import importlib.util
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType
from datasets import DatasetDict
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from support.sft_runs import MESSAGES, POEMS, largest_difference
from support.tiny_llada2 import tiny_llada2
from transformers import AutoModelForMaskedLM, AutoTokenizer

from modeling_llada import LLaDA2MoeForMaskedLM, LLaDAForMaskedLM
from modeling_llada.training.sft.checks import PROJECTIONS
from modeling_llada.training.sft.formats import read_rows
from modeling_llada.training.tuning_script import adapter_config, load_rows, token_ids


REPO = Path(__file__).parents[2]
RECIPE = REPO / "examples" / "configs" / "poet_instruct.yaml"
TEMPLATE = REPO / "recipes" / "poems" / "instruct_template.jinja"
CPU = ["--use_cpu", "true", "--disable_tqdm", "true", "--report_to", "none", "--gradient_checkpointing", "false"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_sft", REPO / "examples" / "sft.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def quiet():
    """The script sets the level of the package."""
    logger = logging.getLogger("modeling_llada")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def jsonl(tmp_path):
    """Instructions with columns that are not trained on, among them one whose values have no common type."""
    path = tmp_path / "train.jsonl"
    checks = [{"lines": 2}, {"heads": ["a", "b"]}] * 5
    rows = [row | {"task": "next", "check": check} for row, check in zip(MESSAGES, checks, strict=True)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def run(script, poet_folder, tmp_path, jsonl):
    """Runs the script on the tiny poet, with the recipe or without, and returns the output folder."""

    def run(*arguments, output="run", dataset=jsonl, recipe=False):
        start = ["--config", str(RECIPE)] if recipe else []
        start += ["--model_name_or_path", str(poet_folder), "--dataset_name", str(dataset), "--seed", "3"]
        start += ["--per_device_train_batch_size", "4", "--learning_rate", "1e-2"]
        script.main([*start, "--output_dir", str(tmp_path / output), *CPU, *map(str, arguments)])
        return tmp_path / output

    return run


def weights(folder):
    return load_file(next(folder.glob("*.safetensors")))


class TestRecipe:
    def test_trains_an_adapter(self, run, poet_folder, capsys, monkeypatch):
        monkeypatch.chdir(REPO)  # the recipe names the template from there
        folder = run("--max_steps", 2, "--eval_rows", 3, "--sample_kwargs", '{"max_new_tokens": 7}', recipe=True)
        assert capsys.readouterr().out.splitlines()[-1] == f"wrote {folder} at step 2"
        config = PeftConfig.from_pretrained(folder)
        assert set(config.target_modules) == set(PROJECTIONS) and config.r == 32
        assert {weight.dtype for weight in weights(folder).values()} == {torch.bfloat16}
        assert AutoTokenizer.from_pretrained(folder).chat_template == TEMPLATE.read_text(encoding="utf-8")
        tokens = weights(folder)["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"]
        assert len(tokens) == len(config.trainable_token_indices) == 103
        before = LLaDAForMaskedLM.from_pretrained(poet_folder)
        merged = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(poet_folder), folder).merge_and_unload()
        changed = (merged.lm_head.weight != before.lm_head.weight).any(1).nonzero().flatten().tolist()
        assert set(changed) <= set(config.trainable_token_indices) and changed, "the head is tied to these rows"
        steps = [json.loads(line)["step"] for line in (folder / "samples.jsonl").read_text().splitlines()]
        assert steps == [0, 0, 0], "sampled before the first step"

    def test_adapter_is_at_most_4_mb_and_has_the_rows_of_english(self, script):
        from peft import get_peft_model

        checkpoint = REPO / "checkpoints" / "llada-poet"
        _, _, model = script.parse(["--config", str(RECIPE), "--use_cpu", "true"])
        config = adapter_config(model)
        config.target_modules = set(PROJECTIONS)
        tokens = AutoTokenizer.from_pretrained(checkpoint).convert_ids_to_tokens(config.trainable_token_indices)
        assert set(map(chr, range(32, 127))) <= set(tokens) <= {*map(chr, range(32, 127)), *"“”‘’…—（）"}
        adapted = get_peft_model(LLaDAForMaskedLM.from_pretrained(checkpoint), config)
        trained, _ = adapted.get_nb_trainable_parameters()
        assert 2 * trained <= 4e6, "in bfloat16"


class TestRuns:
    def test_all_weights(self, run, poet_folder):
        folder = run("--max_steps", 1)
        AutoTokenizer.from_pretrained(folder)
        trained, before = (LLaDAForMaskedLM.from_pretrained(path).state_dict() for path in (folder, poet_folder))
        assert all((trained[name] != before[name]).any() for name in before)

    def test_packed_rows(self, run):
        """A batch of four rows of 64 tokens holds all ten documents; one each, there are three batches."""
        options = ["--max_length", 64, "--save_steps", 1, "--lr_scheduler_type", "constant", "--max_steps", 1]
        folders = run("--packing", "true", *options, output="packed"), run(*options, output="plain")
        states = [json.loads((folder / "checkpoint-1" / "trainer_state.json").read_text()) for folder in folders]
        assert [state["epoch"] for state in states] == [1, pytest.approx(1 / 3)]

    def test_resume_from_the_last_complete_checkpoint(self, run, caplog):
        options = ["--save_steps", 1, "--lr_scheduler_type", "constant", "--resume_from_checkpoint", "true"]
        whole = run("--max_steps", 4, *options, output="whole")
        (run("--max_steps", 2, *options, output="pieces") / "checkpoint-2" / "optimizer.pt").write_bytes(b"")
        pieces = run("--max_steps", 4, *options, output="pieces")
        assert largest_difference(weights(whole), weights(pieces)) < 1e-6
        assert "checkpoint-2 is no complete checkpoint and is skipped: optimizer.pt is damaged." in caplog.text
        log = json.loads((pieces / "checkpoint-4" / "trainer_state.json").read_text())
        assert log["global_step"] == 4 and not (pieces / "checkpoint-5").exists()

    def test_a_folder_with_checkpoints_is_not_written_over(self, run):
        """Also if it cannot be resumed."""
        run("--max_steps", 1, "--save_steps", 1, "--save_only_model", "true")
        with pytest.raises(ValueError, match="checkpoint-1 the last. .*--resume_from_checkpoint true"):
            run("--max_steps", 1)

    def test_dora(self, run):
        folder = run(
            "--max_steps", 1, "--use_peft", "--use_dora", "true", "--lora_r", 2, "--lora_target_modules", "q_proj"
        )
        assert any(name.endswith(".lora_magnitude_vector") for name in weights(folder))
        assert all(".q_proj." in name for name in weights(folder))


class TestData:
    def parse(self, script, *arguments):
        return script.parse(["--model_name_or_path", "x", *CPU, *map(str, arguments)])[:2]

    def test_jsonl_and_held_out_rows(self, script, jsonl):
        train, held_out = load_rows(*self.parse(script, "--dataset_name", jsonl, "--eval_rows", 3))
        assert (len(train), len(held_out)) == (7, 3)
        questions = [row["messages"][0]["content"] for part in (train, held_out) for row in part]
        assert sorted(questions) == sorted(question for question, _ in POEMS)

    def test_saved_splits(self, script, tmp_path):
        DatasetDict(train=MESSAGES, dev=MESSAGES.select([0])).save_to_disk(tmp_path / "saved")
        options = ["--dataset_name", tmp_path / "saved"]
        assert load_rows(*self.parse(script, *options))[1] is None, "nothing asks for it"
        options += ["--eval_strategy", "steps", "--eval_steps", "1", "--dataset_test_split", "dev"]
        train, held_out = load_rows(*self.parse(script, *options))
        assert (len(train), len(held_out)) == (10, 1)

    def test_evaluation_file(self, script, jsonl, tmp_path):
        MESSAGES.select([1, 2]).to_parquet(tmp_path / "test.parquet")
        options = ["--dataset_name", jsonl, "--eval_dataset_name", tmp_path / "test.parquet"]
        train, held_out = load_rows(*self.parse(script, *options))
        assert (len(train), len(held_out)) == (10, 2)

    def test_more_rows_held_out_than_there_are(self, script, jsonl):
        with pytest.raises(ValueError, match="`eval_rows` must leave rows to train on, but got 10 of 10"):
            load_rows(*self.parse(script, "--dataset_name", jsonl, "--eval_rows", 10))

    def test_no_evaluation_rows(self, script, jsonl):
        options = self.parse(script, "--dataset_name", jsonl, "--eval_strategy", "steps", "--eval_steps", 1)
        with pytest.raises(ValueError, match="`dataset_test_split` must be one of .*--eval_rows"):
            load_rows(*options)

    def test_files_that_cannot_be_read(self, script, tmp_path):
        (tmp_path / "rows.jsonl").write_text('{"text": "明月"}\n{"text": \n', encoding="utf-8")
        with pytest.raises(ValueError, match="line 2 of .*rows.jsonl is not JSON"):
            load_rows(*self.parse(script, "--dataset_name", tmp_path / "rows.jsonl"))
        options = ["--dataset_name", tmp_path / "rows.jsonl", "--eval_dataset_name", "nope.json"]
        (tmp_path / "rows.jsonl").write_text('{"text": "明月"}\n', encoding="utf-8")
        with pytest.raises(ValueError, match="`eval_dataset_name` must be a file that exists, .*nope.json"):
            load_rows(*self.parse(script, *options))

    def test_errors_name_lines_after_rows_were_held_out(self, script, tmp_path):
        lines = ['{"instruction": "明", "output": "月"}\n'] * 9
        lines[6] = '{"instruction": "明", "output": " "}\n'
        (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
        data, training = self.parse(script, "--dataset_name", tmp_path / "rows.jsonl", "--eval_rows", 2)
        train, _ = load_rows(data, training)
        with pytest.raises(ValueError, match=r"not empty, but 1 of 7 rows \(line 7\)"):
            read_rows(train, "train_dataset", training)


class TestArguments:
    def test_help_lists_flags_that_there_are(self, script, capsys):
        with pytest.raises(SystemExit) as stopped:
            script.main(["--help-all"])
        assert stopped.value.code == 0
        flags = set(re.findall(r"(--\w[\w-]*)", capsys.readouterr().out.split("options:")[1]))
        assert {"--use_dora", "--trainable_token_indices", "--dataset_format"} <= flags
        named = set(re.findall(r"(--\w[\w-]*)", script.__doc__.split("The flags that most runs need")[1]))
        assert named - flags == {"--config"} and len(named) > 20

    def test_help_is_short_and_loads_no_torch(self):
        command = [sys.executable, "-X", "importtime", str(REPO / "examples" / "sft.py"), "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "    python examples/sft.py --config examples/configs/poet_instruct.yaml" in shown.stdout
        assert len(shown.stdout.splitlines()) < 60 and "torch" not in shown.stderr

    @pytest.mark.parametrize(
        ("content", "message"),
        [("max_steps: [1", "the file of `--config` is not YAML"), ("lora_ra: 1", "Did you mean --lora_r?")],
    )
    def test_a_config_that_cannot_be_read(self, script, tmp_path, capsys, content, message):
        (tmp_path / "run.yaml").write_text(content)
        with pytest.raises(SystemExit):
            script.parse([f"--config={tmp_path / 'run.yaml'}"])
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--dataset_name", "x"], "`--model_name_or_path` is needed"),
            (["--model_name_or_path", "x"], "`--dataset_name` is needed"),
            (["--model_name_or_path", "x", "--dataset_name", "x", "--eval_rows", "0"], "must be positive, but got 0"),
            (["--model_name_or_path", "x", "--dataset_name", "x", "--trainable_token_indices", "5"], "--use_peft"),
            (["--model_name_or_path", "x", "--dataset_name", "x", "--adapter_dtype", "bfloat16"], "--use_peft"),
            (
                ["--learning_rat", "1", "--use_peftt", "true"],
                "unrecognized arguments: --use_peftt true. Did you mean --use_peft?",
            ),
            (["--config"], "argument --config: expected one argument"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_bad_arguments(self, script, capsys, arguments, message):
        with pytest.raises(SystemExit):
            script.parse([*CPU, *arguments])
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(("part", "ids"), [("7", [7]), (7, [7]), ("8-10", [8, 9, 10])])
    def test_token_ids(self, part, ids):
        assert list(token_ids(part)) == ids

    @pytest.mark.parametrize("part", ["", "a", "-3", "9-8", "1-2-3"])
    def test_bad_token_ids(self, part):
        with pytest.raises(ValueError, match="`trainable_token_indices` must be ids and ranges"):
            token_ids(part)


class TestAccelerate:
    def test_two_processes_equal_one(self, run, poet_folder, jsonl, tmp_path):
        options = ["--max_steps", "2", "--use_peft", "--optim", "sgd", "--lora_dropout", "0", "--sample_every", "1"]
        options += ["--sample_prompts", "明月", "--ddp_find_unused_parameters", "false", "--save_steps", "1"]
        one = run(*options, output="one")
        launch = [sys.executable, "-m", "accelerate.commands.launch"]
        launch += ["--config_file", str(REPO / "examples" / "accelerate" / "ddp.yaml"), "--main_process_port", "0"]
        command = [*launch, str(REPO / "examples" / "sft.py"), *CPU, *options]
        command += ["--model_name_or_path", str(poet_folder), "--dataset_name", str(jsonl), "--seed", "3"]
        command += ["--per_device_train_batch_size", "2", "--learning_rate", "1e-2"]
        finished = subprocess.run(
            [*command, "--output_dir", str(tmp_path / "two")],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO), "CI": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr[-5000:]
        assert finished.stdout.splitlines()[-1] == f"wrote {tmp_path / 'two'} at step 2"
        assert (tmp_path / "two" / "checkpoint-2" / "rng_state_1.pth").exists(), "there were two"
        assert largest_difference(weights(one), weights(tmp_path / "two")) < 1e-6
        assert (one / "samples.jsonl").read_text() == (tmp_path / "two" / "samples.jsonl").read_text()

    @pytest.mark.parametrize(
        ("name", "kind"), [("ddp", DistributedType.MULTI_GPU), ("fsdp2", DistributedType.FSDP)], ids=["ddp", "fsdp2"]
    )
    def test_files_are_read(self, name, kind):
        config = load_config_from_file(str(REPO / "examples" / "accelerate" / f"{name}.yaml"))
        assert config.distributed_type == kind and config.num_processes == 2
        if name == "fsdp2":
            assert config.fsdp_config["fsdp_version"] == 2
            assert config.fsdp_config["fsdp_auto_wrap_policy"] == "TRANSFORMER_BASED_WRAP"
            assert LLaDAForMaskedLM._no_split_modules, "the layers that are wrapped"


def test_the_recipe_of_llada2(run, tmp_path, poet_folder):
    """One step with the published values, on a tiny model and short rows."""
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    special = {name: getattr(tokenizer, name) for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
    tiny_llada2(vocab_size=len(tokenizer), **special).save_pretrained(tmp_path / "llada2")
    tokenizer.save_pretrained(tmp_path / "llada2")
    small = ["--model_name_or_path", tmp_path / "llada2", "--max_length", 40, "--eos_fill", 40, "--max_steps", 1]
    folder = run("--config", RECIPE.parent / "llada2.yaml", *small, "--dtype", "float32")
    saved = AutoModelForMaskedLM.from_pretrained(folder)
    assert isinstance(saved, LLaDA2MoeForMaskedLM) and saved.generation_config.block_length == 32
    args = torch.load(next(folder.glob("checkpoint-1/training_args.bin")), weights_only=False)
    assert (args.rate_eps, args.rate_max, args.loss_weighting) == (0.3, 0.8, "none")
    assert (args.block_length, args.weight_decay, args.lr_scheduler_type) == (32, 0.1, "cosine")


@pytest.mark.parametrize("file", ["docs/training.md", "examples/configs/llada2.yaml"])
def test_the_command_of_the_recipe_of_llada2(file):
    """It says what the trainers refuse to train without."""
    lines = re.sub(r"\\\n#? *", "", (REPO / file).read_text(encoding="utf-8")).splitlines()
    [command] = [line.lstrip("# ") for line in lines if "accelerate launch" in line and "llada2.yaml" in line]
    arguments = launch_command_parser().parse_args(shlex.split(command)[2:])
    assert arguments.training_script == "examples/sft.py" and "examples/accelerate/fsdp2.yaml" in arguments.config_file
    assert arguments.fsdp_cpu_ram_efficient_loading == "false"
