# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/english: the text that SmolLM2 writes: prompts, sampling, filter, and the command with a tiny model of four bits."""

import json
import lzma
from copy import deepcopy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM


pytest.importorskip("gguf", reason="the recipe reads weights with it")
pytest.importorskip("trl", reason="the recipe trains")

from support.tiny_gguf import write_packages  # noqa: E402

from recipes.english import filtering, prompts, write  # noqa: E402
from recipes.english.__main__ import main  # noqa: E402
from recipes.english.sampling import RowSampler  # noqa: E402
from recipes.smollm2 import weights  # noqa: E402


LENGTH, EOS = 24, 2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        eos_token_id=EOS, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def some_prompts():
    torch.manual_seed(1)
    return [torch.randint(3, 50, (length,)).tolist() for length in (3, 7, 1, 5, 9)]


class TestSampling:
    def test_greedy_tokens_are_those_of_generate(self, model):
        """Five prompts share three rows, so that rows are used again and hold prompts of several lengths at once."""
        sampler = RowSampler(
            model, 3, LENGTH, temperature=0, min_p=0.1, presence_penalty=0, eos_token_id=EOS, steps_a_look=4
        )
        asked = some_prompts()
        found = {sample.number: sample for sample in sampler.sample(asked)}
        assert len(found) == len(asked)
        for number, prompt in enumerate(asked):
            ids = torch.tensor([prompt])
            output = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_length=LENGTH, do_sample=False, pad_token_id=0
            )
            new = output[0, len(prompt) :].tolist()
            sample = found[number]
            assert sample.has_ended == (new[-1] == EOS)
            assert sample.tokens == new[: len(new) - sample.has_ended]

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_the_recorded_step_samples_the_same(self, model):
        found = []
        for device in ("cpu", "cuda"):
            sampler = RowSampler(deepcopy(model).to(device), 3, LENGTH, 0, 0.1, 0, EOS, steps_a_look=4)
            found.append(sorted((sample.number, sample.tokens) for sample in sampler.sample(some_prompts())))
        assert found[0] == found[1]

    def test_log_likelihood_is_that_of_the_model_at_temperature_1(self, model):
        sampler = RowSampler(
            model, 2, LENGTH, temperature=0.7, min_p=0.05, presence_penalty=0.3, eos_token_id=EOS, steps_a_look=4
        )
        asked = some_prompts()
        for sample in sampler.sample(asked):
            row = torch.tensor([asked[sample.number] + sample.tokens])
            losses = model(row).logits[0, :-1].log_softmax(-1).gather(1, row[0, 1:, None])[:, 0]
            expected = losses[len(asked[sample.number]) - 1 :]
            torch.testing.assert_close(torch.tensor(sample.log_likelihood), expected, atol=1e-4, rtol=1e-4)

    def test_samples_have_the_frequencies_of_the_model(self, model):
        torch.manual_seed(0)
        sampler = RowSampler(
            model, 500, 3, temperature=1.0, min_p=1e-9, presence_penalty=0, eos_token_id=EOS, steps_a_look=2
        )
        first = [sample.tokens[0] if sample.tokens else EOS for sample in sampler.sample([[5]] * 2000)]
        frequencies = torch.tensor(first).bincount(minlength=50) / 2000
        expected = model(torch.tensor([[5]])).logits[0, -1].softmax(-1)
        assert (frequencies - expected).abs().max() < 0.04

    def test_min_p_leaves_out_unlikely_tokens(self, model):
        sampler = RowSampler(model, 8, 3, temperature=1.0, min_p=0.999, presence_penalty=0, eos_token_id=EOS)
        best = model(torch.tensor([[5]])).logits[0, -1].argmax()
        assert {sample.tokens[0] for sample in sampler.sample([[5]] * 8) if sample.tokens} <= {best.item()}

    def test_places_are_exact_in_bfloat16(self, model):
        exact, rounded = (
            RowSampler(deepcopy(model).to(dtype), 1, 224, 0, 0.1, 0, EOS) for dtype in (torch.float32, torch.bfloat16)
        )
        torch.testing.assert_close(rounded.cos.float(), exact.cos, atol=4e-3, rtol=0)

    def test_a_prompt_must_fit(self, model):
        with pytest.raises(ValueError, match="`length` must be more than the tokens of a prompt, 24, but got 24"):
            list(RowSampler(model, 1, LENGTH, 0, 0.1, 0, EOS).sample([[5] * 24]))


class TestPrompts:
    def test_prompts_follow_from_seed_and_number(self):
        some = [prompts.make_prompt(3, number) for number in range(500)]
        assert some == [prompts.make_prompt(3, number) for number in range(500)]
        assert {prompt.kind for prompt in some} == {form.kind for form in prompts.FORMS}
        assert len(set(some)) > 450
        text = " ".join(prompt.question + " " + prompt.beginning for prompt in some)
        assert "{" not in text and " a old " not in text and " an old " in text

    def test_the_answer_is_begun(self):
        text = prompts.chat_text(prompts.Prompt("story", "Tell me a story.", "Once upon a time"))
        assert text.endswith("Tell me a story.<|im_end|>\n<|im_start|>assistant\nOnce upon a time")

    def test_smollm2_is_told_to_be_short_and_the_question_is_kept_bare(self):
        assert "Why? Answer in two" in prompts.chat_text(prompts.Prompt("question", "Why?", "Because"))
        assert not any("Answer in" in prompts.make_prompt(3, number).question for number in range(100))


