# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/vision: the tower, the stages, the evaluation and the card, all in small."""

import copy
import json
import math
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from support.vision_archive import small_archive


for package in ("accelerate", "trl", "yaml"):
    pytest.importorskip(package, reason="the trainer needs it")

from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

from modeling_llada.training.sft.stages import part_of  # noqa: E402
from recipes.vision import evaluation, samples, tasks, tower  # noqa: E402
from recipes.vision.__main__ import main, parse_arguments  # noqa: E402
from recipes.vision.archive import Archive  # noqa: E402
from recipes.vision.build_tokenizer import build_tokenizer  # noqa: E402
from recipes.vision.dialogues import DIALOGUES  # noqa: E402
from recipes.vision.draw import held_out_style  # noqa: E402
from recipes.vision.feeding import BLOCK, MAX_BLOCKS, RowReader, in_other_light  # noqa: E402
from recipes.vision.optimizers import Muon, with_muon  # noqa: E402
from recipes.vision.rows import VisionRows  # noqa: E402
from recipes.vision.stages import Budget  # noqa: E402
from recipes.vision.training import load_recipe, make_model, read_budget  # noqa: E402


REPO = Path(__file__).parents[2]
CONFIG = REPO / "recipes/vision/vision.yaml"
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL = [
    *(f"model.{name}={value}" for name, value in SIZES.items()),
    *(f"model.vision_config.{name}={value}" for name, value in SIZES.items()),
    "model.vision_config.patch_size=16",
    "tower={batch_size: 16, num_lines: 8, warmup_steps: 1}",
    "training.per_device_train_batch_size=2",
    "training.dataloader_num_workers=0",
    "training.dataloader_prefetch_factor=null",
    "training.optim=adamw_torch",
    "training.logging_steps=1",
]
STEPS = "tower=2,1=1,2=2,3=1"
STAGES = ("tower", "1", "2", "3")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path, small = tmp_path_factory.mktemp("archive") / "vision.zip", small_archive()
    package = {"name": "shapes", "version": "1.0", "licence": "CC0", "source": "https://example.org"}
    Archive(small.emoji, small.pictures, small.words, small.fonts, {"packages": [package]}).save(path)
    return path


