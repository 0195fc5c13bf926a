# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fine-tuning on images: batches, noise, evaluation, checkpoints."""

import json
import signal

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from safetensors.torch import load_file
from support.golden_v import golden_image
from support.processes import exit_codes_of, run_together, start_process
from support.sft_runs import largest_difference, losses_of, weights_of
from support.vision_runs import (
    LENGTHS,
    ON_TWO_PROCESSES,
    PADDED_LENGTH,
    asked,
    compare_sharded_gradients,
    train_vision_on_two_processes,
    train_vision_until_killed,
    vision_rows,
    vision_trainer,
)
from transformers import AutoModelForImageTextToText, AutoProcessor

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor


@pytest.fixture
def trainer_of(tmp_path):
    return lambda *args, **settings: vision_trainer(tmp_path / "run", *args, **settings)


class TestBatches:
    def test_an_image_token_for_each_feature_and_tiles_for_all_images(self, trainer_of):
        trainer = trainer_of(train_sampling_strategy="sequential")
        batch = next(iter(trainer.get_train_dataloader()))
        counts = (batch["input_ids"] == trainer.model.config.image_token_id).sum(1).tolist()
        assert counts == [LENGTHS["A"], LENGTHS["B"], 2 * PADDED_LENGTH, 0, LENGTHS["C"]]
        assert batch["num_tiles"].tolist() == [3, 3, 1, 1, 2], "of five images, row by row"
        assert batch["image_sizes"].tolist() == [[60, 100], [140, 45], [60, 100], [64, 64], [64, 64]]
        assert batch["pixel_values"].shape == (5, 3, 3, 70, 70)

    def test_the_tokens_are_those_of_the_processor(self, trainer_of):
        trainer = trainer_of(train_sampling_strategy="sequential", per_device_train_batch_size=1)
        content = [{"type": "image", "image": golden_image("A")}, {"type": "text", "text": "What is it?"}]
        inputs = trainer.processing_class.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        batch = next(iter(trainer.get_train_dataloader()))
        length = inputs["input_ids"].shape[1]
        assert torch.equal(batch["input_ids"][:, :length], inputs["input_ids"])
        assert torch.equal(batch["pixel_values"], inputs["pixel_values"])

    def test_a_row_is_the_same_in_any_batch(self, trainer_of):
        """Its noise is a function of seed, epoch and example, and its loss does not depend on the other rows."""
        together = trainer_of(optim="sgd", max_steps=2)
        alone = trainer_of(optim="sgd", max_steps=2, per_device_train_batch_size=1, gradient_accumulation_steps=5)
        together.train()
        alone.train()
        assert losses_of(alone) == pytest.approx(losses_of(together), rel=1e-5)
        assert largest_difference(weights_of(alone), weights_of(together)) < 1e-5

    def test_options_that_change_nothing(self, trainer_of):
        settings = {"gradient_checkpointing": True, "loss_chunk_size": 3, "dataloader_num_workers": 1}
        plain, changed = trainer_of(), trainer_of(**settings)
        plain.train()
        changed.train()
        assert losses_of(changed) == pytest.approx(losses_of(plain), rel=1e-5)

    def test_grouping_by_length_counts_image_tokens(self, trainer_of):
        trainer = trainer_of(train_sampling_strategy="group_by_length", per_device_train_batch_size=2)
        rows = trainer.numbered_rows(trainer.train_dataset, None)
        tokens = [len(tokens) for tokens in trainer.train_dataset["input_ids"]]
        images = [LENGTHS["A"] - 1, LENGTHS["B"] - 1, 2 * PADDED_LENGTH - 2, 0, LENGTHS["C"] - 1]
        assert rows.lengths() == [one + other for one, other in zip(tokens, images, strict=True)]
        assert trainer.train().global_step == 3

    def test_eos_fill_counts_image_tokens(self, trainer_of):
        trainer = trainer_of(vision_rows().select([0, 3]), eos_fill="longest", train_sampling_strategy="sequential")
        batch = next(iter(trainer.get_train_dataloader()))
        assert batch["attention_mask"].all()
        filled = batch["input_ids"].shape[1] - len(trainer.train_dataset[1]["input_ids"])
        labels = sum(label != -100 for label in trainer.train_dataset[1]["labels"])
        assert batch["response_lengths"][1] == labels + filled and filled > LENGTHS["A"] - 10

    def test_the_dialogue_mask_hides_later_turns(self, trainer_of):
        row = asked("What is it?", "A square.", golden_image("A"))
        turns = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
        rows = [row | {"messages": row["messages"] + turns}, asked("Hello.", "Good day.")]
        trainer = trainer_of(
            type(vision_rows()).from_list(rows),
            dialogue_mask=True,
            assistant_only_loss=True,
            train_sampling_strategy="sequential",
            eos_fill="longest",
        )
        batch = next(iter(trainer.get_train_dataloader()))
        seen, tokens = batch["attention_mask"][0, 0], batch["input_ids"][0].tolist()
        start = trainer.model.config.image_token_id
        last_image = len(tokens) - 1 - tokens[::-1].index(start)
        assert seen[-1].all() and seen[last_image].sum() < len(tokens)
        loss = trainer.compute_loss(trainer.model, batch)
        assert loss.isfinite()

    @pytest.mark.slow
    def test_two_processes_equal_one(self, trainer_of, tmp_path):
        """Also where one has a text while the other has images, and without a search for weights that have no gradient."""
        run_together(train_vision_on_two_processes, tmp_path)
        found = load_file(tmp_path / "two.safetensors")
        one = trainer_of(eval_dataset=vision_rows(), **ON_TWO_PROCESSES | {"gradient_accumulation_steps": 2})
        one.train()
        assert found.pop("losses").tolist() == pytest.approx(list(losses_of(one).values()), rel=1e-5)
        assert found.pop("eval_loss").item() == pytest.approx(one.evaluate()["eval_loss"], rel=1e-5)
        assert largest_difference(found, weights_of(one)) < 1e-6

    @pytest.mark.slow
    def test_sharded_weights_are_gathered_for_texts_too(self, tmp_path):
        """Or a process with a text would let one with an image wait for it."""
        run_together(compare_sharded_gradients, tmp_path)


