# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Parity: the official layout loads, and gives what the reference code gave (tests/golden/llada-mha/README.md)."""

import pytest
import torch
from support.golden_cases import CACHED_CASES, CASES, case_name, options_of


class TestForward:
    def test_logits(self, golden_model, golden):
        with torch.no_grad():
            logits = golden_model(golden.tensors["forward.input_ids"]).logits
        torch.testing.assert_close(logits, golden.tensors["forward.logits"], rtol=1e-4, atol=3e-5)

    def test_last_hidden_state(self, golden_model, golden):
        with torch.no_grad():
            hidden_state = golden_model.model(golden.tensors["forward.input_ids"]).last_hidden_state
        torch.testing.assert_close(hidden_state, golden.tensors["forward.last_hidden_state"], rtol=1e-4, atol=3e-5)

    def test_left_padded_logits(self, golden_model, golden):
        attention_mask = golden.tensors["forward_padded.attention_mask"]
        with torch.no_grad():
            logits = golden_model(golden.tensors["forward.input_ids"], attention_mask=attention_mask).logits
        kept = attention_mask.bool()
        assert not kept.all()
        torch.testing.assert_close(logits[kept], golden.tensors["forward_padded.logits"][kept], rtol=1e-4, atol=3e-5)


class TestGenerate:
    @pytest.mark.parametrize("case", CASES, ids=case_name)
    def test_sequences_are_token_exact(self, golden_model, golden, case):
        name = f"case{case['case']}"
        sequences = golden_model.generate(
            golden.tensors[f"{name}.prompt"],
            attention_mask=golden.tensors.get(f"{name}.attention_mask"),
            **options_of(case),
        )
        assert torch.equal(sequences, golden.tensors[f"{name}.sequences"])

    def test_the_goldens_include_padding_in_a_batch(self, golden):
        """Otherwise the test above would not test it."""
        assert not golden.tensors["case7.attention_mask"].all()
        assert "cfg_scale" in golden.cases[8] and not golden.tensors["case8.attention_mask"].all()

    @pytest.mark.parametrize("case", [case for case in CASES if case["batch"] > 1], ids=case_name)
    def test_a_row_of_a_padded_batch_equals_the_row_by_itself(self, golden_model, golden, case):
        name = f"case{case['case']}"
        prompt, attention_mask = golden.tensors[f"{name}.prompt"], golden.tensors[f"{name}.attention_mask"].bool()
        expected = golden.tensors[f"{name}.sequences"]
        for row in range(case["batch"]):
            padding = int((~attention_mask[row]).sum())
            alone = golden_model.generate(prompt[row : row + 1, padding:], **options_of(case))
            assert torch.equal(alone[0], expected[row, padding:])

    @pytest.mark.parametrize("case", CACHED_CASES, ids=case_name)
    def test_fast_dllm_is_token_exact_with_as_many_forward_passes(self, golden_model, golden, case):
        """Quota and threshold, each without a cache, with the prefix cache and with the dual cache."""
        name = f"cached{case['case']}"
        options = options_of(case) | {"block_cache": case["cache"]}
        if "threshold" in case:
            options |= {"confidence_threshold": case["threshold"], "steps": None}
        output = golden_model.generate(golden.tensors[f"{name}.prompt"], **options, return_dict_in_generate=True)
        assert torch.equal(output.sequences, golden.tensors[f"{name}.sequences"])
        assert output.num_forward_passes.tolist() == [case["forward_passes"]]

    @pytest.mark.parametrize("case", CACHED_CASES, ids=case_name)
    def test_drafts_are_lossless(self, golden_model, golden, case):
        """The same tokens as the reference; it makes one step in a forward pass."""
        name = f"cached{case['case']}"
        options = options_of(case) | {"block_cache": case["cache"], "draft_steps": 4}
        if "threshold" in case:
            options |= {"confidence_threshold": case["threshold"], "steps": None}
        output = golden_model.generate(golden.tensors[f"{name}.prompt"], **options, return_dict_in_generate=True)
        assert torch.equal(output.sequences, golden.tensors[f"{name}.sequences"])
        assert output.num_forward_passes[0] <= case["forward_passes"]
