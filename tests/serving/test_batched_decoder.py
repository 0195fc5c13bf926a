# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Prompts that share a batch, join and leave it: each gets what `generate` gives it alone."""

import itertools
import subprocess
import sys
from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generate_calls import EOS, VOCAB_SIZE, calls, letters, tiny_model
from support.random_prompts import check_equal, generate_alone, random_prompt
from support.tiny_llada2 import ROUTED_BY_BLOCKS, tiny_llada2

from modeling_llada import Constraint
from modeling_llada.models.blocks_llada import BlockGeometry
from modeling_llada.serving import BatchedDecoder


# What the rows of a batch have in common.
SHARED = [
    {},
    {"block_cache": "dual", "confidence_threshold": 0.5},
    {"block_cache": "prefix"},
    {"block_cache": "vicinity", "cfg_scale": 0.5, "remasking": "margin"},
    {"suffix_window": 3},
    {"block_cache": "prefix", "suffix_window": 2, "entropy_bound": 1.0, "cfg_scale": 1.0},
    {"temperature": 1.0, "top_k": 5, "remasking": "random"},
    {"skip_after_eos": True, "eos_token_id": [EOS, 3, 4]},
]
WITHOUT_SUFFIX = BlockGeometry(block_alignment="absolute", sees_suffix=False)
BLOCK_CAUSAL = BlockGeometry(block_alignment="absolute", sees_suffix=False, attention="block_causal")


class CountPasses:
    """Counts the forward passes of a model."""

    def __init__(self, model):
        self.model, self.count = model, 0

    def __enter__(self):
        self.hook = self.model.register_forward_pre_hook(self.add)
        return self

    def add(self, *args):
        self.count += 1

    def __exit__(self, *exception):
        self.hook.remove()


@pytest.mark.parametrize("shared", SHARED, ids=lambda shared: "-".join(shared) or "exact")
def test_rows_that_share_a_batch_get_what_generate_gives_them_alone(shared):
    chance, model = Random(str(shared)), tiny_model(0)
    prompts = [random_prompt(chance, shared) for _ in range(7)]
    with BatchedDecoder(model, batch_size=4, output_trajectory=True) as decoder, CountPasses(model) as passes:
        answers = list(decoder.generate(prompts))
    assert [answer.index for answer in answers] == list(range(7))
    for answer, prompt in zip(answers, prompts, strict=True):
        check_equal(answer, generate_alone(model, prompt))
    assert passes.count < sum(int(answer.output.num_forward_passes) for answer in answers) / 1.5, "they are shared"


def test_rows_with_other_options_go_on_beside_each_other():
    chance, model = Random(0), tiny_model(0)
    prompts = [random_prompt(chance, chance.choice(SHARED)) for _ in range(12)]
    with BatchedDecoder(model, batch_size=6, output_trajectory=True) as decoder:
        answers = list(decoder.generate(prompts, ordered=False))
    assert sorted(answer.index for answer in answers) == list(range(12))
    assert [answer.index for answer in answers] != list(range(12)), "short ones come first"
    for answer in answers:
        check_equal(answer, generate_alone(model, prompts[answer.index]))


def test_in_float32_with_blocks_of_several_lengths():
    model, chance = tiny_model(1).float(), Random(1)
    try:
        prompts = [random_prompt(chance, {"block_cache": "dual"}) for _ in range(8)]
        with BatchedDecoder(model, output_trajectory=True) as decoder:
            for answer, prompt in zip(decoder.generate(prompts), prompts, strict=True):
                check_equal(answer, generate_alone(model, prompt))
    finally:
        model.double()


@pytest.mark.parametrize("cache", [None, "dual"])
@pytest.mark.parametrize("geometry", [WITHOUT_SUFFIX, BLOCK_CAUSAL], ids=["without-suffix", "block-causal"])
def test_models_whose_blocks_are_counted_from_the_start(geometry, cache):
    model, chance = tiny_model(0, geometry), Random(2)
    prompts = [random_prompt(chance, {"block_length": 4, "block_cache": cache}) for _ in range(8)]
    for prompt in prompts:
        prompt.pop("cache_refresh_interval")
    with BatchedDecoder(model, batch_size=3, output_trajectory=True) as decoder:
        for answer, prompt in zip(decoder.generate(prompts), prompts, strict=True):
            check_equal(answer, generate_alone(model, prompt))
        assert decoder.scheduler.counts.rows > 1.5 * decoder.scheduler.counts.passes, "they are shared"


@pytest.mark.parametrize("cache", [None, "prefix"])
@pytest.mark.parametrize("changes", [{}, ROUTED_BY_BLOCKS], ids=["llada2", "blocks that share experts"])
def test_llada2(changes, cache):
    model = tiny_llada2(**changes).double()
    prompts = [{"input_ids": list(range(3, 3 + length)), "max_new_tokens": 3 * length} for length in (2, 7, 4, 5)]
    options = {"block_cache": cache, "block_length": 4, "confidence_threshold": 0.5}
    with BatchedDecoder(model, batch_size=3, output_trajectory=True, **options) as decoder:
        for answer, prompt in zip(decoder.generate(prompts), prompts, strict=True):
            alone = {**prompt, **options, "input_ids": torch.tensor([prompt["input_ids"]])}
            check_equal(answer, generate_alone(model, alone))


