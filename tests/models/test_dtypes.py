# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Half precision, and devices without float64 (Apple's MPS): sampling, scoring and the noise of training."""

import pytest
import torch
from support.parallel_rules import PARALLEL_RULES
from support.pretend_mps import PretendedMPS, pretended, to_pretended_mps
from transformers import AutoModel

from modeling_llada import Constraint
from modeling_llada.models.constraints_llada import TokenAutomaton
from modeling_llada.models.diffusion_llada import (
    diffusion_loss,
    mask_tokens,
    random_ranks,
    sample_counts,
    sample_rates,
)
from modeling_llada.training.pretraining.held_out_loss import held_out_loss


OPTIONS = {
    "greedy": {},
    "guided": {"cfg_scale": 1.0},
    "margin": {"remasking": "margin"},
    "entropy": {"remasking": "entropy"},
    "EOS options": {"logits_eos_inf": True, "confidence_eos_eot_inf": True},
    **PARALLEL_RULES,
}
SAMPLING = {"sampled": {"temperature": 1.0}, "random": {"remasking": "random"}}


def parametrize(name, options):
    return pytest.mark.parametrize(name, options.values(), ids=options.keys())


@pytest.fixture
def padded(random_ids):
    """Two prompts, one of them padded."""
    attention_mask = torch.ones(2, 6, dtype=torch.long)
    attention_mask[0, :2] = 0
    return {"input_ids": random_ids(2, 6), "attention_mask": attention_mask, "max_new_tokens": 4, "block_length": 2}


class TestHalfPrecision:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
    @parametrize("options", OPTIONS | SAMPLING)
    def test_generates(self, golden_path, padded, dtype, options):
        """Every mask is replaced, and confidences are finite float32 numbers."""
        model = AutoModel.from_pretrained(golden_path, dtype=dtype)
        output = model.generate(
            **padded,
            **options,
            stop_at_eos=False,
            generator=torch.Generator().manual_seed(0),
            return_dict_in_generate=True,
            output_trajectory=True,
        )
        assert (output.sequences != model.config.mask_token_id).all()
        assert torch.equal(output.sequences[:, :6], padded["input_ids"])
        confidence = output.trajectory[1][:, 6:]
        assert confidence.dtype == torch.float32 and ((confidence >= 0) & (confidence <= 1)).all()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
    def test_scores_stay_close(self, golden_path, golden_model, random_ids, dtype):
        model, input_ids = AutoModel.from_pretrained(golden_path, dtype=dtype), random_ids(2, 8)
        score, exact = (
            one.log_likelihood(input_ids, input_ids, num_samples=8, generator=torch.Generator().manual_seed(0))
            for one in (model, golden_model)
        )
        assert score.log_likelihood.dtype == torch.float32
        torch.testing.assert_close(score.log_likelihood, exact.log_likelihood, rtol=0.02, atol=0)


