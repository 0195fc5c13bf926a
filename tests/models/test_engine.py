# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising step on static shapes equals the eager one, and is recorded as seldom as possible.

Without a CUDA device the recorded step is run as it stands in the place of a replay. The tests marked `gpu` replay graphs.
"""

import copy
import gc
import threading
import weakref
from types import SimpleNamespace
from unittest.mock import MagicMock

import accelerate
import peft
import pytest
import torch
import transformers
from packaging.version import Version
from support.golden_cases import CACHED_CASES, case_name, options_of
from support.parallel_rules import PARALLEL_RULES
from support.synchronizations import count_synchronizations
from transformers import CompileConfig

from modeling_llada import Constraint, LLaDAGenerationConfig
from modeling_llada.models import engine_llada
from modeling_llada.models.canvas_llada import Canvas
from modeling_llada.models.constraints_llada import TokenAutomaton
from modeling_llada.models.engine_llada import (
    LENGTH_MULTIPLE,
    MAX_REPLAYS,
    POLL_INTERVAL,
    RecordedDenoiser,
    recordings_of,
    why_not_recordable,
)
from modeling_llada.models.remasking_llada import Confidences


MASK = 98
SMALL = {"max_new_tokens": 12, "block_length": 5}
OPTIONS = [
    SMALL,
    {"max_new_tokens": 12},  # one block
    {**SMALL, "steps": 7, "remasking": "margin"},
    {**SMALL, "remasking": "entropy", "stop_at_eos": False},
    {**SMALL, "cfg_scale": 1.5},
    *(SMALL | rule for rule in PARALLEL_RULES.values()),
    {**SMALL, "confidence_threshold": 0.2, "steps": 8},
    {**SMALL, "logits_eos_inf": True, "confidence_eos_eot_inf": True, "eos_token_id": list(range(2, 30))},
    {**SMALL, "eos_token_id": list(range(2, 12)), "confidence_threshold": 0.2},
    {**SMALL, "num_return_sequences": 2},
    {**SMALL, "block_cache": "dual"},
    {**SMALL, "block_cache": "prefix", "steps": 7},
    {**SMALL, "block_cache": "vicinity", "cache_refresh_interval": 2, "entropy_bound": 3.0},
    {**SMALL, "block_cache": "dual", "cfg_scale": 0.5, "confidence_threshold": 0.2},
    {"max_new_tokens": 0, "confidence_threshold": 0.2},
    {**SMALL, "exit_margin": 0.2, "block_cache": "dual", "cfg_scale": 0.5},
    {**SMALL, "temperature": 0.7},
    {**SMALL, "temperature": 0.7, "remasking": "random", "block_cache": "dual"},
    {**SMALL, "temperature": 2.0, "top_k": 9, "top_p": 0.9, "min_p": 0.05},
    {**SMALL, "remasking": "random", "cfg_scale": 0.5},
    {**SMALL, "edit_threshold": 0.0, "max_post_edit_steps": 5},
    {**SMALL, "edit_threshold": 0.05, "stutter_penalty": 1.5, "confidence_threshold": 0.05, "block_cache": "dual"},
    {**SMALL, "edit_threshold": 0.0, "max_post_edit_steps": 2, "temperature": 0.7, "min_commits": 2},
    {**SMALL, "draft_steps": 3},
    {**SMALL, "draft_steps": 2, "block_cache": "dual", "cfg_scale": 0.5},
    {**SMALL, "draft_steps": 4, "block_cache": "prefix", "confidence_threshold": 0.3},
    {**SMALL, "draft_steps": 3, "block_cache": "vicinity", "entropy_bound": 3.0, "eos_token_id": list(range(2, 12))},
]
WITH_OPTIONS = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture
def model(tiny_model):
    return tiny_model()


def as_if_on_cuda(canvas):
    return SimpleNamespace(**vars(canvas) | {"tokens": SimpleNamespace(device=torch.device("cuda"))})


@pytest.fixture
def static(monkeypatch):
    """Lets `generate` take the recorded path on the CPU; says which shapes were recorded and which were replayed."""
    record, log = RecordedDenoiser._record, SimpleNamespace(recorded=[], replayed=[])

    def record_and_log(self, *shape):
        log.recorded.append(shape)
        step = record(self, *shape)
        return lambda: (log.replayed.append(shape), step())[1]

    monkeypatch.setattr(RecordedDenoiser, "_record", record_and_log)
    monkeypatch.setattr(
        engine_llada,
        "why_not_recordable",
        lambda model, canvas, config: why_not_recordable(model, as_if_on_cuda(canvas), config),
    )
    return log


def details(model, prompt, **options):
    options = {"generator": torch.Generator().manual_seed(0), **options}
    return model.generate(**prompt, return_dict_in_generate=True, output_trajectory=True, **options)


def assert_same(first, second):
    """The same tokens at the same steps, with as many forward passes; the same confidences but for rounding."""
    assert torch.equal(first.sequences, second.sequences)
    assert torch.equal(first.num_forward_passes, second.num_forward_passes)
    assert torch.equal(first.tokens_per_forward, second.tokens_per_forward)
    assert torch.equal(first.trajectory[0], second.trajectory[0])
    torch.testing.assert_close(first.trajectory[1], second.trajectory[1], rtol=1e-3, atol=1e-5, equal_nan=True)


def even_and_odd() -> Constraint:
    """Even and odd tokens by turns."""
    table = torch.tensor([[-1, 1, -1], [-1, -1, 0]])
    return Constraint("", TokenAutomaton(torch.arange(99) % 2 + 1, table, torch.tensor([True, True])), "")


class Numbers:
    """A tokenizer without which there are no stop strings."""

    def decode(self, tokens):
        return "".join(f"<{token}>" for token in tokens)


class TestEqualsEager:
    @pytest.mark.parametrize(
        "options", [{}, {"block_length": 5}, {"block_length": 5, "block_cache": "dual"}, {"draft_steps": 3}], ids=str
    )
    def test_stop_strings(self, static, model, random_ids, options):
        """Rows stop in different blocks, so that few are left."""
        prompt, options = {"input_ids": random_ids(8, 9)}, options | {"max_new_tokens": 15, "tokenizer": Numbers()}
        whole = details(model, prompt, disable_compile=True, **options)
        options["stop_strings"] = [f"<{token}>" for token in whole.sequences[:7, 10].tolist()]
        eager = details(model, prompt, disable_compile=True, **options)
        assert (eager.num_forward_passes < whole.num_forward_passes).any()
        recorded = details(model, prompt, **options)
        assert torch.equal(recorded.sequences, eager.sequences)
        assert static.recorded and static.replayed

    @WITH_OPTIONS
    def test_padded_prompts_with_masks(self, static, model, prompt, options):
        eager = details(model, prompt, disable_compile=True, **options)
        assert not static.recorded
        assert_same(details(model, prompt, **options), eager)
        assert static.recorded and static.replayed

    @pytest.mark.parametrize("options", [{}, {"block_cache": "dual"}, {"confidence_threshold": 0.2}], ids=str)
    @pytest.mark.parametrize("length", [LENGTH_MULTIPLE - 10, LENGTH_MULTIPLE - 9, LENGTH_MULTIPLE + 1])
    def test_a_single_row_of_any_length(self, static, tiny_model, random_ids, length, options):
        """With a canvas that is a multiple of 64 already, nothing is padded."""
        model, prompt = tiny_model(max_position_embeddings=128), {"input_ids": random_ids(1, length)}
        options = {"max_new_tokens": 10, "block_length": 4, **options}
        assert_same(details(model, prompt, **options), details(model, prompt, disable_compile=True, **options))
        assert static.replayed

    @pytest.mark.parametrize("changes", [{"num_key_value_heads": 4}, {"tie_word_embeddings": True}], ids=str)
    def test_other_configs(self, static, tiny_model, prompt, changes):
        model = tiny_model(**changes)
        assert_same(details(model, prompt, **SMALL), details(model, prompt, disable_compile=True, **SMALL))
        assert static.replayed

    def test_attention_written_out(self, static, model, prompt):
        """It adds its mask, so that a boolean one would hide nothing."""
        model.set_attn_implementation("eager")
        options = {**SMALL, "block_cache": "prefix"}
        assert_same(details(model, prompt, **options), details(model, prompt, disable_compile=True, **options))

    def test_compiled_confidences_replace_no_field(self, model, prompt, monkeypatch):
        """torch 2.11 cannot compile `_replace` of a named tuple. Without a compiler the same function runs."""
        monkeypatch.delattr(Confidences, "_replace")
        details(model, prompt, **SMALL, disable_compile=True, exit_margin=0.1)

    def test_compile_config(self, model, prompt, monkeypatch):
        """With it static shapes are used on a CPU as well, with compiled operations."""
        compiled = []
        monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(options) or function)
        options = {**SMALL, "block_cache": "dual"}
        output = details(model, prompt, compile_config=CompileConfig(backend="eager"), **options)
        assert [options["backend"] for options in compiled] == ["eager"] * 4
        keys = recordings_of(model).by_key
        assert len(keys) == len({key[0][0] for key in keys}), "one for each number of rows"
        assert_same(output, details(model, prompt, **options))

    @pytest.mark.parametrize("case", CACHED_CASES, ids=case_name)
    def test_fast_dllm(self, static, golden_model, golden, case):
        name, options = f"cached{case['case']}", options_of(case) | {"block_cache": case["cache"]}
        if "threshold" in case:
            options |= {"confidence_threshold": case["threshold"], "steps": None}
        output = details(copy.deepcopy(golden_model), {"input_ids": golden.tensors[f"{name}.prompt"]}, **options)
        assert torch.equal(output.sequences, golden.tensors[f"{name}.sequences"])
        assert output.num_forward_passes.tolist() == [case["forward_passes"]]
        assert static.replayed

    @pytest.mark.parametrize(
        "options",
        [
            SMALL,
            {**SMALL, "block_cache": "dual", "cfg_scale": 0.5, "confidence_threshold": 0.2},
            {**SMALL, "temperature": 0.7, "remasking": "random", "num_return_sequences": 2},
            {**SMALL, "eos_token_id": list(range(2, 12)), "entropy_bound": 3.0},
            {**SMALL, "draft_steps": 3},
        ],
        ids=str,
    )
    def test_constraint(self, static, model, prompt, options):
        """The forward passes are recorded, what follows them is not, and neither are drafts."""
        options = options | {"constraint": even_and_odd()}
        eager = details(model, prompt, disable_compile=True, **options)
        assert_same(details(model, prompt, **options), eager)
        assert bool(static.recorded) == ("draft_steps" not in options)


class TestSteps:
    def test_the_schedule_needs_no_look(self, static, model, random_ids, monkeypatch):
        """Its steps are known beforehand, and no step is made beyond them."""
        monkeypatch.setattr(engine_llada, "POLL_INTERVAL", None)
        output = details(model, {"input_ids": random_ids(1, 12)}, steps=7, stop_at_eos=False, **SMALL)
        assert output.num_forward_passes.tolist() == [7] == [len(static.replayed)]

    @pytest.mark.parametrize("rule", [{"confidence_threshold": 0.15}, {"entropy_bound": 3.0}], ids=str)
    def test_at_most_one_poll_interval_too_many(self, static, model, random_ids, rule):
        """With a parallel rule nobody knows beforehand when a block is finished."""
        options = {**rule, "stop_at_eos": False, "max_new_tokens": 20}
        for block_length, num_blocks in ((20, 1), (7, 3)):
            static.replayed.clear()
            output = details(model, {"input_ids": random_ids(1, 12)}, block_length=block_length, **options)
            needed = output.num_forward_passes.item()
            assert needed < 20
            assert needed <= len(static.replayed) <= needed + num_blocks * (POLL_INTERVAL - 1)

    def test_nothing_is_done_after_the_end(self, static, model, random_ids):
        """All rows end in the first block here."""
        options = {"max_new_tokens": 20, "block_length": 5, "eos_token_id": list(range(2, 98))}
        details(model, {"input_ids": random_ids(2, 12)}, **options)
        assert len(static.replayed) == 5

    def test_a_block_without_masks_costs_nothing(self, static, model, random_ids):
        ids = random_ids(2, 12)
        assert torch.equal(model.generate(ids, max_new_tokens=0), ids)
        assert not static.replayed

    def test_shapes_of_the_replays(self, static, model, random_ids):
        """All positions at the start of a block, then the window of the cache."""
        options = {"max_new_tokens": 6, "block_length": 3, "stop_at_eos": False}
        model.generate(random_ids(1, 12), block_cache="dual", **options)
        assert static.replayed == [(3, None), (3, 3), (3, 3)] * 2
        static.replayed.clear()
        model.generate(random_ids(1, 12), block_cache="dual", cache_refresh_interval=2, **options)
        assert static.replayed == [(3, None), (3, 3), (3, None)] * 2


class TestRecordings:
    OPTIONS = {"max_new_tokens": 8, "block_length": 4, "stop_at_eos": False}

    def test_one_for_all_calls_of_a_shape(self, static, model, random_ids):
        """Prompts, their length within a multiple of 64, the steps and the number of blocks may differ."""
        for seed, length in enumerate((12, 12, 30)):
            for changes in ({}, {"steps": 3}, {"max_new_tokens": 16}, {"stop_at_eos": True}):
                ids, options = random_ids(1, length, seed=seed), self.OPTIONS | changes
                expected = model.generate(ids, disable_compile=True, **options)
                assert torch.equal(model.generate(ids, **options), expected)
        assert static.recorded == [(4, None)]

    @pytest.mark.parametrize("option", ["return_dict_in_generate", "output_trajectory"])
    def test_one_for_whatever_is_returned(self, static, model, random_ids, option):
        model.generate(random_ids(1, 12), **self.OPTIONS)
        model.generate(random_ids(1, 12), **{option: True}, **self.OPTIONS)
        assert len(static.recorded) == 1

    @pytest.mark.parametrize(
        "changes",
        [{"confidence_threshold": 0.3}, {"cfg_scale": 0.5}, {"block_length": 3}, {"remasking": "margin"}],
        ids=str,
    )
    def test_another_for_other_options(self, static, model, random_ids, changes):
        ids, options = random_ids(1, 12), self.OPTIONS | changes
        model.generate(ids, **self.OPTIONS)
        assert torch.equal(model.generate(ids, **options), model.generate(ids, disable_compile=True, **options))
        assert len(static.recorded) >= 2

    def test_another_where_rows_are_not_cut(self, static, model, random_ids):
        """Without `stop_at_eos`, `skip_after_eos` has no effect."""
        ids, options = random_ids(1, 12), self.OPTIONS | {"skip_after_eos": True, "eos_token_id": list(range(40))}
        for stops in (True, False, True):
            expected = model.generate(ids, disable_compile=True, **options | {"stop_at_eos": stops})
            assert torch.equal(model.generate(ids, **options | {"stop_at_eos": stops}), expected)
        assert len(static.recorded) == 2

    def test_another_for_another_shape(self, static, tiny_model, random_ids):
        model = tiny_model(max_position_embeddings=128)
        for shape in ((1, 12), (2, 12), (1, 60), (1, 12)):
            ids = random_ids(*shape)
            expected = model.generate(ids, disable_compile=True, **self.OPTIONS)
            assert torch.equal(model.generate(ids, **self.OPTIONS), expected)
        assert static.recorded == [(4, None)] * 3

    def test_another_for_a_padded_batch(self, static, model, random_ids):
        """Without padding there is no mask for the attention, if the length is a multiple of 64."""
        ids, attention_mask = random_ids(1, 56), torch.ones(1, 56).long()
        for zeros in (0, 5):
            attention_mask[:, :zeros] = 0
            prompt = {"input_ids": ids, "attention_mask": attention_mask}
            expected = model.generate(**prompt, disable_compile=True, **self.OPTIONS)
            assert torch.equal(model.generate(**prompt, **self.OPTIONS), expected)
        assert len(static.recorded) == 2

    def test_new_values_in_the_weights_need_no_new_one(self, static, model, random_ids):
        """As after a step of an optimizer, or `load_state_dict`."""
        ids = random_ids(1, 12)
        before = model.generate(ids, **self.OPTIONS)
        model.load_state_dict({name: value.flip(0) for name, value in model.state_dict().items()})
        after = model.generate(ids, **self.OPTIONS)
        assert torch.equal(after, model.generate(ids, disable_compile=True, **self.OPTIONS))
        assert not torch.equal(after, before) and len(static.recorded) == 1

    def test_weights_that_moved_need_a_new_one(self, static, model, random_ids):
        """A graph would read the memory in which they lay."""
        ids = random_ids(1, 12)
        model.generate(ids, **self.OPTIONS)
        for layer in (model.lm_head, model.model.layers[1].self_attn.k_proj, model.model.norm):
            layer.weight.data = layer.weight.data.flip(0).clone()
            expected = model.generate(ids, disable_compile=True, **self.OPTIONS)
            assert torch.equal(model.generate(ids, **self.OPTIONS), expected)
        assert len(static.recorded) == 4

    def test_frequencies_that_moved_need_a_new_one(self, static, model, random_ids):
        """Buffers are no parameters, but are read as well."""
        ids = random_ids(1, 12)
        model.generate(ids, **self.OPTIONS)
        model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq * 2
        model.generate(ids, **self.OPTIONS)
        assert len(static.recorded) == 2

    def test_the_ones_used_last_are_kept(self, static, model, random_ids, monkeypatch):
        monkeypatch.setattr(engine_llada, "MAX_RECORDINGS", 2)
        for batch_size, num_recorded in ((1, 1), (2, 2), (1, 2), (3, 3), (1, 3), (2, 4)):
            model.generate(random_ids(batch_size, 12), **self.OPTIONS)
            assert len(static.recorded) == num_recorded
        assert len(recordings_of(model).by_key) == 2

    def test_they_do_not_keep_the_model_alive(self, static, tiny_model, random_ids):
        model = tiny_model()
        model.generate(random_ids(1, 12), block_cache="dual", **self.OPTIONS)
        reference = weakref.ref(model)
        del model
        gc.collect()
        assert reference() is None

    def test_a_later_call_leaves_earlier_results_alone(self, static, model, prompt, random_ids):
        first = details(model, prompt, **self.OPTIONS)
        kept = copy.deepcopy(first)
        sequences = model.generate(**prompt, **self.OPTIONS)
        model.generate(random_ids(4, 12, seed=1), **self.OPTIONS)
        details(model, {"input_ids": random_ids(4, 12, seed=2)}, **self.OPTIONS)
        assert_same(first, kept)
        assert torch.equal(sequences, kept.sequences)

    def test_a_call_that_fails_leaves_nothing_behind(self, static, model, random_ids, monkeypatch):
        """Out of memory, for instance; the next call of the shape records again."""
        ids = random_ids(1, 12)
        expected = model.generate(ids, disable_compile=True, **self.OPTIONS)
        attributes = [set(vars(module)) for module in model.modules()]
        with monkeypatch.context() as broken:
            broken.setitem(vars(model.lm_head), "forward", MagicMock(side_effect=torch.OutOfMemoryError))
            with pytest.raises(torch.OutOfMemoryError):
                model.generate(ids, **self.OPTIONS)
        assert [set(vars(module)) for module in model.modules()] == attributes
        assert torch.equal(model.generate(ids, **self.OPTIONS), expected)

    def test_inference_mode(self, static, model, random_ids):
        """A recording that is made in it can be used outside, and the model can still be trained."""
        ids = random_ids(1, 12)
        expected = model.generate(ids, disable_compile=True, **self.OPTIONS)
        with torch.inference_mode():
            assert torch.equal(model.generate(ids, **self.OPTIONS), expected)
        assert torch.equal(model.generate(ids, **self.OPTIONS), expected)
        model.train()(ids, labels=ids).loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_threads(self, static, model, random_ids):
        """A server answers several requests at once; they share the memory of a recording."""
        prompts = [random_ids(1, 12, seed=seed) for seed in range(4)]
        expected = [model.generate(ids, disable_compile=True, **self.OPTIONS) for ids in prompts]
        results, barrier = {}, threading.Barrier(4)

        def answer(index):
            barrier.wait()
            results[index] = [model.generate(prompts[index], **self.OPTIONS) for _ in range(5)]

        threads = [threading.Thread(target=answer, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(one, expected[index]) for index in range(4) for one in results[index])


class TestWhyNotRecordable:
    def reason(self, model, **options):
        canvas = Canvas.create(torch.full((1, 4), 5), torch.ones(1, 4).long(), MASK, max_new_tokens=4)
        return why_not_recordable(model, as_if_on_cuda(canvas), LLaDAGenerationConfig(**options))

    def test_none(self, model):
        assert self.reason(model) is None
        assert self.reason(model, temperature=0.7, do_sample=False) is None
        assert self.reason(model, disable_compile=False, block_cache="dual", cfg_scale=1.0) is None

    def test_no_cuda_device(self, model):
        canvas = Canvas.create(torch.full((1, 4), 5), torch.ones(1, 4).long(), MASK, max_new_tokens=4)
        assert "CUDA" in why_not_recordable(model, canvas, LLaDAGenerationConfig())

    def test_hidden_states_that_were_asked_for_before(self, static, model, random_ids):
        """transformers leaves its hooks behind. They do nothing in later calls."""
        model(random_ids(1, 4), output_hidden_states=True)
        assert any(module._forward_hooks for module in model.modules())
        assert self.reason(model) is None
        model.generate(random_ids(1, 12), **SMALL)
        assert static.recorded

    OPTIONS = {
        "`disable_compile`": {"disable_compile": True},
        "suffix window": {"suffix_window": 4},
    }

    @pytest.mark.parametrize("reason", OPTIONS)
    def test_options(self, static, model, random_ids, reason):
        options = self.OPTIONS[reason]
        assert reason in self.reason(model, **options)
        generators = [{"generator": torch.Generator().manual_seed(0)} for _ in range(2)]
        first, second = (model.generate(random_ids(1, 12), **SMALL, **options, **one) for one in generators)
        assert torch.equal(first, second) and not static.recorded

    def test_tokens_that_move(self, model):
        assert "DELETE and INSERT" in self.reason(model, edit_threshold=0.5, insert_delete=True)

    def test_training_mode(self, static, model, random_ids):
        model.train()
        assert "training" in self.reason(model)
        model.generate(random_ids(1, 12), **SMALL)
        assert not static.recorded

    def test_several_devices(self, static, model, random_ids):
        """Then, or when weights are offloaded, accelerate moves what is needed to where it is needed."""
        accelerate.hooks.add_hook_to_module(model, accelerate.hooks.AlignDevicesHook("cpu"))
        assert "devices" in self.reason(model)
        model.generate(random_ids(1, 12), **SMALL)
        assert not static.recorded

    @pytest.mark.parametrize("is_wrapped", [True, False])
    def test_adapters(self, static, model, random_ids, is_wrapped):
        """By `get_peft_model`, and by the model's own `add_adapter`."""
        config = peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
        if is_wrapped:
            peft.get_peft_model(model, config)
        else:
            needed = transformers.integrations.peft.MIN_PEFT_VERSION
            if Version(peft.__version__) < Version(needed):
                pytest.skip(f"`add_adapter` of transformers {transformers.__version__} needs PEFT {needed}")
            model.add_adapter(config)
        assert "adapters" in self.reason(model)
        model.eval().generate(random_ids(1, 12), **SMALL)
        assert not static.recorded

    @pytest.mark.parametrize("tp_size", [None, 1, 2])
    def test_tensor_parallelism(self, model, tp_size):
        model._tp_size = tp_size
        assert (self.reason(model) is None) == (tp_size != 2)

    def test_hooks(self, static, model, random_ids):
        """They are Python, which a replay does not run; someone may steer the model by them, or look inside."""
        ids = random_ids(1, 12)
        before = model.generate(ids, **SMALL)
        seen = []
        handle = model.model.layers[0].register_forward_hook(lambda module, args, output: seen.append(1) or -output)
        assert "hooks" in self.reason(model)
        static.replayed.clear()
        assert not torch.equal(model.generate(ids, **SMALL), before)
        assert len(seen) == 12 and not static.replayed
        handle.remove()
        assert torch.equal(model.generate(ids, **SMALL), before) and static.replayed

    @pytest.mark.parametrize("attn_implementation", ["eager", "flash_attention_2", "flex_attention"])
    def test_an_attention_that_makes_something_else_of_the_mask(self, model, attn_implementation):
        model.config._attn_implementation = attn_implementation
        assert "attention" in self.reason(model)

    def test_frequencies_that_depend_on_the_length(self, tiny_model):
        """They are chosen on the host."""
        for rope_type, is_recorded in (("default", True), ("linear", True), ("dynamic", False)):
            rope_parameters = {"rope_type": rope_type, "factor": 2.0, "rope_theta": 10000.0}
            assert (self.reason(tiny_model(rope_parameters=rope_parameters)) is None) == is_recorded

    def test_autocast(self, model):
        """Its casts of the weights would be read from a cache that is gone."""
        canvas = Canvas.create(torch.full((1, 4), 5), torch.ones(1, 4).long(), MASK, max_new_tokens=4)
        config = LLaDAGenerationConfig(compile_config=CompileConfig())
        assert why_not_recordable(model, canvas, config) is None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert "autocast" in why_not_recordable(model, canvas, config)

    CALLABLES = {
        "logits_processor": lambda: [lambda ids, scores: scores],
        "remasking": lambda: lambda confidence, mask, budget: mask & (mask.cumsum(-1) <= budget[:, None]),
    }

    @pytest.mark.parametrize("name", CALLABLES)
    def test_python_inside_of_a_step(self, static, model, random_ids, name):
        model.generate(random_ids(1, 12), **SMALL, **{name: self.CALLABLES[name]()})
        assert not static.recorded