def test_a_constraint_is_kept():
    pytest.importorskip("outlines_core", reason="needs the extra `constraints`")
    model, constraint = tiny_model(0), Constraint.from_choices(["abc", "dea"], letters())
    with BatchedDecoder(model, max_new_tokens=3, eos_token_id=EOS) as decoder:
        first, second = decoder.generate([{"input_ids": [1, 2], "constraint": constraint}, [1, 2]])
    alone = model.generate(torch.tensor([[1, 2]]), max_new_tokens=3, constraint=constraint)
    assert torch.equal(first.output.sequences, alone)
    assert not torch.equal(second.output.sequences, alone)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(calls(), min_size=1, max_size=4), st.integers(1, 5), st.booleans())
def test_any_valid_calls_beside_each_other(several, batch_size, ordered):
    """With all options, also those that share no forward pass, such as edits, drafts and callables."""
    rows = [replace(row, model_seed=0) for call in several for row in call.rows()]
    rows += rows[:2]  # two that share their options
    seeds = [torch.Generator().manual_seed(seed) for seed in range(len(rows))]
    prompts = (
        {**row.inputs(), **row.options, "generator": seed, "output_trajectory": True}
        for row, seed in zip(rows, seeds, strict=True)
    )
    with BatchedDecoder(tiny_model(0), batch_size=batch_size) as decoder:
        answers = list(decoder.generate(prompts, ordered=ordered))
    assert sorted(answer.index for answer in answers) == list(range(len(rows)))
    for answer in answers:
        check_equal(answer, rows[answer.index](seeds=[answer.index]))


@pytest.mark.slow
def test_it_is_importable_without_the_packages_of_the_server():
    code = "import sys; sys.modules['fastapi'] = None; from modeling_llada.serving import BatchedDecoder"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestPrompts:
    def test_texts_ids_and_arguments(self, poet_like):
        model, tokenizer = poet_like
        ids = tokenizer("abc", return_tensors="pt")["input_ids"]
        encoded = tokenizer("abc", return_tensors="pt")
        forms = ["abc", ids, ids[0], ids[0].tolist(), {"prompt": "abc"}, {"input_ids": ids}, encoded]
        with BatchedDecoder(model, tokenizer, max_new_tokens=4) as decoder:
            answers = list(decoder.generate(forms))
        assert all(torch.equal(answer.output.sequences, answers[0].output.sequences) for answer in answers)
        assert answers[0].text == answers[4].text and answers[0].text is not None
        assert answers[1].text is None

    def test_are_taken_when_there_is_room(self):
        with BatchedDecoder(tiny_model(0), batch_size=2, max_new_tokens=2) as decoder:
            answers = decoder.generate([one % 9] for one in itertools.count())
            assert [answer.index for answer in itertools.islice(answers, 5)] == [0, 1, 2, 3, 4]
            answers.close()
            assert decoder.scheduler.is_idle

    def test_seeds_come_from_torch_and_do_not_depend_on_the_batch(self):
        prompts, tokens = [[1, 2], [3], [4, 5, 6]], []
        for batch_size in (1, 3):
            torch.manual_seed(7)
            with BatchedDecoder(tiny_model(0), batch_size=batch_size, max_new_tokens=6, temperature=1.0) as decoder:
                tokens.append([answer.output.sequences.tolist() for answer in decoder.generate(prompts)])
        assert tokens[0] == tokens[1]

    @pytest.mark.parametrize(
        ("prompt", "message"),
        [
            ({"input_ids": [1], "block_length": 0}, "`block_length` must be an integer of at least 1"),
            ({"input_ids": [1], "stepz": 4}, "stepz"),
            ({"input_ids": [1], "seed": -1}, "`seed` must be"),
            ({"prompt": "a", "input_ids": [1]}, "either `prompt` or `input_ids`"),
            ({"prompt": 5}, "`prompt` must be a text"),
            ("a", "needs the `tokenizer`"),
            ([], "`input_ids` must be"),
            ([VOCAB_SIZE], "`input_ids` must be ids in"),
            (None, "`input_ids` must be"),
        ],
    )
    def test_a_bad_one_fails_alone(self, prompt, message):
        with BatchedDecoder(tiny_model(0), max_new_tokens=3) as decoder:
            first, bad, last = decoder.generate([[1, 2], prompt, [3]])
        assert first.error is None and last.error is None
        assert isinstance(bad.error, ValueError) and message in str(bad.error) and bad.output is None

    @pytest.mark.parametrize("prompts", ["abc", {"input_ids": [1, 2]}, None, 5], ids=repr)
    def test_a_single_one_is_no_iterable_of_prompts(self, prompts):
        with (
            BatchedDecoder(tiny_model(0)) as decoder,
            pytest.raises(ValueError, match=r"`prompts` must be .*`\[prompt\]`"),
        ):
            decoder.generate(prompts)

    def test_a_closed_decoder_says_so(self):
        with BatchedDecoder(tiny_model(0), batch_size=2, max_new_tokens=4) as decoder:
            answers = decoder.generate([[one] for one in range(5)])
            next(answers)
        with pytest.raises(RuntimeError, match="was closed before"):
            list(answers)
        assert decoder.scheduler.is_idle

    def test_an_error_of_the_iterator_frees_the_rows(self):
        def prompts():
            yield [1, 2]
            raise OSError("the disk is gone")

        with BatchedDecoder(tiny_model(0), max_new_tokens=9) as decoder, pytest.raises(OSError, match="is gone"):
            list(decoder.generate(prompts()))
        assert decoder.scheduler.is_idle


@pytest.fixture
def poet_like():
    """A model and its tokenizer, which reads and writes each token as a letter."""
    return tiny_model(0), letters()
