# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The active block of each row: how a call is cut into blocks, and rows of one batch that are at different ones."""

import pytest
import torch
from transformers import CompileConfig

from modeling_llada.models import engine_llada
from modeling_llada.models.blocks_llada import Block, BlockGeometry, plan_blocks
from modeling_llada.models.canvas_llada import Canvas
from modeling_llada.models.engine_llada import open_denoiser


MASK = 98
ANSWER_LENGTH = 12


def plan(masked, prompt_length, block_length, steps=None):
    boundaries = BlockGeometry().boundaries(masked, torch.ones_like(masked).long(), prompt_length, block_length)
    return plan_blocks(masked, boundaries, steps)


def block_at(start, length, num_passes=0):
    block = Block.at(slice(start, start + length), torch.tensor([length]), torch.tensor([length]), max_steps=length)
    block.num_passes = num_passes
    return block


class TestPlan:
    def test_the_prompt_is_a_block_and_the_last_one_may_be_short(self):
        masked = torch.tensor([[False, True, False] + [True] * 10])
        blocks = plan(masked, prompt_length=3, block_length=4)
        assert [(block.span.start, block.span.stop) for block in blocks] == [(0, 3), (3, 7), (7, 11), (11, 13)]
        assert [block.num_masks.item() for block in blocks] == [1, 4, 4, 2]
        assert [block.num_steps.item() for block in blocks] == [block.max_steps for block in blocks] == [1, 4, 4, 2]

    def test_without_an_answer_there_is_the_prompt_alone(self):
        (block,) = plan(torch.tensor([[True, False]]), prompt_length=2, block_length=None)
        assert (block.span.start, block.span.stop) == (0, 2)

    def test_steps_are_split_for_each_row(self):
        masked = torch.tensor([[True] * 2 + [True] * 8, [False] * 2 + [True] * 8])
        blocks = plan(masked, prompt_length=2, block_length=4, steps=5)
        assert torch.stack([block.num_steps for block in blocks]).sum(0).tolist() == [5, 5]
        assert [block.max_steps for block in blocks] == [1, 3, 2]


class TestPositions:
    def test_of_blocks_at_different_places(self):
        block = Block.join([block_at(2, 3), block_at(5, 2)])
        assert block.positions(canvas_length=8).tolist() == [[2, 3, 4], [5, 6, 7]]
        assert block.inside.tolist() == [[True, True, True], [True, True, False]]
        assert not block.is_aligned and block_at(2, 3).is_aligned
        assert not Block.join([block_at(2, 6), block_at(4, 2)]).is_aligned, "one inside the other"

    def test_none_occurs_twice_at_the_end_of_the_canvas(self):
        """A short block at the end beside a long one: what is behind it would otherwise be written twice."""
        block = Block.join([block_at(0, 6), block_at(6, 2)])
        assert block.positions(canvas_length=8)[1].tolist() == [6, 7, 0, 1, 2, 3]

    def test_rows_that_fill_the_cache_and_rows_that_read_it_do_not_join(self):
        with pytest.raises(ValueError, match="`blocks` must all be at their first forward pass"):
            Block.join([block_at(0, 4), block_at(4, 4, num_passes=1)])


def denoise(model, canvas, options, generators, blocks):
    """Fills the blocks of a canvas, one after the other, and returns the canvas."""
    config = model._merge_generation_config(None, options)
    with torch.no_grad(), open_denoiser(model, canvas, config, None, generators, None, False) as denoiser:
        for block in blocks:
            for _ in denoiser.steps(block):
                denoiser.step(block)
        return denoiser.canvas.view(canvas.tokens.shape[1]).copy()