class Recorder:
    """A streamer that keeps what it gets."""

    takes_steps = True

    def __init__(self):
        self.events = []

    def put(self, value):
        self.events.append((value,))

    def put_draft(self, value, step, confidence, top_tokens):
        self.events.append((value, torch.tensor(step), confidence, top_tokens))

    def end(self):
        self.events.append(())


class TestWatchers:
    """Streamers and criteria look at recorded steps as they look at others."""

    OPTIONS = [
        SMALL,
        {**SMALL, "confidence_threshold": 0.2, "block_cache": "dual"},
        {**SMALL, "temperature": 0.7, "confidence_eos_eot_inf": True},
        {**SMALL, "draft_steps": 3, "eos_token_id": list(range(2, 12))},
    ]

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_a_streamer_gets_the_same(self, static, model, random_ids, options):
        recorders = Recorder(), Recorder()
        for recorder, more in zip(recorders, ({}, {"disable_compile": True}), strict=True):
            details(model, {"input_ids": random_ids(1, 12)}, streamer=recorder, **options, **more)
        recorded, eager = (recorder.events for recorder in recorders)
        assert static.replayed and len(recorded) == len(eager) > 4
        for ours, theirs in zip(recorded, eager, strict=True):
            for our, their in zip(ours, theirs, strict=True):
                torch.testing.assert_close(our, their, rtol=1e-3, atol=1e-5, equal_nan=True)

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_criteria_get_the_same_and_stop_the_same_rows(self, static, model, prompt, options):
        outputs, calls = [], []
        for more in ({}, {"disable_compile": True}):
            calls.append([])

            def stop(input_ids, scores, calls=calls[-1]):
                input_ids.view(-1)  # as contiguous as elsewhere, and not overwritten later
                calls.append((input_ids, scores))
                return torch.arange(len(input_ids)) < len(calls) - 5

            outputs.append(details(model, prompt, stopping_criteria=[stop], **options, **more))
        assert static.replayed
        assert_same(*outputs)
        assert torch.equal(outputs[0].stopped, outputs[1].stopped) and outputs[0].stopped.any()
        for ours, theirs in zip(*calls, strict=True):
            assert torch.equal(ours[0], theirs[0])
            torch.testing.assert_close(ours[1], theirs[1], rtol=1e-3, atol=1e-4)


