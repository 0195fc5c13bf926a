# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Parity of LLaDA-V: the public layout loads, and gives what the public code gave (tests/golden/llada-v/README.md)."""

import pytest
import torch
from safetensors.torch import load_file
from support.golden_v import CASES, FOLDER, golden_tensors
from support.llada_v import (
    BOS,
    END_HEADER,
    EOS,
    EOT,
    MASK,
    START_HEADER,
    golden_llada_v,
    images_of,
    options_of,
    stack_images,
    write_placeholders,
)

from modeling_llada import LLaDAVForConditionalGeneration


# Pixels of image D are not recorded; tests/models/test_processing.py begins with its picture.
WITH_PIXELS = [name for name in CASES if name != "single_anyres_resampled"]
# Another cache, that of dLLM-Cache, which is not implemented; `cache_exact` refreshes it at each step.
OTHER_CACHE = ["cache_demo_like", "cache_no_transfer"]
# It needs a rule that we do not have; see the last test.
OTHER_RULE = ["fast_demo"]
WITH_LOGITS = [name for name in WITH_PIXELS if f"{name}.logits" in golden_tensors() and name != "suffix"]


@pytest.fixture
def model():
    return golden_llada_v()


def prompt_of(model, case):
    """The prompt as a list of ids, and the images."""
    images = images_of(case)
    return write_placeholders(model, golden_tensors()[f"{case['name']}.input_ids"][0].tolist(), images), images


def test_all_keys_of_the_public_layout_are_known():
    _, info = LLaDAVForConditionalGeneration.from_pretrained(FOLDER, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]


def test_a_saved_folder_has_the_tensors_bit_for_bit(model, tmp_path):
    model.save_pretrained(tmp_path)
    saved, public = load_file(tmp_path / "model.safetensors"), load_file(FOLDER / "model.safetensors")
    assert saved.keys() == public.keys()
    assert all(torch.equal(saved[name], public[name]) for name in public)


@pytest.mark.parametrize("name", "ABC")
def test_tower_and_projector(model, name):
    tensors = golden_tensors()
    with torch.no_grad():
        tower = model.model.vision_tower(tensors[f"pixel_values.anyres.{name}"], output_hidden_states=True)
        features = model.model.get_tile_features(tensors[f"pixel_values.anyres.{name}"])
    torch.testing.assert_close(tower.hidden_states[-1], tensors[f"tower.anyres.{name}"], rtol=5e-5, atol=5e-5)
    torch.testing.assert_close(features, tensors[f"projected.anyres.{name}"], rtol=5e-5, atol=2e-4)


@pytest.mark.parametrize("name", "ABC")
@pytest.mark.parametrize("ratio", ["anyres", "pad"])
def test_packed_features(model, name, ratio):
    tensors = golden_tensors()
    height, width = tensors[f"image.{name}"].shape[:2]
    tiles = tensors[f"pixel_values.{ratio}.{name}"]
    images = stack_images([tiles[None] if ratio == "pad" else tiles], [(width, height)])
    with torch.no_grad():
        (features,) = model.get_image_features(**images).pooler_output
    torch.testing.assert_close(features, tensors[f"packed.{ratio}.{name}"], rtol=5e-5, atol=2e-4)


def test_packed_frames_of_a_video(model):
    with torch.no_grad():
        (features,) = model.model.get_video_features(**images_of(CASES["video"])).pooler_output
    torch.testing.assert_close(features, golden_tensors()["packed.video"], rtol=5e-5, atol=2e-4)


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_embeddings_and_logits(model, name, monkeypatch):
    if name == "two_pad_stacked":  # without a newline after each image
        monkeypatch.setattr(model.config, "patch_merge_type", "flat")
    case, tensors = CASES[name], golden_tensors()
    prompt, images = prompt_of(model, case)
    input_ids = torch.tensor([prompt + [MASK] * case["settings"]["gen_length"]])
    with torch.no_grad():
        given = model.model.embed_images(input_ids, **images)
        logits = model(input_ids, **images).logits
    if given is not None:
        embeddings = given.put_into(model.get_input_embeddings(), input_ids)[:, : len(prompt)]
        torch.testing.assert_close(embeddings, tensors[f"{name}.inputs_embeds"], rtol=5e-5, atol=2e-4)
    expected = tensors[f"{name}.logits"]
    torch.testing.assert_close(logits[:, -expected.shape[1] :], expected, rtol=5e-5, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in WITH_PIXELS if name not in OTHER_CACHE + OTHER_RULE])