class TestWithoutFloat64:
    """On a pretended MPS device, which raises the errors of the real one; see `pretend_mps.py`."""

    @pytest.fixture
    def model(self, golden_path):
        return to_pretended_mps(AutoModel.from_pretrained(golden_path, dtype=torch.float32))

    def test_the_pretended_device_refuses(self):
        tensor = pretended(torch.ones(2))
        with PretendedMPS():
            assert tensor.device.type == (tensor + 1).device.type == torch.rand(1, device="mps").device.type == "mps"
            assert tensor.cpu().device.type == torch.rand(1).device.type == "cpu"
            for refused in (tensor.double, lambda: tensor.sum(dtype=torch.float64), lambda: tensor.to(torch.float64)):
                with pytest.raises(TypeError, match="float64"):
                    refused()
            with pytest.raises(TypeError, match="float64"):
                torch.zeros(2, dtype=torch.float64, device="mps")
            with pytest.raises(RuntimeError, match="same device"):
                tensor + torch.ones(2)
            with pytest.raises(RuntimeError, match="generator"):
                torch.rand(2, device="mps", generator=torch.Generator())

    @parametrize("options", OPTIONS)
    def test_generates_the_same_tokens(self, model, golden_model, padded, options):
        expected = golden_model.generate(**padded, **options)
        with PretendedMPS():
            assert model.device.type == "mps"
            output = model.generate(**padded, **options)
            assert output.device.type == "mps"
        assert output.tolist() == expected.tolist()

    @pytest.mark.parametrize(
        "changes", [{}, {"temperature": 1.0, "top_k": 4}, {"edit_threshold": 0.01, "max_post_edit_steps": 1}], ids=str
    )
    def test_constraint(self, model, padded, changes):
        """Three even tokens and an odd one, by turns. The automaton stays on the CPU, and what is computed with it does not."""
        table = torch.tensor([[-1, 1, -1], [-1, 2, -1], [-1, 3, -1], [-1, -1, 0]])
        token_class = torch.arange(model.config.vocab_size) % 2 + 1
        token_class[model.config.mask_token_id] = 0
        constraint = Constraint("", TokenAutomaton(token_class, table, torch.tensor([True] * 4)), "")
        options = {"max_new_tokens": 8, "block_length": 3, "logits_eos_inf": True, "confidence_threshold": 0.01}
        with PretendedMPS():
            output = model.generate(**padded | options | changes, constraint=constraint).cpu()
        assert (output[:, -8:] % 2).tolist() == [[0, 0, 0, 1, 0, 0, 0, 1]] * len(output)

    @pytest.mark.parametrize("generators", ["none", "one", "one a row"])
    @parametrize("options", SAMPLING)
    def test_samples(self, model, padded, options, generators):
        """The noise is in float32, so tokens differ from those of other devices, but calls are reproducible."""

        def generator():
            one = torch.Generator().manual_seed(0)
            return {"none": None, "one": one, "one a row": [one, torch.Generator().manual_seed(1)]}[generators]

        with PretendedMPS():
            outputs = [
                model.generate(**padded, **options, stop_at_eos=False, generator=generator()).tolist()
                for _ in range(1 if generators == "none" else 2)
            ]
        assert all(model.config.mask_token_id not in row for row in outputs[0])
        assert outputs[0] == outputs[-1]

    @pytest.mark.parametrize("cfg_scale", [0.0, 1.0])
    def test_scores(self, model, golden_model, random_ids, cfg_scale):
        """The noise of a CPU generator is the same on every device."""
        input_ids, labels = random_ids(2, 8), random_ids(2, 8)
        labels[:, :3] = -100
        scores = []
        for one in (golden_model, model):
            with PretendedMPS():
                generator = torch.Generator().manual_seed(0)
                score = one.log_likelihood(input_ids, labels, num_samples=4, cfg_scale=cfg_scale, generator=generator)
                scores.append(score.log_likelihood.tolist())
        assert scores[0] == pytest.approx(scores[1])
        with PretendedMPS():
            assert (model.perplexity(input_ids, num_samples=2) > 1).all()

    def test_the_noise_of_training(self, model, random_ids):
        input_ids = pretended(random_ids(4, 8))
        with PretendedMPS():
            rates = sample_rates(4, device="mps")
            noisy, mask = mask_tokens(input_ids, rates, model.config.mask_token_id)
            positions = mask.flatten().nonzero().flatten()
            losses = model(noisy, labels=input_ids, masked_positions=positions).losses
            loss = diffusion_loss(losses, rates[positions // 8], num_items=32)
            loss.backward()
            counts = sample_counts(input_ids.new_full((4,), 8))
            ranks = random_ranks(torch.ones_like(input_ids, dtype=torch.bool))
            assert {t.device.type for t in (rates, noisy, mask, loss, counts, ranks)} == {"mps"}
            assert rates.dtype == loss.dtype == torch.float32

    def test_the_evaluation_loss(self, model, golden_model, random_ids):
        """The sum in float64 is computed on the CPU."""
        rows = random_ids(4, 8)
        options = {"num_samples": 2, "batch_size": 2}
        expected = held_out_loss(golden_model, rows, **options)
        with PretendedMPS():
            loss = held_out_loss(model, pretended(rows), **options)
        assert loss == pytest.approx(expected, rel=1e-5)