class TestEndedRows:
    """They leave a recorded batch at the start of a block, when what is left fits half of it."""

    SIZES = {"max_new_tokens": 30, "block_length": 3, "eos_token_id": list(range(2, 14))}

    def batch_sizes(self, model):
        return sorted(key[0][0] for key in recordings_of(model).by_key)

    @pytest.mark.parametrize("options", [{}, {"confidence_threshold": 0.2}, {"cfg_scale": 0.5}], ids=str)
    def test_the_rest_goes_on_in_a_smaller_recording(self, static, model, random_ids, options):
        ids = random_ids(8, 12, seed=3)
        eager = details(model, {"input_ids": ids}, disable_compile=True, **self.SIZES, **options)
        assert eager.num_forward_passes.unique().numel() > 2
        assert_same(details(model, {"input_ids": ids}, **self.SIZES, **options), eager)
        assert len(self.batch_sizes(model)) > 1 and set(self.batch_sizes(model)) <= {1, 2, 4, 8}

    def test_a_second_call_records_nothing(self, static, model, random_ids):
        """Nor does a prompt without masks, which is a block without steps."""
        for batch_size in (8, 4):
            model.generate(random_ids(batch_size, 12, seed=3), **self.SIZES)
        static.recorded.clear()
        for batch_size in (8, 4):
            model.generate(random_ids(batch_size, 12, seed=3), **self.SIZES)
        assert not static.recorded and all(one.replays for one in recordings_of(model).by_key.values())

    def test_a_second_call_with_the_prefix_of_many_blocks_records_nothing(self, static, model, random_ids):
        """Each block has a window of another length, and there are more blocks than replays."""
        options = {"max_new_tokens": 3 * (MAX_REPLAYS + 1), "block_length": 3, "steps": 2 * (MAX_REPLAYS + 1)}
        outputs = [model.generate(random_ids(2, 12), block_cache="prefix", **options) for _ in range(2)]
        assert torch.equal(*outputs)
        assert static.recorded == [(3, None), (3, LENGTH_MULTIPLE)]

    @pytest.mark.parametrize("seeds", [[5], list(range(8))], ids=str)
    def test_each_row_keeps_its_generator(self, static, model, random_ids, seeds):
        outputs = []
        for more in ({}, {"disable_compile": True}):
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            generator = generators if len(seeds) > 1 else generators[0]
            prompt = {"input_ids": random_ids(8, 12)}
            outputs.append(details(model, prompt, temperature=1.0, generator=generator, **self.SIZES, **more))
        assert_same(*outputs)
        assert len(self.batch_sizes(model)) > 1

    @pytest.mark.parametrize("options", [{"block_cache": "dual"}, {"draft_steps": 2}], ids=str)
    def test_where_fewer_rows_cost_the_same_they_stay(self, static, model, random_ids, options):
        model.generate(random_ids(8, 12, seed=3), **self.SIZES, **options)
        assert set(self.batch_sizes(model)) <= {8, 16}


