# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Text that is sampled during fine-tuning: what is written, and that training does not notice."""

import json

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from peft import LoraConfig
from support.sft_runs import MESSAGES, PROMPTS_AND_COMPLETIONS, largest_difference, losses_of, sft_trainer, weights_of

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDASFTConfig


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer of the tiny poet that samples each step; keyword arguments change the training arguments."""

    def make(folder="run", eval_dataset=MESSAGES, **settings):
        return sft_trainer(
            poet_folder, tmp_path / folder, MESSAGES, eval_dataset, **({"sample_every": 1, "max_steps": 4} | settings)
        )

    return make


def samples_of(trainer):
    with open(f"{trainer.args.output_dir}/samples.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class TestTrainingIsTheSame:
    @pytest.mark.parametrize(
        "adapter", [None, LoraConfig(r=4, lora_dropout=0.5)], ids=["weights", "LoRA with dropout"]
    )
    def test_losses_and_weights(self, trainer_of, adapter, monkeypatch):
        """Even if decoding drew from the generator that dropout draws from."""
        generate = LLaDAForMaskedLM.generate

        def careless(self, *args, **kwargs):
            torch.rand(7)
            return generate(self, *args, **kwargs)

        monkeypatch.setattr(LLaDAForMaskedLM, "generate", careless)
        results = []
        for folder, every in (("without", None), ("with", 1)):
            trainer = trainer_of(folder, sample_every=every, peft_config=adapter)
            trainer.train()
            results.append((losses_of(trainer), weights_of(trainer)))
        assert len(samples_of(trainer)) == 5 * 4
        assert results[0][0] == results[1][0]
        assert largest_difference(results[0][1], results[1][1]) == 0

    def test_mode(self, trainer_of, monkeypatch):
        generate, modes = LLaDAForMaskedLM.generate, []
        monkeypatch.setattr(
            LLaDAForMaskedLM,
            "generate",
            lambda self, **kwargs: modes.append(self.training) or generate(self, **kwargs),
        )
        trainer = trainer_of(max_steps=1)
        for training in (True, False):
            trainer.model.train(training)
            trainer.callback_handler.on_step_end(trainer.args, trainer.state, trainer.control)
            assert all(module.training == training for module in trainer.model.modules())
        assert modes == [False, False]


class TestWhatIsWritten:
    def test_held_out_prompts_with_their_references(self, trainer_of, capsys):
        trainer = trainer_of(sample_every=2)
        trainer.train()
        samples = samples_of(trainer)
        assert [sample["step"] for sample in samples] == [0] * 4 + [2] * 4 + [4] * 4
        assert samples[0]["prompt"] == "床前明月光，" and samples[0]["reference"] == "疑是地上霜。"
        shown = capsys.readouterr().out.splitlines()
        place = shown.index("step 4  prompt      床前明月光，")
        assert shown[place + 2] == "        reference   疑是地上霜。"

    def test_the_first_dataset_that_has_prompts(self, trainer_of):
        texts = Dataset.from_dict({"text": ["明月"] * 3})
        trainer = trainer_of(eval_dataset={"texts": texts, "talks": MESSAGES}, max_steps=1)
        trainer.train()
        assert samples_of(trainer)[0]["prompt"] == "床前明月光，"

    def test_is_what_the_model_generates(self, trainer_of):
        trainer = trainer_of(peft_config=LoraConfig(r=4), sample_kwargs={"max_new_tokens": 5, "steps": 2})
        trainer.train()
        tokenizer, model = trainer.processing_class, trainer.model.eval()
        for sample in samples_of(trainer)[-4:]:
            input_ids = tokenizer(sample["prompt"], return_tensors="pt").input_ids
            with torch.no_grad():
                sequence = model.generate(input_ids=input_ids, max_new_tokens=5, steps=2)[0]
            expected = tokenizer.decode(sequence[input_ids.shape[1] :], skip_special_tokens=True)
            assert sample["completion"] == expected
        assert samples_of(trainer)[0]["completion"] != samples_of(trainer)[-4]["completion"], (
            "it has learned something"
        )

    def test_sampling_with_temperature_has_a_seed(self, trainer_of):
        texts = []
        for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
            trainer = trainer_of(folder, seed=seed, sample_kwargs={"temperature": 1.0}, learning_rate=0.0, max_steps=1)
            trainer.train()
            texts.append([sample["completion"] for sample in samples_of(trainer)])
        assert texts[0] == texts[1] != texts[2]

    def test_given_prompts_are_what_a_user_says(self, trainer_of, tmp_path):
        template = tmp_path / "template.jinja"
        template.write_text(
            "{% for message in messages %}{{ message['content'] + '。' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '日' }}{% endif %}"
        )
        trainer = trainer_of(
            eval_dataset=None, sample_prompts=["明"], chat_template_path=str(template), max_steps=1
        )  # fmt: skip
        trainer.train()
        assert [sample["prompt"] for sample in samples_of(trainer)] == ["明。日"] * 2

    def test_given_prompts_are_texts_where_the_data_are(self, poet_folder, tmp_path):
        trainer = sft_trainer(
            poet_folder, tmp_path, PROMPTS_AND_COMPLETIONS, max_steps=1, sample_every=1, sample_prompts=["明", "月光"]
        )
        trainer.train()
        assert [sample["prompt"] for sample in samples_of(trainer)] == ["明", "月光"] * 2

    def test_off_by_default(self, trainer_of, tmp_path):
        trainer_of(sample_every=None, max_steps=1).train()
        assert not (tmp_path / "run" / "samples.jsonl").exists()


class TestKill:
    def test_a_resumed_run_writes_the_same_file(self, trainer_of):
        whole = trainer_of("whole")
        whole.train()

        killed = trainer_of("killed", save_strategy="steps", save_steps=2, max_steps=4, lr_scheduler_type="linear")
        killed.train()
        path = f"{killed.args.output_dir}/samples.jsonl"
        # As if it had died while the samples of step 5 were written.
        with open(path, "ab") as file:
            file.write('{"step": 5, "prompt": "床'.encode()[:-1])
        resumed = trainer_of("killed", save_strategy="steps", save_steps=2, max_steps=4)
        resumed.train(f"{killed.args.output_dir}/checkpoint-2")
        assert samples_of(resumed) == samples_of(whole)

    def test_a_new_run_starts_a_new_file(self, trainer_of):
        for _ in range(2):
            trainer = trainer_of(max_steps=2)
            trainer.train()
        assert [sample["step"] for sample in samples_of(trainer)] == [0] * 4 + [1] * 4 + [2] * 4


class TestBadInput:
    def test_interval(self):
        with pytest.raises(ValueError, match="`sample_every` must be a positive integer, but got 0"):
            LLaDASFTConfig("x", use_cpu=True, sample_every=0)

    @pytest.mark.parametrize("settings", [{"sample_prompts": ["明"]}, {"sample_kwargs": {"steps": 2}}], ids=str)
    def test_prompts_without_an_interval(self, settings):
        with pytest.raises(ValueError, match="need `sample_every`"):
            LLaDASFTConfig("x", use_cpu=True, **settings)

    def test_no_prompts(self, trainer_of):
        with pytest.raises(ValueError, match="`sample_every` needs prompts"):
            trainer_of(eval_dataset=None)

    def test_options_are_refused_before_the_first_step(self, trainer_of):
        trainer = trainer_of(sample_kwargs='{"max_new_tokens": 7, "steps": -1}')
        with pytest.raises(ValueError, match="steps"):
            trainer.train()
        assert trainer.state.global_step == 0
