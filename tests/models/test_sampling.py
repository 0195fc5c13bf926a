# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Temperature: Gumbel-max samples from the exact categorical distribution, and seeds mean what they should."""

import pytest
import torch
from support.mock_model import MASK, VOCAB_SIZE, MockModel, context_script, details
from transformers import GenerationConfig, LogitsProcessor, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.utils import logging

from modeling_llada.models.sampling_llada import draw_uniform, propose


PROMPT = torch.tensor([[2, 3, 4]])
DRAWS = 20_000


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def frequencies(logits, temperature, seed=0):
    """How often each token is proposed in many draws from the same logits."""
    uniform = draw_uniform(torch.ones(1, DRAWS, dtype=torch.bool), [seeded(seed)], width=len(logits))
    proposal = propose(logits.expand(DRAWS, -1), uniform, MASK, temperature)
    return torch.bincount(proposal, minlength=len(logits)).double() / DRAWS


class TestDistribution:
    @pytest.fixture
    def logits(self):
        return torch.randn(VOCAB_SIZE, generator=seeded(0)) * 2

    @pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
    def test_equals_the_categorical_distribution(self, logits, temperature):
        """Pearson's statistic over tokens with enough counts; 31 degrees of freedom at most, 1e-6 at 85."""
        exact = logits.double().masked_fill(torch.arange(VOCAB_SIZE) == MASK, -torch.inf) / temperature
        exact = exact.softmax(-1)
        observed = frequencies(logits, temperature)
        enough = exact * DRAWS >= 5
        statistic = (DRAWS * (observed - exact)[enough] ** 2 / exact[enough]).sum()
        assert statistic < 85
        assert observed[~enough].sum() < exact[~enough].sum() + 0.002

    def test_the_bound_above_would_notice_a_wrong_temperature(self, logits):
        exact = (logits.double().masked_fill(torch.arange(VOCAB_SIZE) == MASK, -torch.inf) / 1.1).softmax(-1)
        observed = frequencies(logits, 1.0)
        enough = exact * DRAWS >= 5
        assert (DRAWS * (observed - exact)[enough] ** 2 / exact[enough]).sum() > 85

    def test_through_generate(self):
        """One mask in each of many rows: the same distribution at the end of the whole path."""
        model = MockModel(context_script())
        sequences = model.generate(
            PROMPT, max_new_tokens=1, temperature=1.0, num_return_sequences=DRAWS, generator=seeded(1)
        )
        logits = context_script()(model.calls[0].input_ids[:1])[0, 3].double()
        logits[MASK] = -torch.inf
        observed = torch.bincount(sequences[:, 3], minlength=VOCAB_SIZE).double() / DRAWS
        # The total variation distance of an exact sampler is about sqrt(31 / (2 pi DRAWS)) = 0.016 at most.
        assert 0.5 * (observed - logits.softmax(-1)).abs().sum() < 0.025

    def test_the_mask_token_is_never_drawn(self, logits):
        logits[MASK] = 20.0
        assert frequencies(logits, 2.0)[MASK] == 0

    def test_a_small_temperature_comes_close_to_the_argmax(self, logits):
        logits[MASK] = -torch.inf
        assert frequencies(logits, 1e-4)[logits.argmax()] == 1

    def test_huge_logits_do_not_overflow(self):
        """`exp(800)` is infinite in float64: the reference then proposes the first infinity."""
        logits = torch.zeros(VOCAB_SIZE)
        logits[3], logits[7] = 800.0, 801.0
        observed = frequencies(logits, 1.0)
        assert observed[3] + observed[7] == 1
        assert observed[7].item() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.02)

    def test_ruled_out_tokens_are_never_drawn(self, logits):
        logits[5:] = -torch.inf
        assert frequencies(logits, 5.0)[5:].sum() == 0

    def test_the_noise_is_float64_inside_the_open_interval(self):
        uniform = draw_uniform(torch.ones(1, 1000, dtype=torch.bool), [seeded(0)], width=100)
        assert uniform.dtype == torch.float64
        assert uniform.min() > 0 and uniform.max() < 1
        assert torch.isfinite(-(-uniform.log()).log()).all()