class TestRandomNumbers:
    def test_one_recording_for_all_temperatures(self, static, model, random_ids):
        ids = random_ids(1, 12)
        for options in ({"temperature": 0.5}, {"temperature": 2.0}, {}, {"temperature": 0.5, "do_sample": False}):
            generators = [{"generator": torch.Generator().manual_seed(0)} for _ in range(2)]
            eager = model.generate(ids, **SMALL, **options, **generators[0], disable_compile=True)
            assert torch.equal(model.generate(ids, **SMALL, **options, **generators[1]), eager)
        assert len(recordings_of(model).by_key) == 2, "one that samples and one that does not"

    def test_the_replays_and_numbers_of_a_recording_are_limited(self, static, model, random_ids):
        for length in range(1, 2 * MAX_REPLAYS):
            model.generate(random_ids(1, 12), max_new_tokens=length, temperature=1.0)
        (recording,) = recordings_of(model).by_key.values()
        assert len(recording.replays) == len(recording.uniform) == MAX_REPLAYS

    def test_a_seed_means_the_same_with_and_without_a_recording(self, static, model, prompt):
        for seeds in ([5], [5, 6, 7, 8]):
            for more in ({}, {"disable_compile": True}):
                generators = [torch.Generator().manual_seed(seed) for seed in seeds]
                generator = generators if len(seeds) > 1 else generators[0]
                outputs = [
                    model.generate(**prompt, temperature=1.0, generator=generator, **SMALL, **more) for _ in range(2)
                ]
                assert not torch.equal(*outputs)
                if not more:
                    recorded = outputs
            assert all(torch.equal(*pair) for pair in zip(recorded, outputs, strict=True))
        assert static.replayed