class Rows:
    """Two prompts of different lengths, each answered alone and in one batch where the second is a block behind."""

    def __init__(self, model, prompts, options):
        self.model, self.prompts = model, prompts
        self.options = {"stop_at_eos": False, "max_new_tokens": ANSWER_LENGTH, "block_length": 4, **options}
        self.ends = [len(prompt) + ANSWER_LENGTH for prompt in prompts]

    def generators(self):
        return [torch.Generator().manual_seed(seed) for seed in range(len(self.prompts))]

    def alone(self):
        """Tokens, steps and number of forward passes of each prompt."""
        for prompt, generator in zip(self.prompts, self.generators(), strict=True):
            output = self.model.generate(
                prompt[None],
                generator=generator,
                return_dict_in_generate=True,
                output_trajectory=True,
                disable_compile=True,
                **self.options,
            )
            yield output.sequences[0], output.trajectory[0][0], output.num_forward_passes.item()

    def canvas(self):
        """Both rows begin at the first position; the shorter one is followed by positions that it does not see."""
        length = max(self.ends)
        tokens, attention_mask = torch.full((2, length), MASK), torch.zeros(2, length).long()
        for row, (prompt, end) in enumerate(zip(self.prompts, self.ends, strict=True)):
            tokens[row, : len(prompt)] = prompt
            attention_mask[row, :end] = 1
        canvas = Canvas.create(tokens, attention_mask, MASK, max_new_tokens=0)
        canvas.position_ids = torch.arange(length).expand(2, -1).clone()
        return canvas

    def together(self):
        """The same of one batch, in which the second row begins when the first is at its second block."""
        canvas = self.canvas()
        masked = canvas.masked()
        plans = [
            plan(masked[row : row + 1, :end], len(prompt), block_length=4, steps=self.options.get("steps"))
            for row, (prompt, end) in enumerate(zip(self.prompts, self.ends, strict=True))
        ]
        pairs = ((1, 0), (2, 1), (3, 2), (0, 3))
        blocks = [Block.join([plans[0][first], plans[1][second]]) for first, second in pairs]
        canvas = denoise(self.model, canvas, self.options, self.generators(), blocks)
        for row, end in enumerate(self.ends):
            yield canvas.tokens[row, :end], canvas.step[row, :end], canvas.num_forward_passes[row].item()


ENGINES = ["eager", "recorded"]
OPTIONS = [
    {},
    {"steps": 7, "remasking": "margin"},
    {"confidence_threshold": 0.2},
    {"entropy_bound": 3.0},
    {"cfg_scale": 1.0},
    {"temperature": 0.7},
    {"remasking": "random"},
    {"block_cache": "dual"},
    {"block_cache": "prefix", "confidence_threshold": 0.2},
    {"block_cache": "vicinity", "cache_refresh_interval": 2},
    {"block_cache": "dual", "cfg_scale": 0.5},
    {"draft_steps": 3},
    {"draft_steps": 2, "block_cache": "dual"},
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_at_different_blocks_get_the_tokens_of_each_alone(tiny_model, random_ids, monkeypatch, options, engine):
    """In the second row the blocks also start at other positions."""
    if engine == "recorded":
        # On a CPU the static step is run as it stands, in the place of a replay.
        monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
        options = {**options, "compile_config": CompileConfig()}
    rows = Rows(tiny_model(), [random_ids(1, 12)[0], random_ids(1, 7, seed=1)[0]], options)
    for alone, together in zip(rows.alone(), rows.together(), strict=True):
        assert torch.equal(together[0], alone[0])
        assert torch.equal(together[1], alone[1])
        assert together[2] == alone[2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{}, {"cfg_scale": 0.5}, {"draft_steps": 2}], ids=str)
@pytest.mark.parametrize("start, length", [(0, 24), (3, 20)], ids=["all of the canvas", "a part of it"])
def test_a_block_inside_that_of_another_row(tiny_model, random_ids, monkeypatch, start, length, options, engine):
    model, tokens = tiny_model(), random_ids(2, 24)
    tokens[0, start : start + length] = tokens[1, 13:17] = MASK
    expected = model.generate(tokens, max_new_tokens=0, disable_compile=True, **options)
    if engine == "recorded":
        monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
        monkeypatch.setattr(engine_llada, "LENGTH_MULTIPLE", 8)
        options = {**options, "compile_config": CompileConfig()}
    canvas = Canvas.create(tokens, torch.ones_like(tokens), MASK, max_new_tokens=0)
    block = Block.join([block_at(start, length), block_at(13, 4)])
    assert torch.equal(denoise(model, canvas, options, [None], [block]).tokens, expected)


@pytest.mark.parametrize("block_cache", [None, "dual", "prefix"])
def test_each_row_sees_its_own_suffix_window(tiny_model, random_ids, block_cache):
    options = {"suffix_window": 2, "block_cache": block_cache}
    rows = Rows(tiny_model(), [random_ids(1, 12)[0], random_ids(1, 7, seed=1)[0]], options)
    for alone, together in zip(rows.alone(), rows.together(), strict=True):
        assert torch.equal(together[0], alone[0])
