# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The likelihood of texts with images: eq. 6, with packed features at the image tokens. They are given, never scored."""

import copy
from itertools import combinations

import peft
import pytest
import torch
from support.golden_v import FOLDER, golden_tensors

from modeling_llada import LLaDAVForConditionalGeneration


QUESTION, ANSWER = [71, 12, 99, 45], [87, 23, 140]
SIZES = {"A": (60, 100), "B": (140, 45), "C": (64, 64)}  # (height, width)


@pytest.fixture(scope="module")
def model():
    """The golden checkpoint of LLaDA-V."""
    return LLaDAVForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture
def towers(model, monkeypatch):
    """The number of tiles in each pass of the vision tower."""
    seen = []
    tower = model.model.vision_tower
    handle = tower.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    yield seen
    handle.remove()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(names):
    """The arguments for images by their names, cut into any-resolution tiles."""
    tiles = [golden_tensors()[f"pixel_values.anyres.{name}"] for name in names]
    most = max(map(len, tiles))
    filled = [torch.cat([image, image.new_zeros(most - len(image), *image.shape[1:])]) for image in tiles]
    return {
        "pixel_values": torch.stack(filled),
        "image_sizes": torch.tensor([SIZES[name] for name in names]),
        "num_tiles": torch.tensor([len(image) for image in tiles]),
    }


def row_of(model, names, question=QUESTION, answer=ANSWER):
    """A question behind its images, and the answer, which is scored."""
    features = model.get_image_features(**images_of(names)).pooler_output if names else []
    prompt = [300, *[model.config.image_token_id] * sum(map(len, features)), *question]
    return prompt + answer, [-100] * len(prompt) + answer


def batch_of(model, *rows, left=True):
    """Rows `(image names, question, answer)` of unequal length as one batch."""
    pairs = [row_of(model, *row) for row in rows]
    longest = max(len(ids) for ids, _ in pairs)

    def fill(values, value):
        return torch.tensor(
            [[value] * (longest - len(one)) + one if left else one + [value] * (longest - len(one)) for one in values]
        )

    inputs = {
        "input_ids": fill([ids for ids, _ in pairs], 301),
        "labels": fill([labels for _, labels in pairs], -100),
        "attention_mask": fill([[1] * len(ids) for ids, _ in pairs], 0),
    }
    names = "".join(row[0] for row in rows)
    return inputs | (images_of(names) if names else {})


@torch.no_grad()
def enumerated(model, input_ids, labels, attention_mask, cfg_scale=0.0, cfg_text_only=False, **images):
    """Eq. 6 of one row without randomness, by `forward` with pixels: the mean over `l`, and over all sets of `l` tokens."""
    assert len(input_ids) == 1
    positions = (labels[0] != -100).nonzero().flatten().tolist()
    total = 0.0
    for count in range(1, len(positions) + 1):
        sets = list(combinations(positions, count))
        for masked in sets:
            noisy = input_ids.clone()
            noisy[0, list(masked)] = model.config.mask_token_id
            logits = model(input_ids=noisy, attention_mask=attention_mask, **images).logits[0]
            if cfg_scale:
                is_given = (labels == -100) & ~(cfg_text_only & (input_ids == model.config.image_token_id))
                hidden = noisy.masked_fill(is_given, model.config.mask_token_id)
                shown = images if cfg_text_only else {}
                blind = model(input_ids=hidden, attention_mask=attention_mask, **shown).logits[0]
                logits = (1 + cfg_scale) * logits - cfg_scale * blind
            log_probs = logits.log_softmax(-1)
            score = sum(log_probs[position, labels[0, position]] for position in masked).item()
            total += len(positions) / count * score / len(sets)
    return total / len(positions)


ROWS = [("A", QUESTION, ANSWER), ("", [7, 8], [45, 12]), ("BC", [61], [5, 9, 200, 31]), ("C", QUESTION, [17])]