@pytest.fixture(scope="module")
def parts(archive):
    """A small model with random weights, and its processor."""
    torch.manual_seed(0)
    recipe = load_recipe(CONFIG, {"archive": str(archive)}, SMALL)
    return make_model(recipe, build_tokenizer(small_archive()))


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory):
    """The folder of a run of a few steps. Do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "vision"
    main(train_command(archive, folder, "--steps", STEPS))
    return folder


def train_command(archive, folder, *options):
    given = ["--archive", str(archive), "--output-dir", str(folder), "--device", "cpu", "--check-rows", "0"]
    return ["train", "--config", str(CONFIG), *given, "--set", *SMALL, *options]


class TestRows:
    def test_labels_are_the_answer_and_eos_up_to_the_end_of_the_canvas(self, archive, parts):
        processor = parts[1]
        row = VisionRows(archive, "train", 2, 10, makers={tasks.where: 1})[3]
        tokens, labels, images = RowReader(processor).example(row, Random(0))
        answer = [label for label in labels if label != -100]
        assert tokens[-len(answer) :] == answer and len(answer) % BLOCK == 0 and len(answer) <= BLOCK * MAX_BLOCKS
        text, end = processor.tokenizer.decode(answer).split("<|eot_id|>")
        assert text == row["answer"]
        assert set(end.split(processor.tokenizer.eos_token)) == {""}
        assert images["num_tiles"].shape == (len(row["images"]),)

    def test_there_is_an_image_token_for_each_feature(self, archive, parts):
        model, processor = parts
        rows = VisionRows(archive, "train", 2, 40)
        for index in range(6):
            inputs = RowReader(processor).prompt(rows[index])
            assert model(**inputs).logits.shape[:2] == inputs["input_ids"].shape  # a mismatch would be an error

    def test_blind_rows_have_grey_pictures_of_the_same_sizes(self, archive, parts):
        row = VisionRows(archive, "train", 2, 10)[0]
        seen, blind = (RowReader(parts[1], is_blind).prompt(row) for is_blind in (False, True))
        assert seen["pixel_values"][:, 0].std() > 0.05
        assert blind["pixel_values"][:, 0].abs().max() < 0.01  # others have padding
        assert torch.equal(seen["input_ids"], blind["input_ids"])

    def test_examples_are_what_the_processor_and_its_chat_template_write(self, archive, parts, monkeypatch):
        monkeypatch.setattr("recipes.vision.feeding.in_other_light", lambda picture, rng: picture)
        processor = parts[1]
        rows, reader = VisionRows(archive, "train", 2, 40, makers={**DIALOGUES, tasks.common: 9}), RowReader(processor)
        for index in range(12):
            row = rows[index]
            tokens, labels, images = reader.example(row, Random(0))
            whole = processor(
                text=processor.apply_chat_template(row["messages"], tokenize=False),
                images=[row["images"]],
                return_tensors="pt",
            )
            while tokens[-1] == processor.tokenizer.eos_token_id:
                tokens, labels = tokens[:-1], labels[:-1]
            assert processor.tokenizer.decode(tokens) == processor.tokenizer.decode(whole["input_ids"][0])
            assert all(torch.equal(images[name], whole[name]) for name in images)
            trained = processor.tokenizer.decode([label for label in labels if label != -100]).split("<|eot_id|>")
            assert trained == [message["content"][0]["text"] for message in row["messages"][1::2]] + [""]

    def test_light_changes_pictures_and_not_their_colours(self):
        red = Image.new("RGB", (9, 7), (215, 45, 45))
        seen = {in_other_light(red, Random(seed)).getpixel((4, 3)) for seed in range(20)}
        assert len(seen) > 10
        assert all(r > 150 and g < 100 and b < 100 for r, g, b in seen)


class TestTower:
    def test_loss_is_siglips(self):
        """By hand for two pictures and two texts: -log sigmoid of +-(t x.y + b), summed."""
        contrast = SimpleNamespace(log_scale=torch.tensor(math.log(10.0)), bias=torch.tensor(-10.0))
        pictures, texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        loss = tower.Contrast.loss(contrast, pictures, texts, torch.eye(2).bool())
        softplus = [math.log1p(math.exp(x)) for x in (-(10 - 10), 6 - 10, 0 - 10, -(8 - 10))]
        assert loss.item() == pytest.approx(sum(softplus), rel=1e-5)

    def test_training_never_sees_a_held_out_style(self):
        archive = small_archive()
        seen, held_out = tower.keep_emoji(archive, torch.device("cpu"))
        numbers = (held_out.captions[:, 0] // 3).tolist()
        assert numbers == [number for number in range(len(archive.emoji)) if held_out_style(archive, number)]
        assert len(seen.pictures) + len(held_out.pictures) == len(archive.pictures)
        picture = archive.picture(numbers[0], held_out_style(archive, numbers[0]))
        assert held_out.pictures[0].permute(1, 2, 0).numpy().tobytes() == picture.tobytes()
        emoji = archive.emoji[numbers[0]]
        assert seen.texts[3 * numbers[0] :][:3] == [emoji.en, f" {emoji.en}", emoji.zh]

    @pytest.mark.parametrize("kind", ("emoji", "line"))
    def test_views_differ_and_still_show_the_picture(self, kind):
        pictures = torch.zeros(6, 4, tower.SIDE, tower.SIDE, dtype=torch.uint8)
        pictures[:, :, 16:48, 16:48] = 255
        generator = torch.Generator().manual_seed(0)
        views = tower.draw_views(pictures, tower.SIZES[kind], 32, generator, kind == "line")
        assert views.shape == (6, 3, 32, 32) and views.abs().max() <= 1
        assert all((first - second).abs().mean() > 0.05 for first, second in zip(views, views[1:], strict=False))
        # More than the noise and the shades of the ground.
        assert (views.flatten(2).amax(-1) - views.flatten(2).amin(-1)).amax(-1).min() > 0.3

    def test_too_few_views_are_refused(self):
        with pytest.raises(ValueError, match="`tower.batch_size` must leave 8 views beside the lines, but got 8"):
            tower.TowerArguments(batch_size=8)

    def test_views_in_corners_share_their_ground_and_are_seen_apart(self):
        pictures = torch.zeros(8, 4, tower.SIDE, tower.SIDE, dtype=torch.uint8)  # nothing but ground
        generator = torch.Generator().manual_seed(0)
        views = tower.draw_views(pictures, tower.SIZES["corner"], 32, generator, on_ground=4)
        grounds = views.mean((2, 3))
        within, between = (grounds[0] - grounds[3]).abs().mean(), (grounds[0] - grounds[4]).abs().mean()
        assert within < 0.3 < between
        tiles = tower.join_corners(views)
        assert tiles.shape == (2, 3, 64, 64)
        assert torch.equal(tiles[1, :, :32, 32:], views[5]) and torch.equal(tiles[1, :, 32:, :32], views[6])
        # One feature for each 8 x 8 pixels: the corner of a feature is that of its pixels.
        features = tiles[:, :, ::8, ::8].flatten(2).transpose(1, 2)
        assert torch.equal(tower.split_corners(features)[5], views[5][:, ::8, ::8].flatten(1).T)

    def test_a_name_is_the_sum_of_its_tokens_and_a_picture_what_the_language_part_sees(self):
        model, processor = make_model(load_recipe(CONFIG, {}, SMALL), build_tokenizer(small_archive()))
        contrast = tower.Contrast(model.model, 8, processor.tokenizer.pad_token_id)
        texts = torch.tensor([[5, 6, 7], [5, 6, processor.tokenizer.pad_token_id]])
        sums, weight = contrast.sum_tokens(texts), model.model.embed_tokens.weight
        torch.testing.assert_close(sums, torch.stack([weight[5] + weight[6] + weight[7], weight[5] + weight[6]]))
        pixels = torch.rand(2, 3, 64, 64)
        features = model.model.get_tile_features(pixels)
        assert contrast.embed_pictures(features).shape == sums.shape == (2, 16)
        contrast.match_size(pixels)
        sizes = [one.pow(2).mean().sqrt() for one in (model.model.get_tile_features(pixels), weight)]
        torch.testing.assert_close(*sizes)

    def test_a_name_in_a_corner_is_its_tokens_and_those_of_the_place(self):
        """In English as at the beginning of a text, as within one, then in Chinese."""
        archive, tokenizer = small_archive(), build_tokenizer(small_archive())
        model, _ = make_model(load_recipe(CONFIG, {}, SMALL), tokenizer)
        args = tower.TowerArguments(batch_size=16, num_lines=8)
        training = tower.TowerTraining(model.model, tokenizer, archive, args, 0, torch.device("cpu"))
        contrast = training.contrast
        sums = training._at_corners_in_words(
            contrast.sum_tokens(training.names), contrast.sum_tokens(training.corners)
        )
        num_names, name = 3 * len(archive.emoji), archive.emoji[1]
        texts = [(name.en, "bottom left"), (f" {name.en}", " bottom left"), (name.zh, "左下")]
        for form, parts in enumerate(texts):
            tokens = [token for part in parts for token in tokenizer(part, add_special_tokens=False).input_ids]
            expected = model.model.embed_tokens.weight[tokens].sum(0)
            torch.testing.assert_close(sums[2 * num_names + 3 * 1 + form], expected)
        # The third view of a tile is at the bottom left.
        is_name = training._is_name(training.seen.captions[:4])
        is_at = training._at_corners(is_name)
        assert torch.equal(is_at[2, 2 * num_names : 3 * num_names], is_name[2]) and is_at[2].sum() == 3

    def test_training_goes_on_from_its_checkpoint_as_without_a_break(self, tmp_path):
        def begin():
            torch.manual_seed(1)
            model, processor = make_model(load_recipe(CONFIG, {}, SMALL), build_tokenizer(small_archive()))
            args = tower.TowerArguments(batch_size=16, num_lines=8)
            return tower.TowerTraining(model.model, processor.tokenizer, small_archive(), args, 0, torch.device("cpu"))

        whole, broken, resumed = begin(), begin(), begin()
        whole.train(None, 4, tmp_path / "whole")
        for step in range(2):
            broken.train_step(step / 4)
        broken.save(tmp_path / "broken", seconds=1.0)
        resumed.train(None, 4, tmp_path / "broken")
        assert resumed.step == whole.step == 4
        for name, weight in whole.contrast.state_dict().items():
            assert torch.equal(weight, resumed.contrast.state_dict()[name]), name


def test_half_of_the_heads_begin_with_keys_that_are_queries():
    model, _ = make_model(load_recipe(CONFIG, {}, SMALL), build_tokenizer(small_archive()))
    attention = model.model.layers[0].self_attn
    is_equal = attention.q_proj.weight == attention.k_proj.weight
    assert is_equal[:8].all() and not is_equal[8:].any()


class TestOptimizers:
    def make(self):
        torch.manual_seed(0)
        model = torch.nn.ModuleDict(
            {"layers": torch.nn.Sequential(torch.nn.Linear(4, 4)), "head": torch.nn.Linear(4, 2)}
        )
        groups = [
            {"params": list(model["layers"].parameters()), "lr": 0.1},
            {"params": list(model["head"].parameters())},
        ]
        return model, with_muon(torch.optim.AdamW(groups, lr=0.01), torch.nn.ModuleDict({"model": model}))

    def train(self, model, optimizer, steps):
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.zero_grad()
            model["head"](model["layers"](torch.eye(4))).square().sum().backward()
            optimizer.step()

    def test_muon_takes_the_matrices_of_layers_with_the_rates_of_their_groups(self):
        _, optimizer = self.make()
        found = [(group["lr"], [tuple(one.shape) for one in group["params"]]) for group in optimizer.param_groups]
        assert found == [(0.1, [(4, 4)]), (0.1, [(4,)]), (0.01, [(2, 4), (2,)])]
        assert [type(one).__name__ for one in optimizer.optimizers] == ["Muon", "AdamW"]

    def test_muon_updates_as_torch_does(self):
        torch.manual_seed(0)
        shapes = [(8, 8), (8, 8), (16, 8), (8, 16), (16, 8)]
        ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
        options = {"lr": 0.1, "weight_decay": 0.05}
        optimizers = Muon(ours, **options), torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
        for _ in range(3):
            for one, two in zip(ours, theirs, strict=True):
                one.grad = torch.randn_like(one)
                two.grad = one.grad.clone()
            for optimizer in optimizers:
                optimizer.step()
        for one, two in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, two, atol=1e-3, rtol=0)  # both work in bfloat16

    def test_a_loaded_state_goes_on_as_without_a_break(self):
        (whole, optimizer), (resumed, other) = self.make(), self.make()
        self.train(whole, optimizer, 2)
        resumed.load_state_dict(whole.state_dict())
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        self.train(whole, optimizer, 2)
        self.train(resumed, other, 2)
        assert all(torch.equal(one, two) for one, two in zip(whole.parameters(), resumed.parameters(), strict=True))


class TestBudget:
    def test_minutes_of_a_call_before_count(self, monkeypatch):
        clock = iter((100.0, 130.0, 190.0, 221.0))
        monkeypatch.setattr("recipes.vision.stages.time.monotonic", lambda: next(clock))
        budget = Budget(minutes=3)
        control = SimpleNamespace(should_training_stop=False, should_log=False)
        budget.on_train_begin(None, SimpleNamespace(log_history=[{"minutes": 1.0}]), control)
        assert budget.progress(step=5, max_steps=10) == pytest.approx(0.5)
        assert not budget.on_step_end(None, None, control).should_training_stop
        assert budget.on_step_end(None, None, control).should_training_stop

    def test_budgets_are_read_and_wrong_ones_refused(self):
        assert read_budget("tower=4,1=0.5") == {"tower": 4.0, "1": 0.5}
        for wrong in ("4", "tower=x", "4=1", "1=0"):
            with pytest.raises(ValueError, match="`--minutes`"):
                read_budget(wrong)


@pytest.mark.slow
class TestRun:
    def test_stages_are_trained_one_after_the_other(self, run):
        log = json.loads((run / "training_log.json").read_text())
        record = json.loads((run / "run.json").read_text())
        assert [call["stage"] for call in record["calls"]] == list(STAGES)
        steps = {stage: max(entry["step"] for entry in log if entry["stage"] == stage) for stage in STAGES}
        assert steps == {"tower": 2, "1": 1, "2": 2, "3": 1}
        final = AutoModelForImageTextToText.from_pretrained(run / "final")
        assert final.dtype == torch.bfloat16 and final.config.patch_merge_type == "spatial_unpad"

    def test_each_stage_trains_its_parts(self, run):
        states = [AutoModelForImageTextToText.from_pretrained(run / stage / "final").state_dict() for stage in STAGES]
        changed = [
            {part_of(name) for name in before if not torch.equal(before[name], after[name])}
            for before, after in pairwise(states)
        ]
        language, everything = {"language_model"}, {"language_model", "multi_modal_projector", "vision_tower"}
        assert changed == [language, everything, everything]

    def test_the_same_command_does_not_train_a_finished_stage_again(self, archive, run, capsys):
        main(train_command(archive, run, "--steps", STEPS))
        assert "stage " not in capsys.readouterr().out

    def test_a_stage_can_be_left_out_and_a_tower_taken_from_another_run(self, archive, run, tmp_path, capsys):
        options = ("--steps", "2=1", "--skip-stage", "1", "--skip-stage", "3", "--base", str(run))
        main(train_command(archive, tmp_path, *options, "--blind", "--one-tile", "--check-rows", "1"))
        assert "stage 2" in capsys.readouterr().out
        assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"2", "final"}
        assert json.loads((tmp_path / "check_2.json").read_text())["scores"]["naming"]["rows"] == 1
        assert AutoProcessor.from_pretrained(tmp_path / "final").image_processor.image_aspect_ratio == "square"

    def test_results_have_all_tasks_and_the_card_shows_them(self, archive, run, tmp_path):
        results, output = tmp_path / "results.json", tmp_path / "hub"
        command = ["evaluate", "--model", str(run / "final"), "--archive", str(archive), "--json", str(results)]
        main([*command, "--rows", "2", "--device", "cpu"])
        found = json.loads(results.read_text())
        names = {key for key in found["scores"] if "/" not in key.replace(" /", "")}
        assert names == {*evaluation.ASKED, "two-step /think", "two-step /no_think"} - {"two-step"}
        assert all(found["scores"][name]["rows"] == 2 for name in names)
        (run / "results.json").write_text(results.read_text())
        collected = tmp_path / "vision.json"
        main(["time", *command[1:5], "--json", str(run / "seconds.json"), "--questions", "1"])
        main(["collect", "--run", str(run), "--studies", str(run), "--json", str(collected)])
        export = ["export", "--run", str(run), "--results", str(results), "--output", str(output)]
        main([*export, "--collected", str(collected)])
        card = (output / "README.md").read_text()
        assert "| naming " in card and "| two-step /think " in card and "two-step /no_think" in card
        assert "| threshold 0.9 |" in card and "|  | with all |" in card
        assert "| shapes | 1.0 | CC0 |" in card
        assert AutoProcessor.from_pretrained(output).image_token == "<image>"


class TestSamples:
    @pytest.fixture
    def checkpoint(self, parts, tmp_path):
        for part in parts:
            part.save_pretrained(tmp_path)
        return tmp_path

    def test_pictures_that_are_answered_right_are_kept_with_their_questions(self, archive, checkpoint, monkeypatch):
        monkeypatch.setattr(samples, "is_right", lambda *answer: True)
        samples.main(["--model", str(checkpoint), "--archive", str(archive)])
        found = json.loads((checkpoint / "samples/samples.json").read_text(encoding="utf-8"))
        assert [one["label"] for one in found["pictures"]] == list(samples.PICTURES)
        for one in found["pictures"]:
            assert Image.open(checkpoint / "samples" / one["file"]).mode == "RGB"
            assert 1 <= len(one["questions"]) <= samples.MAX_QUESTIONS and one["questions"][0]["answer"]
        assert {one["label"] for one in found["styles"]} == {"answer only", "reasoning first"}

    def test_a_model_that_is_never_right_has_no_samples(self, archive, checkpoint, monkeypatch):
        monkeypatch.setattr(samples, "MAX_TRIES", 1)
        with pytest.raises(ValueError, match="train the model longer"):
            samples.main(["--model", str(checkpoint), "--archive", str(archive)])
        assert not (checkpoint / "samples").exists()


class TestArguments:
    def test_minutes_of_the_command_line_replace_those_of_the_same_stages(self):
        recipe = load_recipe(CONFIG, {"minutes": {"2": 1.0}}, [])
        assert recipe.minutes["2"] == 1.0 and recipe.minutes["3"] > 1

    def test_values_of_a_stage_can_be_set(self):
        before, after = (load_recipe(CONFIG, {}, given).stages["2"] for given in ([], ["stages.2.learning_rate=0.1"]))
        assert after == before | {"learning_rate": 0.1}

    def test_a_base_without_a_finished_tower_is_refused(self, archive, tmp_path, monkeypatch):
        monkeypatch.setenv("LLADA_DEBUG", "1")
        with pytest.raises(ValueError, match="`--base` must be a run whose stage tower is done"):
            main(train_command(archive, tmp_path / "run", "--steps", STEPS, "--base", str(tmp_path)))

    def test_wrong_numbers_are_refused(self, capsys):
        with pytest.raises(SystemExit):
            parse_arguments(["evaluate", "--model", "m", "--json", "j", "--rows", "0"])
        assert "`--rows` must be positive" in capsys.readouterr().err
