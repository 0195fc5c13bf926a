# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Exports of LLaDA-V: our folder with its processor and code, or the public folder as it was."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from support.golden_v import CONFIG, FOLDER, golden_image
from support.llada_v import golden_llada_v
from support.saved_tensors import assert_same_tensors, stored
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    SiglipVisionConfig,
    SiglipVisionModel,
)

import modeling_llada.models
from modeling_llada import LLaDAVConfig, LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.export import export_checkpoint
from modeling_llada.export.vision import make_public
from modeling_llada.models.processing_llada_v import write_chat_template


MODELS = Path(modeling_llada.models.__file__).parent
CODE = {path.name for kind in ("llada", "llada_v") for path in MODELS.glob(f"*_{kind}.py")}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def change_json(path, **fields):
    path.write_text(json.dumps(read_json(path) | fields), encoding="utf-8")


@pytest.fixture
def public(tmp_path):
    """A copy of the golden folder, without its values and its model card."""
    return Path(shutil.copytree(FOLDER, tmp_path / "public", ignore=shutil.ignore_patterns("README.md", "golden*")))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "exports" / "eyes"


def answer(folder, model=None, processor=None):
    """The tokens that a folder gives for a question about the golden picture A."""
    processor = processor or AutoProcessor.from_pretrained(folder)
    model = model or AutoModelForImageTextToText.from_pretrained(folder)
    content = [{"type": "image", "image": golden_image("A")}, {"type": "text", "text": "What is it?"}]
    options = {"add_generation_prompt": True, "tokenize": True, "return_tensors": "pt", "return_dict": True}
    inputs = processor.apply_chat_template([{"role": "user", "content": content}], **options)
    return model.generate(**inputs, max_new_tokens=8, steps=4)


class TestTransformersLayout:
    def test_the_folder_has_the_processor_and_all_code(self, public, out):
        exported = export_checkpoint(public, out)
        assert {path.name for path in out.iterdir()} == CODE | TOKENIZER | {
            "README.md",
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "processor_config.json",
        }
        assert_same_tensors(stored(out), load_file(public / "model.safetensors"))
        assert "processor: for tiles of 70 pixels, with its chat template" in exported.notes
        assert read_json(out / "config.json")["auto_map"] == {
            "AutoConfig": "configuration_llada_v.LLaDAVConfig",
            **dict.fromkeys(
                ["AutoModel", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModelForMaskedLM"],
                "modeling_llada_v.LLaDAVForConditionalGeneration",
            ),
        }
        assert read_json(out / "processor_config.json")["auto_map"] == {
            "AutoProcessor": "processing_llada_v.LLaDAVProcessor"
        }

    def test_the_options_of_a_public_folder_are_written_down(self, public, out):
        export_checkpoint(public, out)
        options = read_json(out / "generation_config.json")
        assert (options["eos_token_id"], options["suppress_tokens"]) == (302, [300, 301, 303, 304])
        assert options["skip_after_eos"] is True

    def test_it_answers_as_the_source(self, public, out):
        export_checkpoint(public, out)
        assert torch.equal(answer(out), answer(public))
        tokenizer = AutoTokenizer.from_pretrained(out)
        assert (tokenizer.mask_token_id, len(tokenizer)) == (319, 322)
        assert AutoProcessor.from_pretrained(out).tokenizer.padding_side == "left"

    def test_options_of_a_saved_processor_are_kept(self, public, out):
        processor = LLaDAVProcessor.from_pretrained(public, drop_token_after_images=True)
        processor.save_pretrained(public)
        export_checkpoint(public, out)
        assert AutoProcessor.from_pretrained(out).drop_token_after_images is True

    @pytest.mark.parametrize(
        "change, message",
        [
            (
                {"patch_merge_type": "flat"},
                "a processor with `patch_merge_type='flat'`, but the model has 'spatial_unpad'",
            ),
            ({"vision_aspect_ratio": "anyres_max_9"}, "with `vision_aspect_ratio='anyres_max_9'`, but the model"),
        ],
        ids=["merge type", "aspect ratio"],
    )
    def test_a_processor_that_does_not_fit(self, public, out, change, message):
        LLaDAVProcessor.from_pretrained(public, **change).save_pretrained(public)
        with pytest.raises(ValueError, match=message):
            export_checkpoint(public, out)
        assert not out.parent.exists()

    def test_a_tokenizer_that_does_not_fit(self, public, out, tmp_path):
        tokenizer = AutoTokenizer.from_pretrained(public)
        tokenizer.add_tokens(["<new>"])
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        with pytest.raises(
            ValueError, match=r"gives the tokens of images and videos the ids \(321, 322\), but they are"
        ):
            export_checkpoint(public, out, tokenizer=tmp_path / "tokenizer")

    def test_without_a_tokenizer_there_is_no_processor(self, public, out):
        export_checkpoint(public, out, include_tokenizer=False)
        assert not (out / "processor_config.json").exists() and not (out / "tokenizer.json").exists()
        assert "and no tokenizer." in (out / "README.md").read_text()

    def test_an_adapter_is_merged(self, public, out, tmp_path):
        torch.manual_seed(0)
        config = LoraConfig(r=4, target_modules=r".*model\.layers\..*q_proj", init_lora_weights=False)
        get_peft_model(AutoModelForImageTextToText.from_pretrained(public), config).save_pretrained(
            tmp_path / "adapter"
        )
        # A trainer saves its processor beside it.
        LLaDAVProcessor.from_pretrained(public, drop_token_after_images=True).save_pretrained(tmp_path / "adapter")
        export_checkpoint(tmp_path / "adapter", out)
        before, after = load_file(public / "model.safetensors"), stored(out)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)}
        assert AutoProcessor.from_pretrained(out).drop_token_after_images is True


