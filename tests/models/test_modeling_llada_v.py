# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What LLaDA-V adds to LLaDA: images in the forward pass and in the decoder, and errors for images that do not fit."""

import copy
from types import SimpleNamespace

import peft
import pytest
import torch
from support.golden_v import golden_tensors
from support.llada_v import EOS, MASK, golden_llada_v, stack_images
from torch.utils._python_dispatch import TorchDispatchMode

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.models import engine_llada
from modeling_llada.models.engine_llada import RecordedDenoiser, recordings_of, why_not_recordable


SHORT = {"max_new_tokens": 12, "block_length": 5}
OPTIONS = [
    SHORT,
    {"max_new_tokens": 8, "steps": 3},
    {**SHORT, "cfg_scale": 1.5},
    {**SHORT, "cfg_scale": 1.5, "cfg_text_only": True},
    {**SHORT, "confidence_threshold": 0.1},
    {**SHORT, "block_cache": "prefix"},
    {**SHORT, "block_cache": "dual", "cfg_scale": 0.5},
    {**SHORT, "block_cache": "vicinity", "cache_refresh_interval": 2},
    {**SHORT, "skip_after_eos": True, "eos_token_id": list(range(100, 150))},
    {**SHORT, "num_return_sequences": 2, "temperature": 0.7},
    {**SHORT, "draft_steps": 3},
    {"max_new_tokens": 0},
]
WITH_OPTIONS = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture(scope="module")
def model():
    return golden_llada_v()


@pytest.fixture
def eager_or_recorded(monkeypatch, model):
    """Lets `generate` take the recorded path on the CPU unless `disable_compile` is set; lists what was recorded."""
    record, recorded = RecordedDenoiser._record, []
    recordings_of(model).by_key.clear()

    def why_not(model, canvas, config):
        on_cuda = SimpleNamespace(**vars(canvas) | {"tokens": SimpleNamespace(device=torch.device("cuda"))})
        return why_not_recordable(model, on_cuda, config)

    monkeypatch.setattr(engine_llada, "why_not_recordable", why_not)
    monkeypatch.setattr(
        RecordedDenoiser, "_record", lambda self, *shape: (recorded.append(shape), record(self, *shape))[1]
    )
    return recorded


def picture(*names):
    """Some of the golden images with any-resolution tiles, as arguments of the model."""
    tensors = golden_tensors()
    tiles = [tensors[f"pixel_values.anyres.{name}"] for name in names]
    sizes = [tensors[f"image.{name}"].shape[:2][::-1] for name in names]
    return stack_images(tiles, sizes)


def row(model, *names, question=(60, 61, 62)):
    """A prompt: some text, the images, and a question in which a word is masked."""
    lengths = (
        [len(features) for features in model.get_image_features(**picture(*names)).pooler_output] if names else []
    )
    placeholders = [model.config.image_token_id] * sum(lengths)
    return [70, 71, *placeholders, *question, MASK, 63]


def batch_of(model, rows):
    """Rows of different images, padded on the left, with all their images."""
    prompts = [row(model, *names) for names in rows]
    length = max(map(len, prompts))
    inputs = {
        "input_ids": torch.tensor([[EOS] * (length - len(prompt)) + prompt for prompt in prompts]),
        "attention_mask": torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
    }
    names = [name for row in rows for name in row]
    return inputs | (picture(*names) if names else {})


def details(model, inputs, **options):
    rows = len(inputs["input_ids"]) * options.get("num_return_sequences", 1)
    generators = [torch.Generator().manual_seed(seed) for seed in options.pop("seeds", range(rows))]
    options = {"return_dict_in_generate": True, "output_trajectory": True, "generator": generators, **options}
    return model.generate(**inputs, **options)


ROWS = [("A",), (), ("C", "A"), ("B",)]