class TestEstimate:
    @pytest.mark.parametrize("names", ["A", "BC"])
    def test_it_comes_to_the_mean_over_all_masks(self, model, names):
        inputs = batch_of(model, (names, QUESTION, ANSWER))
        output = model.log_likelihood(**inputs, num_samples=512, batch_size=64, antithetic=True, generator=seeded())
        assert abs(output.log_likelihood.item() - enumerated(model, **inputs)) < 4 * output.standard_error.item()

    @pytest.mark.parametrize("cfg_text_only", [False, True])
    def test_guidance_masks_the_given_images_or_their_text_alone(self, model, cfg_text_only):
        """One scored token has one mask, so the score is exact."""
        inputs = batch_of(model, ("A", QUESTION, ANSWER[:1]))
        guided = {"cfg_scale": 1.5, "cfg_text_only": cfg_text_only}
        score = model.log_likelihood(**inputs, **guided, num_samples=1).log_likelihood.item()
        assert score == pytest.approx(enumerated(model, **inputs, **guided), abs=1e-3)
        other = model.log_likelihood(**inputs, **guided | {"cfg_text_only": not cfg_text_only}, num_samples=1)
        assert abs(score - other.log_likelihood.item()) > 0.01

    def test_frames_of_a_video(self, model):
        frames = images_of("B")["pixel_values"]
        [features] = model.model.get_video_features(frames).pooler_output
        prompt = [300, *[model.config.video_token_id] * len(features), *QUESTION]
        inputs = {
            "input_ids": torch.tensor([[*prompt, ANSWER[0]]]),
            "labels": torch.tensor([[-100] * len(prompt) + ANSWER[:1]]),
            "attention_mask": None,
            "pixel_values_videos": frames,
        }
        score = model.log_likelihood(**inputs, num_samples=1).log_likelihood.item()
        assert score == pytest.approx(enumerated(model, **inputs), abs=1e-3)

    @pytest.mark.parametrize("left", [True, False])
    @pytest.mark.parametrize("batch_size", [3, 16])
    def test_a_row_has_the_score_that_it_has_alone(self, model, left, batch_size):
        """The images of the others have other sizes, and one row has none."""
        options = {"num_samples": 4, "cfg_scale": 0.5, "batch_size": batch_size}
        inputs = batch_of(model, *ROWS, left=left)
        together = model.log_likelihood(**inputs, **options, generator=[seeded(row) for row in range(len(ROWS))])
        for row, one in enumerate(ROWS):
            alone = model.log_likelihood(**batch_of(model, one), **options, generator=[seeded(row)]).log_likelihood
            torch.testing.assert_close(together.log_likelihood[row : row + 1], alone, rtol=1e-4, atol=1e-4)

    def test_the_features_of_an_image_are_computed_once(self, model, towers):
        inputs = batch_of(model, *ROWS)
        towers.clear()
        model.log_likelihood(**inputs, num_samples=8, batch_size=4)
        assert towers == [3 + 3 + 2 + 2]

    def test_another_image_changes_the_score(self, model):
        inputs = batch_of(model, ("A", QUESTION, ANSWER[:1]))
        scores = [
            model.log_likelihood(**inputs | pixels, num_samples=1).log_likelihood.item()
            for pixels in ({}, {"pixel_values": -inputs["pixel_values"]})
        ]
        assert abs(scores[0] - scores[1]) > 1e-3


class TestPerplexity:
    def test_all_text_is_scored_and_no_image(self, model):
        inputs = batch_of(model, *ROWS[:3])
        del inputs["labels"]
        is_text = (inputs["input_ids"] != model.config.image_token_id) & (inputs["attention_mask"] == 1)
        labels = inputs["input_ids"].masked_fill(~is_text, -100)
        generators = [[seeded(row) for row in range(3)] for _ in range(2)]
        score = model.log_likelihood(**inputs, labels=labels, num_samples=4, generator=generators[0]).log_likelihood
        perplexity = model.perplexity(**inputs, num_samples=4, generator=generators[1])
        torch.testing.assert_close(perplexity, (-score / is_text.sum(-1)).exp())

    def test_text_alone_goes_by_windows(self, model):
        ids = torch.tensor([[7, 8, 45, 12, 9, 10]])
        assert model.perplexity(ids, window=3, stride=2, num_samples=2).isfinite().all()

    def test_a_window_cuts_no_image(self, model):
        inputs = batch_of(model, *ROWS[:2])
        del inputs["labels"]
        length = inputs["input_ids"].shape[1]
        with pytest.raises(ValueError, match=f"`window` must hold each row .* got 20 for {length} tokens"):
            model.perplexity(**inputs, window=20, num_samples=2)


class TestBadInput:
    @pytest.fixture
    def inputs(self, model):
        return batch_of(model, ("A", QUESTION, ANSWER))

    @pytest.fixture(autouse=True)
    def no_forward_pass(self, model, inputs, monkeypatch):
        for network in (model.model.vision_tower, model):
            monkeypatch.setattr(network, "forward", lambda *args, **kwargs: pytest.fail("a forward pass"))

    @pytest.mark.parametrize("label", [17, 320])
    def test_a_label_at_an_image(self, model, inputs, label):
        inputs["labels"][0, 3] = label
        with pytest.raises(ValueError, match="`labels` must be -100 at image tokens, \\[320, 321\\]"):
            model.log_likelihood(**inputs)

    def test_a_label_that_is_an_image(self, model, inputs):
        inputs["labels"][0, -1] = model.config.image_token_id
        with pytest.raises(ValueError, match="`labels` must be -100 at image tokens"):
            model.log_likelihood(**inputs)

    @pytest.mark.parametrize("score", ["log_likelihood", "perplexity"])
    def test_images_and_tokens_that_do_not_match(self, model, inputs, score):
        if score == "perplexity":
            del inputs["labels"]
        with pytest.raises(ValueError, match="`pixel_values` is missing"):
            getattr(model, score)(**inputs | {"pixel_values": None})

    def test_adapters_of_the_tower_in_a_mixed_batch(self, model, inputs):
        """All images would be seen with the active one."""
        adapted = copy.deepcopy(model)
        peft.get_peft_model(adapted, peft.LoraConfig(target_modules=["q_proj"]), adapter_name="one")
        with pytest.raises(ValueError, match="`adapter_names` choose an adapter for each row, but .* vision tower"):
            adapted.log_likelihood(**inputs, adapter_names=["one"] * len(inputs["input_ids"]))

    def test_an_argument_that_nothing_reads(self, model, inputs):
        with pytest.raises(TypeError, match="unexpected keyword argument `pixels`"):
            model.log_likelihood(**inputs, pixels=None)