class TestEvaluation:
    def test_is_the_same_in_any_batch(self, trainer_of):
        one, five = (
            trainer_of(eval_dataset=vision_rows(), per_device_eval_batch_size=rows, eval_num_samples=2).evaluate()
            for rows in (1, 5)
        )
        assert one["eval_loss"] == pytest.approx(five["eval_loss"], rel=1e-5)
        assert one["eval_num_masked_tokens"] == five["eval_num_masked_tokens"]

    def test_the_loss_falls(self, trainer_of):
        trainer = trainer_of(eval_dataset=vision_rows(), max_steps=12, learning_rate=2e-3, eval_num_samples=2)
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        assert trainer.evaluate()["eval_loss"] < before - 2
        losses = {trainer.evaluate(rows)["eval_loss"] for rows in (None, vision_rows(), trainer.eval_dataset)}
        assert len(losses) == 1, "rows that are prepared already are not prepared again"

    def test_samples_see_the_images(self, trainer_of, tmp_path):
        trainer = trainer_of(
            eval_dataset=vision_rows(), max_steps=1, sample_every=1, sample_kwargs={"max_new_tokens": 4}
        )
        trainer.train()
        lines = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [0] * 4 + [1] * 4
        assert lines[0]["prompt"].count("<image>") == 1, "a mark for each image, not for each feature"
        assert lines[2]["prompt"].count("<image>") == 2
        assert lines[3]["reference"] == "Good day."


class TestCheckpoints:
    def test_a_saved_folder_answers_about_a_picture(self, trainer_of, tmp_path):
        trainer = trainer_of(max_steps=1)
        trainer.train()
        trainer.save_model(str(tmp_path / "saved"))
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
        processor = AutoProcessor.from_pretrained(tmp_path / "saved")
        assert isinstance(model, LLaDAVForConditionalGeneration) and isinstance(processor, LLaDAVProcessor)
        assert largest_difference(weights_of(trainer), dict(model.named_parameters())) == 0
        inputs = processor(text="<image>\nWhat is it?", images=golden_image("A"), return_tensors="pt")
        expected = trainer.model.eval().generate(**inputs, max_new_tokens=5)
        assert torch.equal(model.generate(**inputs, max_new_tokens=5), expected)

    def test_a_run_that_was_killed_continues_with_the_same_losses(self, trainer_of, tmp_path):
        settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "vision_tower_learning_rate": 1e-4}
        settings |= {"per_device_train_batch_size": 2}
        killed = start_process(train_vision_until_killed, tmp_path / "run", settings)
        whole = vision_trainer(tmp_path / "whole", **settings | {"save_strategy": "no"})
        whole.train()
        assert exit_codes_of(killed) == [-signal.SIGKILL]
        resumed = trainer_of(**settings)
        resumed.train(resume_from_checkpoint=True)
        assert (tmp_path / "run" / "checkpoint-4" / "processor_config.json").exists()
        assert losses_of(resumed) == losses_of(whole)
        assert largest_difference(weights_of(resumed), weights_of(whole)) == 0