@pytest.mark.gpu
class TestOnGPU:
    """The graphs themselves, in float32."""

    @pytest.fixture
    def model(self, tiny_model):
        return tiny_model(max_position_embeddings=128).cuda()

    @WITH_OPTIONS
    def test_equals_eager(self, model, prompt, options):
        eager = details(model, prompt, disable_compile=True, **options)
        for _ in range(2):
            assert_same(details(model, prompt, **options), eager)
        keys = recordings_of(model).by_key
        assert len(keys) == len({key[0][0] for key in keys}), "one for each number of rows"

    @pytest.mark.parametrize("options", [SMALL, {**SMALL, "temperature": 0.7, "block_cache": "dual"}], ids=str)
    def test_constraint(self, model, prompt, options):
        options = options | {"constraint": even_and_odd()}
        eager = details(model, prompt, disable_compile=True, **options)
        for _ in range(2):
            assert_same(details(model, prompt, **options), eager)

    def test_equals_the_cpu(self, model, prompt):
        on_gpu = model.generate(**prompt, **SMALL).cpu()
        assert torch.equal(on_gpu, model.cpu().generate(**prompt, **SMALL))

    @pytest.mark.parametrize("changes", [{}, {"block_cache": "dual"}, {"cfg_scale": 1.0}], ids=str)
    def test_no_synchronization_in_a_step_of_the_schedule(self, model, random_ids, changes):
        """The same blocks with four and with sixteen steps each."""
        options = {"max_new_tokens": 64, "block_length": 16, "stop_at_eos": False, **changes}
        counts = []
        for steps in (16, 64):
            call = lambda steps=steps: model.generate(random_ids(2, 12), steps=steps, **options)  # noqa: E731
            call()
            counts.append(count_synchronizations(call))
        assert counts[0] == counts[1]

    def test_one_in_two_steps_with_a_parallel_rule(self, model, random_ids):
        """A threshold that is never reached: as many steps as tokens, in one block."""
        options = {"confidence_threshold": 1.0, "stop_at_eos": False}
        counts = []
        for length in (16, 48):
            call = lambda length=length: model.generate(random_ids(2, 12), max_new_tokens=length, **options)  # noqa: E731
            call()
            counts.append(count_synchronizations(call))
        assert 0 < counts[1] - counts[0] <= (48 - 16) / POLL_INTERVAL

    def test_the_count_would_notice_one(self):
        assert count_synchronizations(lambda: torch.ones(1, device="cuda").item()) == 1

    def test_a_replay_reads_new_values_of_the_weights(self, model, prompt):
        model.generate(**prompt, **SMALL)
        model.load_state_dict({name: value.flip(0) for name, value in model.state_dict().items()})
        assert_same(details(model, prompt, **SMALL), details(model, prompt, disable_compile=True, **SMALL))

    def test_weights_that_moved(self, model, prompt):
        for _ in range(3):
            assert_same(details(model, prompt, **SMALL), details(model, prompt, disable_compile=True, **SMALL))
            model = model.cpu().cuda()
        model = model.to(torch.bfloat16)
        assert not (model.generate(**prompt, stop_at_eos=False, **SMALL)[:, 12:] == MASK).any()

    def test_a_training_step_in_between(self, model, prompt, random_ids):
        optimizer, ids = torch.optim.AdamW(model.parameters(), lr=0.01), random_ids(2, 12).cuda()
        for _ in range(3):
            assert_same(details(model, prompt, **SMALL), details(model, prompt, disable_compile=True, **SMALL))
            model.train()(ids, labels=ids).loss.backward()
            optimizer.step()
            model.eval()

    def test_inference_mode(self, model, prompt):
        eager = details(model, prompt, disable_compile=True, **SMALL)
        with torch.inference_mode():
            assert_same(details(model, prompt, **SMALL), eager)
        assert_same(details(model, prompt, **SMALL), eager)

    def test_many_shapes(self, model, random_ids, monkeypatch):
        """Recordings that are dropped take their memory along."""
        monkeypatch.setattr(engine_llada, "MAX_RECORDINGS", 2)
        allocated = []
        for round_ in range(3):
            for batch_size in (1, 2, 3, 4):
                ids = random_ids(batch_size, 12, seed=round_)
                expected = model.generate(ids, disable_compile=True, **SMALL)
                assert torch.equal(model.generate(ids, **SMALL), expected)
            gc.collect()
            torch.cuda.empty_cache()
            allocated.append(torch.cuda.memory_allocated())
        assert allocated[2] == allocated[1]

    def test_threads(self, model, random_ids):
        prompts = [random_ids(1, 12, seed=seed).cuda() for seed in range(4)]
        expected = [model.generate(ids, disable_compile=True, **SMALL) for ids in prompts]
        results = {}

        def answer(index):
            results[index] = [model.generate(prompts[index], **SMALL) for _ in range(5)]

        threads = [threading.Thread(target=answer, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(one, expected[index]) for index in range(4) for one in results[index])

    @pytest.mark.parametrize("options", TestWatchers.OPTIONS, ids=str)
    def test_a_streamer_gets_the_same(self, model, random_ids, options):
        events = []
        for more in ({}, {}, {"disable_compile": True}):
            recorder = Recorder()
            details(model, {"input_ids": random_ids(1, 12)}, streamer=recorder, **options, **more)
            events.append(recorder.events)
        for ours, theirs in zip(events[1], events[2], strict=True):
            for our, their in zip(ours, theirs, strict=True):
                torch.testing.assert_close(our, their, rtol=1e-3, atol=1e-5, equal_nan=True)
        assert recordings_of(model).by_key