class TestOfficialLayout:
    def test_public_in_public_out(self, public, out):
        exported = export_checkpoint(public, out, layout="official")
        assert {path.name for path in out.iterdir()} == TOKENIZER | {
            "README.md",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "vision_config.json",
        }
        assert_same_tensors(stored(out), load_file(public / "model.safetensors"))
        after = read_json(out / "config.json")
        assert after | {"transformers_version": CONFIG["transformers_version"]} == CONFIG
        before, after = read_json(public / "vision_config.json"), read_json(out / "vision_config.json")
        assert {name: before[name] for name in after} == after
        assert "vision_config.json: written, since the vision tower is not the published one" in exported.notes
        assert len(AutoTokenizer.from_pretrained(out)) == 320

    def test_it_loads_here(self, public, out):
        export_checkpoint(public, out, layout="official")
        model = AutoModelForImageTextToText.from_pretrained(out)
        assert model.config.vision_config.to_dict() == golden_llada_v().config.vision_config.to_dict()
        assert_same_tensors(model.state_dict(), golden_llada_v().state_dict())
        assert torch.equal(answer(out), answer(public))

    def test_there_and_back(self, public, out, tmp_path):
        """By our own folder, whose tokenizer has the placeholders."""
        export_checkpoint(public, tmp_path / "once", layout="official")
        export_checkpoint(public, tmp_path / "ours")
        export_checkpoint(tmp_path / "ours", out, layout="official")
        for name in (
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "vision_config.json",
        ):
            assert (out / name).read_bytes() == (tmp_path / "once" / name).read_bytes(), name
        once, again = (read_json(folder / "tokenizer_config.json") for folder in (tmp_path / "once", out))
        once.pop("chat_template"), again.pop("chat_template")  # that of the processor
        assert once == again

    def test_the_published_sizes_need_no_vision_config(self, out):
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = LLaDAVConfig(**sizes, dtype="bfloat16")
        config.save_pretrained(out)
        assert make_public(out, config) == []
        assert not (out / "vision_config.json").exists()
        fields = read_json(out / "config.json")
        assert fields["mm_vision_tower"] == "google/siglip2-so400m-patch14-384" and fields["mm_hidden_size"] == 1152
        again = LLaDAVConfig.from_pretrained(out)
        assert again.vision_config.num_hidden_layers == 26 and again.vocab_size == 126464
        assert (again.mask_token_id, again.eot_token_id, again.image_token_id) == (126336, 126348, 126349)

    def test_tokens_behind_the_placeholders_keep_their_ids(self, public, out, tmp_path):
        processor, model = LLaDAVProcessor.from_pretrained(public), AutoModelForImageTextToText.from_pretrained(public)
        processor.tokenizer.add_tokens(["<new>"])
        model.resize_token_embeddings(len(processor.tokenizer))
        for part in (processor, model):
            part.save_pretrained(tmp_path / "ours")
        export_checkpoint(tmp_path / "ours", out, layout="official")
        config, again = AutoConfig.from_pretrained(out), AutoProcessor.from_pretrained(out)
        assert again.tokenizer.convert_tokens_to_ids("<new>") == 322
        assert config.image_token_id == again.image_token_id == 320 and config.unused_token_ids == [320, 321]

    def test_pinpoints_are_width_and_height(self, public, out):
        change_json(public / "config.json", image_grid_pinpoints=[[70, 140], [140, 70], [210, 70]])
        assert AutoConfig.from_pretrained(public).image_grid_pinpoints == [[140, 70], [70, 140], [70, 210]]
        export_checkpoint(public, out, layout="official")
        assert read_json(out / "config.json")["image_grid_pinpoints"] == [[70, 140], [140, 70], [210, 70]]

    @pytest.mark.parametrize("has_newline", [True, False])
    def test_a_flat_checkpoint(self, public, out, has_newline):
        """As stage 1 leaves it: no rows end, so there is no newline."""
        change_json(public / "config.json", mm_patch_merge_type="flat", image_aspect_ratio="square")
        weights = load_file(public / "model.safetensors")
        newline = weights.pop("model.image_newline")
        stored_ones = weights | ({"model.image_newline": newline} if has_newline else {})
        save_file(stored_ones, public / "model.safetensors", metadata={"format": "pt"})
        export_checkpoint(public, out, layout="official")
        assert_same_tensors(stored(out), weights)
        fields = read_json(out / "config.json")
        assert (fields["mm_patch_merge_type"], fields["image_aspect_ratio"]) == ("flat", "square")

    def test_a_model_that_was_put_together_here(self, tiny_model, out, tmp_path):
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
        tower = SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=70, patch_size=14))
        tokens = {
            "vocab_size": 320,
            "mask_token_id": 319,
            "eos_token_id": 301,
            "pad_token_id": 301,
            "eot_token_id": 302,
        }
        language = tiny_model(**tokens, bos_token_id=300)
        model = LLaDAVForConditionalGeneration.from_parts(language, tower)
        model.save_pretrained(tmp_path / "ours")
        for name in TOKENIZER:
            shutil.copy(FOLDER / name, tmp_path / "ours")
        export_checkpoint(tmp_path / "ours", out, layout="official")
        fields = read_json(out / "config.json")
        assert fields.keys() >= CONFIG.keys() - {
            # of a training run
            "mm_projector_lr",
            "mm_tunable_parts",
            "mm_vision_tower_lr",
            "pos_skipping_range",
            "pretraining_tp",
            "use_pos_skipping",
        }
        assert (fields["bos_token_id"], fields["mm_patch_merge_type"]) == (300, "spatial_unpad")
        again = AutoModelForImageTextToText.from_pretrained(out)
        assert_same_tensors(again.state_dict(), model.state_dict())
        assert again.config.image_token_id == 320 and again.config.mask_token_id == 319
        options = again.generation_config  # unlike the public model, it may write EOS
        assert (options.eos_token_id, options.skip_after_eos, options.suppress_tokens) == (301, False, [319])

    def test_a_processor_of_our_own_writes_the_same_prompts(self, public, out, tmp_path):
        """A public folder has the public system prompt, but a model that was trained here need not have one."""
        export_checkpoint(public, tmp_path / "ours")
        processor = LLaDAVProcessor.from_pretrained(public, chat_template=write_chat_template())
        processor.save_pretrained(tmp_path / "ours")
        export_checkpoint(tmp_path / "ours", out, layout="official")
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
        prompts = {
            AutoProcessor.from_pretrained(folder).apply_chat_template(chat, add_generation_prompt=True)
            for folder in (tmp_path / "ours", out)
        }
        assert len(prompts) == 1 and "system" not in prompts.pop()

    def test_shards_and_another_dtype(self, public, out):
        export_checkpoint(public, out, layout="official", dtype="bfloat16", max_shard_size="100KB")
        assert len(list(out.glob("model-*.safetensors"))) > 1
        expected = {name: value.bfloat16() for name, value in load_file(public / "model.safetensors").items()}
        assert_same_tensors(stored(out), expected)
        assert read_json(out / "config.json")["torch_dtype"] == "bfloat16"


class TestModelCard:
    @pytest.mark.parametrize("layout", ["transformers", "official"])
    def test_it_shows_how_to_ask_about_a_picture(self, public, out, layout, monkeypatch):
        (public / "generation_config.json").write_text('{"max_new_tokens": 4}')
        export_checkpoint(public, out, layout=layout, license="mit")
        card = (out / "README.md").read_text(encoding="utf-8")
        assert "pipeline_tag: image-text-to-text" in card and "huggingface.co/papers/2505.16933" in card
        assert ("trust_remote_code=True" in card) == (layout == "transformers")
        golden_image("A").save(out.parent / "picture.png")
        monkeypatch.chdir(out.parent)
        names = {}
        exec(card.split("```python\n")[1].split("```")[0], names)
        assert names["output"].shape[1] == names["inputs"]["input_ids"].shape[1] + 4