class TestLimits:
    """`top_k`, `top_p` and `min_p`: the warpers of transformers decide which tokens sampling may propose."""

    WARPERS = {"top_k": (TopKLogitsWarper, 5), "top_p": (TopPLogitsWarper, 0.8), "min_p": (MinPLogitsWarper, 0.1)}
    OPTIONS = {"max_new_tokens": 12, "temperature": 2.0, "remasking": "random", "stop_at_eos": False}

    def generate(self, **options):
        return details(MockModel(context_script()), generator=seeded(0), **self.OPTIONS | options)

    @pytest.mark.parametrize("names", [("top_k",), ("top_p",), ("min_p",), ("top_k", "top_p", "min_p")], ids=str)
    def test_equal_the_processors_of_the_library_at_the_temperature(self, names):
        class AtTheTemperature(LogitsProcessor):
            def __call__(self, input_ids, scores):
                ranked = scores.index_fill(1, torch.tensor([MASK]), -torch.inf) / 2.0
                for warper in warpers:
                    ranked = warper(input_ids, ranked)
                return ranked * 2.0

        warpers = [warper(value) for warper, value in (self.WARPERS[name] for name in names)]
        limited = self.generate(**{name: self.WARPERS[name][1] for name in names})
        expected = self.generate(logits_processor=[AtTheTemperature()])
        assert torch.equal(limited.sequences, expected.sequences)
        assert not torch.equal(limited.sequences, self.generate().sequences)

    def test_one_token_is_the_most_probable_one_in_the_same_order(self):
        """So confidences are still those of the whole vocabulary: of a single token they would all be 1."""
        options = {"remasking": "low_confidence"}
        greedy = self.generate(temperature=0.0, **options)
        for limit in ({"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}):
            limited = self.generate(temperature=1.0, **options, **limit)
            assert torch.equal(limited.sequences, greedy.sequences)
            assert torch.equal(limited.trajectory[0], greedy.trajectory[0])
            torch.testing.assert_close(limited.trajectory[1], greedy.trajectory[1], equal_nan=True)

    def test_the_mask_token_takes_no_place(self):
        logits = torch.zeros(4, VOCAB_SIZE)
        logits[:, MASK], logits[:, 7] = 9.0, 5.0
        sequences = MockModel(logits).generate(PROMPT, max_new_tokens=1, temperature=1.0, top_k=1)
        assert sequences[0, 3] == 7

    @pytest.mark.parametrize(
        "limit", [{"top_k": 0}, {"top_k": None}, {"top_p": 1.0}, {"top_p": 1}, {"min_p": 0.0}, {"top_k": 99}]
    )
    def test_values_that_set_no_limit(self, limit):
        assert torch.equal(self.generate(**limit).sequences, self.generate().sequences)

    @pytest.mark.parametrize("temperature", [1e-320, 1e-45, 1e300])
    def test_temperatures_at_the_ends_of_the_floats(self, temperature):
        self.generate(temperature=temperature, top_k=3, top_p=0.9)

    def test_without_sampling_they_have_no_effect_and_a_warning_says_so(self, monkeypatch):
        messages = []
        logger = logging.get_logger("modeling_llada.models.generation_config_llada")
        monkeypatch.setattr(logger, "warning_once", messages.append)
        greedy = self.generate(temperature=0.0)
        assert not messages
        assert torch.equal(self.generate(temperature=0.0, top_p=0.5, top_k=3).sequences, greedy.sequences)
        (message,) = messages
        assert "narrowed by `top_k` and `top_p`" in message and "`do_sample=True`" in message

    def test_do_sample_is_enough(self):
        assert torch.equal(
            self.generate(temperature=None, do_sample=True, top_p=0.9).sequences,
            self.generate(temperature=1.0, top_p=0.9).sequences,
        )

    def test_from_a_plain_config(self):
        """One that was made without them does not switch on `top_k=50`, the default of the library."""
        typed = self.generate(generation_config=GenerationConfig(top_k=3))
        assert torch.equal(typed.sequences, self.generate(top_k=3).sequences)
        assert torch.equal(self.generate(generation_config=GenerationConfig()).sequences, self.generate().sequences)


class TestSeeds:
    OPTIONS = {"max_new_tokens": 12, "temperature": 1.0, "block_length": 4, "stop_at_eos": False}

    def generate(self, prompt=PROMPT, **options):
        return MockModel(context_script()).generate(prompt, **(self.OPTIONS | options))

    def test_the_same_seed_repeats_the_call(self):
        prompt = PROMPT.repeat(3, 1)
        assert torch.equal(self.generate(prompt, generator=seeded(1)), self.generate(prompt, generator=seeded(1)))
        assert not torch.equal(self.generate(prompt, generator=seeded(1)), self.generate(prompt, generator=seeded(2)))

    def test_without_a_generator_the_global_seed_counts(self):
        torch.manual_seed(0)
        first = self.generate()
        second = self.generate()
        torch.manual_seed(0)
        assert torch.equal(self.generate(), first) and not torch.equal(first, second)

    @pytest.mark.parametrize("remasking", ["low_confidence", "random"])
    def test_one_generator_a_row_makes_rows_independent(self, remasking):
        prompts = torch.randint(2, 27, (4, 3), generator=seeded(0))
        whole = self.generate(prompts, generator=[seeded(i) for i in range(4)], remasking=remasking)
        for row in (3, 1):
            alone = self.generate(prompts[row : row + 1], generator=[seeded(row)], remasking=remasking)
            assert torch.equal(alone[0], whole[row])
        order = [2, 0, 3, 1]
        shuffled = self.generate(prompts[order], generator=[seeded(i) for i in order], remasking=remasking)
        assert torch.equal(shuffled, whole[order])

    def test_a_list_for_the_rows_of_the_output(self):
        generators = [seeded(7), seeded(7), seeded(8)]
        rows = self.generate(generator=generators, num_return_sequences=3)
        assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])

    def test_temperature_zero_draws_nothing(self):
        generator = seeded(3)
        state = generator.get_state()
        self.generate(temperature=0.0, generator=generator)
        assert torch.equal(generator.get_state(), state)


class TestPrecision:
    def test_confidences_are_float32_whatever_the_model_computes_in(self):
        """In bfloat16 all that is above 0.998 would be equal, and the order of decoding arbitrary."""
        margins = torch.linspace(6.0, 12.0, 8)

        def script(input_ids):
            logits = torch.zeros(1, input_ids.shape[1], VOCAB_SIZE)
            logits[0, 3:, 5] = margins + 6
            return logits.bfloat16()

        output = MockModel(script).generate(
            PROMPT, max_new_tokens=8, return_dict_in_generate=True, output_trajectory=True
        )
        steps, confidence = (part[0, 3:] for part in output.trajectory)
        assert confidence.dtype == torch.float32
        assert steps.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
        assert len(set(confidence.tolist())) == 8
        assert len(set(confidence.bfloat16().tolist())) < 8