def test_sequences_are_token_exact_with_as_many_forward_passes(model, name, monkeypatch):
    if name == "two_pad_stacked":
        monkeypatch.setattr(model.config, "patch_merge_type", "flat")
    case = CASES[name]
    prompt, images = prompt_of(model, case)
    options, expected = options_of(case), golden_tensors()[f"{name}.sequences"][0]
    canvas = prompt
    if "generation_suffix" in case["settings"]:  # masks inside the prompt
        suffix = [int(id_) for id_ in case["settings"]["generation_suffix"].split(",")]
        canvas = prompt + [MASK] * options["max_new_tokens"] + suffix
        options["max_new_tokens"] = 0
    output = model.generate(torch.tensor([canvas]), **images, **options, return_dict_in_generate=True)
    answer = output.sequences[0, len(prompt) :]
    assert torch.equal(answer[: len(expected)], expected)
    assert len(answer) == len(expected) or answer[len(expected)] in torch.tensor(options["eos_token_id"])
    assert output.num_forward_passes.tolist() == [case["forward_passes"]]


def test_a_public_folder_ends_at_eot_and_never_by_eos(model, tmp_path):
    """Also where a generation_config.json does not say so, and after the model was saved."""
    defaults = {"eos_token_id": EOT, "suppress_tokens": [BOS, EOS, START_HEADER, END_HEADER], "skip_after_eos": True}
    model.save_pretrained(tmp_path)
    saved = LLaDAVForConditionalGeneration.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"max_new_tokens": 4}')
    other = LLaDAVForConditionalGeneration.from_pretrained(tmp_path)
    for one in (model, saved, other):
        merged = vars(one._merge_generation_config(None, {}))
        assert {name: merged[name] for name in defaults} == defaults
    assert model._merge_generation_config(None, {"suppress_tokens": None}).suppress_tokens is None


def public_threshold(threshold):
    """
    The rule of the public Fast-dLLM hook in the last block. It is `confidence_factor`, but where of all masks only the last
    one fails, it is committed too.
    """

    def commit(confidence, mask, budget):
        ranks = confidence.masked_fill(~mask, -torch.inf).argsort(dim=-1, descending=True, stable=True).argsort(-1)
        sorted_confidence = confidence.masked_fill(~mask, -torch.inf).sort(dim=-1, descending=True, stable=True).values
        bound = 1 - threshold / (torch.arange(mask.shape[1]) + 2)
        passes = sorted_confidence >= bound
        passes[:, 0] = True
        count = passes.long().cumprod(-1).sum(-1)
        num_masks = mask.sum(-1)
        count = torch.where((count == num_masks - 1) & (num_masks > 1), num_masks, count)
        return mask & (ranks < count[:, None])

    return commit


def test_the_public_threshold_as_a_remasking(model):
    case, name = CASES["fast_demo"], "fast_demo"
    prompt, images = prompt_of(model, case)
    options = options_of(case) | {
        "remasking": public_threshold(case["settings"]["threshold"]),
        "confidence_factor": None,
    }
    output = model.generate(torch.tensor([prompt]), **images, **options, return_dict_in_generate=True)
    assert torch.equal(output.sequences[0, len(prompt) :], golden_tensors()[f"{name}.sequences"][0])
    assert output.num_forward_passes.tolist() == [case["forward_passes"]]