GOOD = (
    "Once upon a time, there was a kind fox. The fox lived near a river with two friends. One day it found a lantern, and "
    'its friends were glad. "What a light!" they said.'
)


def keep(text, nats=0.9, has_ended=True):
    """What is kept of a text whose tokens are its words."""
    return filtering.kept_text("", text, [-nats] * len(text.split()), has_ended)


class TestFilter:
    def test_whole_sentences(self):
        assert filtering.whole_sentences("One. Two? And th") == "One. Two?"
        assert filtering.whole_sentences('He said, "Go!" And th') == 'He said, "Go!"'
        assert filtering.whole_sentences("none") == ""
        assert filtering.whole_sentences("He went home. He met Mr. Fo") == "He went home."
        assert filtering.SENTENCE_END.split('"Hi, Dr. Fox!" And so on.') == ['"Hi, Dr. Fox!"', "And so on."]

    def test_a_text_ends_before_it_repeats_itself(self):
        text = "The star had a happy life. It shone all night. The star had a happy life again. And so on."
        assert filtering.before_repetition(text) == "The star had a happy life. It shone all night."
        assert filtering.before_repetition(GOOD) == GOOD

    def test_what_is_kept(self):
        assert keep(GOOD) == (GOOD, pytest.approx(0.9))
        assert keep(GOOD + " And then it", has_ended=False)[0] == GOOD
        assert keep(GOOD + " The fox lived near a river with two friends. The fox lived.")[0] == GOOD

    @pytest.mark.parametrize(
        "words",
        [
            "the cat's long whiskers",
            "how to demonstrate it",
            "a shooting star",
            "hot tea that they drank",
            "a smoldering fire",
        ],
    )
    def test_harmless_words_are_kept(self, words):
        text = f'{GOOD} "I\'m sorry, but I saw {words}," said the fox.'
        assert keep(text)[0] == text

    @pytest.mark.parametrize(
        "text",
        [
            GOOD + " It is a **bold** one.",
            GOOD + " Note: this is only a story.",
            GOOD + " A demon drank whisky.",
            GOOD + " As an AI, I am glad.",
            GOOD + " And they drank wine.",
            GOOD + ' One more quotation mark".',
            GOOD + " The end",
            "Too short.",
            "C'est la f\u00eate. " + GOOD,
        ],
    )
    def test_what_is_left_out(self, text):
        assert keep(text) is None

    def test_likelihood(self):
        assert keep(GOOD, nats=3.0) is None and keep(GOOD, nats=0.01) is None
        scores = [-0.9] * len(GOOD.split()) + [-9.0] * 40  # only what is kept counts
        assert filtering.kept_text("", GOOD + " another" * 40, scores, False)[1] == pytest.approx(0.9, abs=0.1)


class TestWrite:
    def test_parts_are_written_once(self, tmp_path, monkeypatch, capsys):
        package, _ = write_packages(tmp_path / "packages")
        monkeypatch.setattr(weights, "WEIGHTS", package)
        monkeypatch.setattr(write, "chat_text", lambda prompt: prompt.kind)
        monkeypatch.setattr(write, "kept_text", lambda beginning, *rest: (beginning or "text", 1.0))
        arguments = [
            "write",
            "--packages",
            str(tmp_path / "packages"),
            "--output",
            str(tmp_path / "data"),
            "--device",
            "cpu",
        ]
        arguments += ["--parts", "2", "--prompts", "6", "--rows", "4", "--length", "24"]
        main([*arguments, "--max-minutes", "1e-9"])
        assert "stopped before part 0" in capsys.readouterr().out
        main(arguments)
        paths = [write.part_path(tmp_path / "data", number) for number in range(2)]
        rows = [json.loads(line) for line in lzma.decompress(paths[1].read_bytes()).splitlines()]
        assert [row["question"] for row in rows] == [
            prompts.make_prompt(0, number).question for number in range(6, 12)
        ]
        assert rows[0].keys() == {"kind", "question", "text", "nats"} and rows[0]["nats"] == 1.0
        before = paths[0].read_bytes(), paths[1].read_bytes()
        paths[1].unlink()
        main(arguments)  # writes the part that is missing, with the same texts
        assert (paths[0].read_bytes(), paths[1].read_bytes()) == before
        main(arguments)
        assert "has all 2 parts" in capsys.readouterr().out
        with pytest.raises(ValueError, match="were written with `--temperature 0.5`. Give the same"):
            main([*arguments, "--temperature", "0.7", "--parts", "3"])
        assert not write.part_path(tmp_path / "data", 2).exists()

    def test_wrong_options(self, capsys):
        for option in (["--rows", "0"], ["--temperature", "-1"], ["--min-p", "2"]):
            with pytest.raises(SystemExit):
                main(["write", *option])
        assert "`--min-p` must be at most 1" in capsys.readouterr().err