class NoLook(TorchDispatchMode):
    """Fails where the host looks at a value. While a CUDA graph is recorded, that is an error."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten._local_scalar_dense.default
        return function(*args, **kwargs or {})


class TestForward:
    def test_a_padded_batch_of_unequal_images_equals_its_rows(self, model):
        together = batch_of(model, ROWS)
        with torch.no_grad():
            logits = model(**together).logits
            for index, names in enumerate(ROWS):
                alone = model(**batch_of(model, [names])).logits[0]
                torch.testing.assert_close(logits[index, -len(alone) :], alone, rtol=1e-4, atol=2e-4)

    def test_text_alone_is_llada(self, model):
        """With the same weights, LLaDA without a tower gives the same logits."""
        config = model.config
        names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        tokens = {name: getattr(config, name) for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
        llada = LLaDAForMaskedLM(LLaDAConfig(**{name: getattr(config, name) for name in names}, **tokens)).eval()
        llada.load_state_dict(
            {name: value for name, value in model.state_dict().items() if name in llada.state_dict()}
        )
        input_ids = torch.tensor([row(model)])
        with torch.no_grad():
            assert torch.equal(model(input_ids).logits, llada(input_ids).logits)

    @pytest.mark.parametrize("merge_type", ["spatial_unpad", "flat"])
    def test_no_image_gives_gradients_of_zero(self, model, merge_type, monkeypatch):
        """To the same weights as images do: processes with texts and with images must agree about them."""
        monkeypatch.setattr(model.config, "patch_merge_type", merge_type)
        none = {name: values[:0] for name, values in picture("A").items()}
        text = torch.tensor([[5, 6, 7]])
        no_videos = {"pixel_values_videos": none["pixel_values"], "num_frames": none["num_tiles"]}
        for inputs in (none, no_videos, none | no_videos):
            assert torch.equal(model(text, **inputs).logits, model(text).logits)

        tile = {name: values[:, :1] if name == "pixel_values" else values for name, values in picture("A").items()}
        tile["num_tiles"] = torch.tensor([1])
        length = len(model.get_image_features(**tile).pooler_output[0])
        image = torch.tensor([[5, *[model.config.image_token_id] * length, 7]])
        gradients = []
        for inputs in ({"input_ids": text} | none, {"input_ids": image} | tile):
            model.zero_grad()
            model(**inputs).logits.sum().backward()
            gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
        model.zero_grad()
        assert gradients[0].keys() == gradients[1].keys()
        assert ("model.image_newline" in gradients[0]) == (merge_type != "flat")
        of_images = [name for name in gradients[0] if "vision" in name or "projector" in name or "newline" in name]
        assert of_images and not any(gradients[0][name].any() for name in of_images)

    def test_the_number_of_tiles_follows_from_the_images_of_a_row(self, model):
        """One image in a row has the tiles of its size; several have one each, as image processors of transformers do."""
        images = picture("A")
        (expected,) = model.get_image_features(**images).pooler_output
        del images["num_tiles"]
        for counts in (None, torch.tensor([1])):
            (features,) = model.get_image_features(**images, batch_num_images=counts).pooler_output
            assert torch.equal(features, expected)
        tiles = golden_tensors()["pixel_values.pad.A"][None], golden_tensors()["pixel_values.pad.B"][None]
        images = stack_images(list(tiles), [(100, 60), (45, 140)])
        del images["num_tiles"]
        features = model.get_image_features(**images, batch_num_images=torch.tensor([2])).pooler_output
        assert [len(one) for one in features] == [26, 26]

    def test_gradients_reach_every_part(self, model):
        inputs = batch_of(model, [("A",)])
        labels = inputs["input_ids"].masked_fill(inputs["input_ids"] != MASK, -100)
        labels[labels == MASK] = 5
        model.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        parts = (model.model.vision_tower.encoder, model.model.multi_modal_projector, model.model.layers)
        weights = [next(part.parameters()) for part in parts] + [model.model.image_newline]
        assert all(weight.grad.abs().sum() > 0 for weight in weights)
        model.zero_grad()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, model, dtype):
        half = type(model)(model.config).to(dtype).eval()
        with torch.no_grad():
            assert half(**batch_of(half, ROWS)).logits.dtype == dtype


class TestGenerate:
    @WITH_OPTIONS
    def test_a_batch_of_unequal_images_equals_its_rows(self, model, options):
        together, repeats = details(model, batch_of(model, ROWS), **options), options.get("num_return_sequences", 1)
        for index, names in enumerate(ROWS):
            seeds = range(index * repeats, (index + 1) * repeats)
            alone = details(model, batch_of(model, [names]), seeds=seeds, **options)
            rows = slice(index * repeats, (index + 1) * repeats)
            assert torch.equal(together.sequences[rows][:, -alone.sequences.shape[1] :], alone.sequences)
            assert torch.equal(together.num_forward_passes[rows], alone.num_forward_passes)

    @WITH_OPTIONS
    def test_recorded_steps_equal_eager_ones(self, model, eager_or_recorded, options):
        inputs = batch_of(model, ROWS)
        eager = details(model, inputs, disable_compile=True, **options)
        assert not eager_or_recorded
        recorded = details(model, inputs, **options)
        assert eager_or_recorded
        assert torch.equal(recorded.sequences, eager.sequences)
        assert torch.equal(recorded.num_forward_passes, eager.num_forward_passes)

    def test_recorded_steps_see_the_images_of_the_call(self, model, eager_or_recorded):
        """A recording is used again for prompts of the same shape, so it must not remember the first images."""
        inputs = batch_of(model, [("A",)])
        other = inputs | {"pixel_values": inputs["pixel_values"].flip(-1)}
        first, second = details(model, inputs, **SHORT), details(model, other, **SHORT)
        expected = details(model, other, disable_compile=True, **SHORT)
        assert len(eager_or_recorded) == len(set(eager_or_recorded))  # the second call recorded nothing
        assert not torch.equal(first.sequences, second.sequences)
        assert torch.equal(second.sequences, expected.sequences)

    @pytest.mark.parametrize("rows", [[()], [("A",), ()]], ids=["text", "images"])
    def test_recorded_steps_look_at_no_value(self, model, eager_or_recorded, monkeypatch, rows):
        """Text alone too: image tokens are looked for before the first step."""
        static_step = RecordedDenoiser._static_step

        def step(self, *shape):
            with NoLook():
                return static_step(self, *shape)

        monkeypatch.setattr(RecordedDenoiser, "_static_step", step)
        details(model, batch_of(model, rows), **SHORT)
        assert eager_or_recorded

    @pytest.mark.parametrize("cache", ["prefix", "dual", "vicinity"])
    def test_a_cache_that_is_always_fresh_is_exact(self, model, cache):
        inputs = batch_of(model, ROWS)
        expected = details(model, inputs, **SHORT)
        cached = details(model, inputs, **SHORT, block_cache=cache, cache_refresh_interval=1)
        assert torch.equal(cached.sequences, expected.sequences)

    @pytest.mark.parametrize("text_only", [False, True])
    def test_guidance_masks_the_image_or_keeps_it(self, model, text_only):
        inputs = batch_of(model, [("A",)])
        canvas = torch.cat([inputs["input_ids"], torch.full((1, 4), MASK)], dim=1)
        is_image = canvas == model.config.image_token_id
        unconditional = torch.where(is_image, canvas, MASK) if text_only else torch.full_like(canvas, MASK)
        images = picture("A")
        with torch.no_grad():
            conditional = model(canvas, **images).logits
            unconditional = model(unconditional, **(images if text_only else {})).logits
        logits = unconditional + 2.5 * (conditional - unconditional)
        logits[..., MASK] = -torch.inf
        output = model.generate(
            **inputs,
            max_new_tokens=4,
            steps=1,
            block_length=4,
            cfg_scale=1.5,
            cfg_text_only=text_only,
            stop_at_eos=False,
        )
        masked_prompt = (canvas[0] == MASK).nonzero()[0]
        assert output[0, masked_prompt] == logits[0, masked_prompt].argmax(-1)

    @pytest.mark.parametrize("options", [{}, {"cfg_scale": 1.5}, {"draft_steps": 3, "block_cache": "dual"}], ids=str)
    def test_each_row_may_have_an_adapter(self, model, options):
        """Of the language model: the tower sees the images of all rows at once."""
        torch.manual_seed(0)
        config = peft.LoraConfig(r=2, target_modules=r"model\.layers\..*(q_proj|v_proj)", init_lora_weights=False)
        adapted = peft.get_peft_model(copy.deepcopy(model), config, adapter_name="one").eval()
        adapted.add_adapter("two", config)
        names = ["one", "two", "__base__", "two"]
        together = adapted.generate(**batch_of(model, ROWS), adapter_names=names, **SHORT, **options)
        for row, name, images in zip(together, names, ROWS, strict=True):
            alone = adapted.generate(**batch_of(model, [images]), adapter_names=[name], **SHORT, **options)
            assert torch.equal(row[-alone.shape[1] :], alone[0])

    def test_images_and_their_tokens_are_not_touched(self, model):
        inputs = batch_of(model, ROWS)
        output = model.generate(**inputs, **SHORT)
        is_image = inputs["input_ids"] == model.config.image_token_id
        assert torch.equal(output[:, : is_image.shape[1]][is_image], inputs["input_ids"][is_image])
        assert not (output[:, is_image.shape[1] :] >= model.config.vocab_size).any()

    def test_placeholders_within_the_table_are_never_proposed(self, model, monkeypatch):
        inputs = batch_of(model, [()])
        favourite = model.generate(**inputs, max_new_tokens=1)[0, -1].item()
        monkeypatch.setattr(model.config, "video_token_id", favourite)
        assert model.generate(**inputs, max_new_tokens=1)[0, -1] != favourite


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"pixel_values": None, "image_sizes": None, "num_tiles": None},
                "`pixel_values` is missing: `input_ids` hold 70",
            ),
            ({"image_sizes": None}, "`pixel_values` need `image_sizes`"),
            ({"image_sizes": torch.tensor([[60, 100]] * 2)}, r"`image_sizes` must be a tensor of shape \(1, 2\)"),
            ({"num_tiles": torch.tensor([3, 3])}, r"`num_tiles` must be a tensor of shape \(1,\)"),
            ({"num_tiles": torch.tensor([2])}, "has 3 tiles"),
            ({"num_tiles": torch.tensor([4])}, r"`num_tiles` must be from 1 to 3, .* but got \[4\]"),
            ({"num_tiles": torch.tensor([0])}, r"`num_tiles` must be from 1 to 3"),
            ({"num_tiles": None, "image_sizes": torch.tensor([[700, 700]])}, "`num_tiles` must be from 1 to 3"),
            ({"pixel_values": torch.zeros(1, 3, 3, 64, 64)}, "tiles of 70 x 70 pixels"),
            ({"pixel_values": torch.zeros(3, 3, 70, 70)}, "tiles of 70 x 70 pixels"),
            ({"pixel_values": torch.zeros(1, 3, 3, 70, 70, dtype=torch.uint8)}, "normalized floats .* torch.uint8"),
            ({"num_tiles": None, "batch_num_images": torch.tensor([2])}, "`batch_num_images` must add up"),
            ({"num_tiles": None, "batch_num_images": [2, -1]}, "`batch_num_images` must add up"),
            ({"num_tiles": None, "image_sizes": torch.tensor([[0, 100]])}, "`image_sizes` must be at least 1 pixel"),
            ({"pixel_values": [[1.0]]}, "tiles of 70 x 70 pixels.* got list"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("method", ["forward", "generate"])
    def test_images_that_do_not_fit(self, model, changes, message, method):
        inputs = {name: value for name, value in (batch_of(model, [("A",)]) | changes).items() if value is not None}
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(**inputs)

    @pytest.mark.parametrize("names", [("A", "A"), ("B",), ()])
    def test_another_number_of_image_tokens(self, model, names):
        """The public code drops rows, or uses the last image again, without a word."""
        inputs = batch_of(model, [names]) | picture("A")
        with pytest.raises(ValueError, match="`input_ids` must hold the image token once for each feature"):
            model.generate(**inputs)

    def test_images_in_the_wrong_rows(self, model):
        """The number of all tokens is right, but an image would begin in one row and end in the next."""
        inputs = batch_of(model, [("A",), ("B",)]) | picture("B", "A")
        with pytest.raises(ValueError, match="once for each feature"):
            model(**inputs)

    def test_embeddings_beside_images(self, model):
        inputs = batch_of(model, [("A",)])
        embeddings = torch.zeros(1, inputs.pop("input_ids").shape[1], model.config.hidden_size)
        with pytest.raises(ValueError, match="`pixel_values` need `input_ids`"):
            model(inputs_embeds=embeddings, **inputs)

    def test_an_unknown_argument(self, model):
        with pytest.raises(ValueError, match="pixel_value"):
            model.generate(torch.tensor([[60]]), pixel_value=torch.zeros(1))
        with pytest.raises(TypeError, match="pixel_value"):
            model(torch.tensor([[60]]), pixel_value=torch.zeros(1))

    def test_an_id_behind_the_placeholders(self, model):
        with pytest.raises(ValueError, match="`input_ids`"):
            model.generate(torch.tensor([[60, model.config.num_input_ids]]))
