# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Exports: a complete folder for the Hub, or nothing."""

import json
import re
import shutil
from types import SimpleNamespace
from unittest.mock import create_autospec

import huggingface_hub
import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from support.official_folder import CHATML, change_json, official_tokenizer, read_json
from support.saved_tensors import assert_same_tensors, stored
from support.tiny_poet import SHIPPED_CHECKPOINT, save_tiny_poet
from transformers import AutoModel, AutoTokenizer, BertConfig

from llada_cli import main
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig, LLaDAModel
from modeling_llada.export import checkpoint, export_checkpoint


MODELS = SHIPPED_CHECKPOINT.parent.parent / "modeling_llada" / "models"
CODE = {path.name for path in MODELS.glob("*_llada.py")}


def change_weights(folder, change):
    """Applies a function to the dict of weights."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def contents(folder):
    """All files, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestTransformersLayout:
    def test_the_folder_is_complete(self, official, out):
        exported = export_checkpoint(official, out)
        assert {path.name for path in out.iterdir()} == CODE | {
            "README.md",
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert list(out.parent.iterdir()) == [out]
        assert exported.folder == out and exported.dtype == "float32"
        options = read_json(out / "generation_config.json")
        assert (options["do_sample"], options["max_new_tokens"], options["mask_token_id"]) == (False, 128, 319)
        assert exported.num_parameters == sum(w.numel() for w in load_file(official / "model.safetensors").values())
        assert exported.num_bytes == sum(len(content) for content in contents(out).values())

    def test_all_auto_classes_are_named(self, official, out):
        export_checkpoint(official, out)
        assert read_json(out / "config.json")["auto_map"] == {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModel": "modeling_llada.LLaDAForMaskedLM",
            "AutoModelForMaskedLM": "modeling_llada.LLaDAForMaskedLM",
            "AutoModelForCausalLM": "modeling_llada.LLaDAForMaskedLM",
        }

    def test_hugging_face_names_become_official_ones(self, official, out, golden_model, golden_path):
        save_file(golden_model.state_dict(), official / "model.safetensors", metadata={"format": "pt"})
        export_checkpoint(official, out)
        assert_same_tensors(stored(out), load_file(golden_path / "model.safetensors"))

    def test_shards(self, official, out):
        export_checkpoint(official, out, max_shard_size="100KB")
        assert len(list(out.glob("model-*.safetensors"))) > 1 and (out / "model.safetensors.index.json").exists()
        assert_same_tensors(stored(out), load_file(official / "model.safetensors"))

    @pytest.mark.parametrize("weights, config", [("bfloat16", "float32"), ("float32", "bfloat16")])
    def test_auto_is_the_dtype_of_the_weights(self, official, out, weights, config):
        """The dtype of the config would round the weights, or double their size."""
        dtype = getattr(torch, weights)
        change_weights(official, lambda tensors: tensors.update({k: v.to(dtype) for k, v in tensors.items()}))
        change_json(official / "config.json", torch_dtype=config)
        assert export_checkpoint(official, out).dtype == weights
        assert_same_tensors(stored(out), load_file(official / "model.safetensors"))
        assert read_json(out / "config.json")["dtype"] == weights

    def test_another_dtype(self, official, out):
        export_checkpoint(official, out, dtype="bfloat16")
        expected = {name: tensor.bfloat16() for name, tensor in load_file(official / "model.safetensors").items()}
        assert_same_tensors(stored(out), expected)

    def test_tied_embeddings(self, tmp_path, out):
        source = save_tiny_poet(tmp_path / "poet")
        export_checkpoint(source, out)
        assert_same_tensors(stored(out), stored(source))
        assert AutoModel.from_pretrained(out).config.tie_word_embeddings


class TestOfficialLayout:
    def test_official_in_official_out(self, official, out):
        export_checkpoint(official, out, layout="official")
        assert_same_tensors(stored(out), load_file(official / "model.safetensors"))
        before, after = read_json(official / "config.json"), read_json(out / "config.json")
        # `auto_map` names files that are not in the folder.
        changed = {"auto_map", "transformers_version"}
        official_fields = before.keys() - changed
        assert {name: after[name] for name in official_fields} == {name: before[name] for name in official_fields}
        assert after["architectures"] == ["LLaDAModelLM"] and "auto_map" not in after
        assert not list(out.glob("*.py"))

    def test_there_and_back(self, official, out, tmp_path):
        export_checkpoint(official, tmp_path / "once", layout="official")
        export_checkpoint(official, tmp_path / "ours")
        assert read_json(tmp_path / "ours" / "config.json")["architectures"] == ["LLaDAForMaskedLM"]
        (tmp_path / "ours" / "README.md").unlink()
        export_checkpoint(tmp_path / "ours", out, layout="official")
        once, again = contents(tmp_path / "once"), contents(out)
        once.pop("README.md"), again.pop("README.md")  # they name their folders
        assert once == again

    def test_it_loads_here(self, official, out, golden_model):
        export_checkpoint(official, out, layout="official")
        model = AutoModel.from_pretrained(out)
        assert type(model) is LLaDAForMaskedLM
        assert_same_tensors(model.state_dict(), golden_model.state_dict())

    def test_the_tokenizer_is_one_of_transformers_4(self, official, out):
        export_checkpoint(official, out, layout="official")
        fields = read_json(out / "tokenizer_config.json")
        assert fields["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert isinstance(fields.get("additional_special_tokens", []), list) and "extra_special_tokens" not in fields
        assert fields["mask_token"] == "<|mdm_mask|>"
        assert "generation" in fields["chat_template"] and not (out / "chat_template.jinja").exists()
        assert AutoTokenizer.from_pretrained(out).mask_token_id == 319

    def test_scaled_rope_has_no_official_field(self, official, out):
        rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000.0}
        change_json(official / "config.json", rope_parameters=rope)
        with pytest.raises(ValueError, match="scaled RoPE"):
            export_checkpoint(official, out, layout="official")
        export_checkpoint(official, out)
        assert read_json(out / "config.json")["rope_parameters"]["factor"] == 2.0


class TestStrict:
    """A model with a few random weights writes plausible text, so missing weights are an error."""

    HEAD, LAYER, NORM = (f"model.transformer.{name}.weight" for name in ("ff_out", "blocks.1.up_proj", "ln_f"))

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda w: w.pop(TestStrict.LAYER), r"lacks 1 weights .*layers\.1\.mlp\.up_proj\.weight"),
            (lambda w: w.pop(TestStrict.HEAD), r"lacks 1 weights .*lm_head\.weight"),
            (lambda w: w.update(extra=torch.zeros(2)), r"1 unexpected \(extra\)"),
            (
                lambda w: w.update({TestStrict.NORM: torch.zeros(3)}),
                r"1 of another shape \(model\.norm\.weight \(3,\) instead of \(64,\)\)",
            ),
            (
                lambda w: w.update({TestStrict.NORM: torch.zeros(3), "extra": torch.zeros(2)}),
                r"1 unexpected \(extra\); 1 of another shape \(model\.norm",
            ),
        ],
        ids=["missing layer", "missing head", "unexpected", "mismatched", "two things"],
    )
    def test_weights_must_be_those_of_the_config(self, official, out, change, message):
        change_weights(official, change)
        with pytest.raises(ValueError, match=message):
            export_checkpoint(official, out)
        assert not out.parent.exists()

    def test_a_bare_backbone_has_no_head(self, tiny_model, out, tmp_path):
        tiny_model(LLaDAModel).save_pretrained(tmp_path / "backbone")
        with pytest.raises(ValueError, match=r"missing \(lm_head\.weight\)"):
            export_checkpoint(tmp_path / "backbone", out, include_tokenizer=False)

    def test_a_tied_head_is_the_embedding(self, official, out):
        """A stored head of a tied model must equal the embedding."""
        change_json(official / "config.json", weight_tying=True)
        with pytest.raises(ValueError, match="ties the output head"):
            export_checkpoint(official, out)
        change_weights(official, lambda w: w.update({self.HEAD: w["model.transformer.wte.weight"].clone()}))
        export_checkpoint(official, out)
        assert self.HEAD not in stored(out)

    @pytest.mark.parametrize(
        "fields, message",
        [
            ({"mask_token_id": None}, "no `mask_token_id`"),
            ({"quantization_config": {"quant_method": "torchao", "quant_type": "int8"}}, "is quantized"),
            ({"architectures": ["LLaDAMoEModelLM"]}, "`d_model` is a field of another family"),
            ({"d_model": "wide"}, "no config.json that this package can read"),
        ],
        ids=["no mask token", "quantized", "another family", "a field of another type"],
    )
    def test_configs_that_cannot_be_exported(self, official, out, fields, message):
        change_json(official / "config.json", **fields)
        with pytest.raises(ValueError, match=message):
            export_checkpoint(official, out)

    def test_another_model(self, tmp_path, out):
        BertConfig().save_pretrained(tmp_path / "bert")
        with pytest.raises(ValueError, match="type 'bert', not LLaDA"):
            export_checkpoint(tmp_path / "bert", out)

    def test_a_file_is_no_checkpoint(self, official, out):
        with pytest.raises(ValueError, match="`source` must be a folder or a Hub id, but .* is a file"):
            export_checkpoint(official / "config.json", out)

    def test_code_of_a_checkpoint_is_neither_run_nor_asked_about(self, tmp_path, out, monkeypatch):
        """A question would make a script wait for ever."""
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
        (tmp_path / "config.json").write_text('{"model_type": "foreign", "auto_map": {"AutoConfig": "code.Config"}}')
        with pytest.raises(ValueError, match="no config.json that this package can read"):
            export_checkpoint(tmp_path, out)

    @pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": {}}'])
    def test_a_damaged_index(self, official, out, index, tmp_path):
        export_checkpoint(official, tmp_path / "shards", max_shard_size="100KB")
        (tmp_path / "shards" / "model.safetensors.index.json").write_text(index)
        with pytest.raises(OSError, match="damaged model.safetensors.index.json.*Fetch"):
            export_checkpoint(tmp_path / "shards", out)
        assert not out.parent.exists()

    @pytest.mark.parametrize("text", ["{", "[]"])
    def test_a_damaged_generation_config(self, official, out, text):
        """The library would silently export its default options."""
        (official / "generation_config.json").write_text(text)
        with pytest.raises(
            ValueError, match="generation_config.json must (be a|hold a) JSON .*Repair it, or remove it"
        ):
            export_checkpoint(official, out)

    def test_no_checkpoint(self, tmp_path, out):
        with pytest.raises(ValueError, match="no config.json that this package can read"):
            export_checkpoint(tmp_path, out)

    @pytest.mark.parametrize(
        "arguments", [{"layout": "gguf"}, {"dtype": "int8"}, {"max_shard_size": "5 gigabytes"}], ids=str
    )
    def test_arguments(self, official, out, arguments):
        name, value = next(iter(arguments.items()))
        with pytest.raises(ValueError, match=f"`{name}` must be .* but got '{value}'"):
            export_checkpoint(official, out, **arguments)


class TestAdapter:
    """An adapter is exported as the checkpoint that it makes of its base."""

    @pytest.fixture
    def adapter(self, official, tmp_path):
        """The folder of a random adapter of the checkpoint. A test may add files."""
        config = LoraConfig(
            task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False
        )
        get_peft_model(LLaDAForMaskedLM.from_pretrained(official), config).save_pretrained(tmp_path / "adapter")
        return tmp_path / "adapter"

    @pytest.mark.parametrize("layout", ["transformers", pytest.param("official", marks=pytest.mark.slow)])
    def test_its_logits(self, adapter, official, out, layout):
        exported = export_checkpoint(adapter, out, layout=layout)
        assert f"adapter: merged into {official}" in exported.notes and "model card: written" in exported.notes
        adapted = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(official), adapter).eval()
        input_ids = torch.arange(20)[None]
        with torch.no_grad():
            logits = LLaDAForMaskedLM.from_pretrained(out).eval()(input_ids).logits
            torch.testing.assert_close(logits, adapted(input_ids=input_ids).logits, rtol=1e-3, atol=1e-3)
        assert not list(out.glob("adapter_*.json"))

    def test_its_own_files_win(self, adapter, official, out):
        tokenizer = official_tokenizer(CHATML)
        tokenizer.save_pretrained(adapter)
        LLaDAGenerationConfig(steps=7).save_pretrained(adapter)
        for folder, fields in (
            (official, {"line_ends": "!", "notes": {"chat": "a"}}),
            (adapter, {"notes": {"system": "b"}}),
        ):
            (folder / "prompt_fields.json").write_text(json.dumps(fields), encoding="utf-8")
        export_checkpoint(adapter, out)
        assert AutoTokenizer.from_pretrained(out).chat_template == CHATML
        assert read_json(out / "generation_config.json")["steps"] == 7
        assert read_json(out / "prompt_fields.json") == {"line_ends": "!", "notes": {"chat": "a", "system": "b"}}

    def test_files_that_it_lacks_are_those_of_its_base(self, adapter, official, out):
        LLaDAGenerationConfig(steps=7).save_pretrained(official)
        export_checkpoint(adapter, out)
        assert read_json(out / "generation_config.json")["steps"] == 7
        assert AutoTokenizer.from_pretrained(out).mask_token == "<|mdm_mask|>"

    def test_one_that_does_not_fit(self, adapter, out):
        change_json(adapter / "adapter_config.json", target_modules=["q_proj"])
        with pytest.raises(ValueError, match="cannot be merged into .*its weights are not those of the modules"):
            export_checkpoint(adapter, out)
        change_json(adapter / "adapter_config.json", base_model_name_or_path="moved/away")
        with pytest.raises(ValueError, match="names 'moved/away' as the checkpoint below.*`base_model_name_or_path`"):
            export_checkpoint(adapter, out)
        change_json(adapter / "adapter_config.json", base_model_name_or_path=None)
        with pytest.raises(ValueError, match="does not name the checkpoint below it"):
            export_checkpoint(adapter, out)
        assert not out.exists()

    def test_prompt_learning(self, official, tmp_path, out):
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
        get_peft_model(LLaDAForMaskedLM.from_pretrained(official), config).save_pretrained(tmp_path / "prompt")
        with pytest.raises(ValueError, match="an adapter of the type PROMPT_TUNING cannot be merged into weights"):
            export_checkpoint(tmp_path / "prompt", out)


class TestDestination:
    @pytest.fixture
    def old(self, official, out):
        """An earlier export."""
        export_checkpoint(official, out, license="mit")
        return contents(out)

    def test_overwrite(self, official, out, old):
        with pytest.raises(ValueError, match="must be new or empty.*--overwrite"):
            export_checkpoint(official, out)
        with pytest.raises(ValueError, match="must not contain the source"):
            export_checkpoint(official, official, overwrite=True)
        assert contents(out) == old
        export_checkpoint(official, out, overwrite=True, layout="official")
        assert not list(out.glob("*.py")) and "mit" not in (out / "README.md").read_text().split("---")[1]
        assert list(out.parent.iterdir()) == [out]

    @pytest.mark.parametrize("last_step", ["write_model_card", "save_tokenizer"])
    def test_a_failure_leaves_nothing_new(self, official, out, old, monkeypatch, last_step):
        def fail(*args):
            raise RuntimeError("no more")

        monkeypatch.setattr(checkpoint, last_step, fail)
        with pytest.raises(RuntimeError):
            export_checkpoint(official, out, overwrite=True)
        assert contents(out) == old and list(out.parent.iterdir()) == [out]
        with pytest.raises(RuntimeError):
            export_checkpoint(official, out.parent / "new")
        assert list(out.parent.iterdir()) == [out]

    def test_a_full_disk_is_noticed_before_writing(self, official, out, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(OSError, match=r"take 0\.\d MB, .* has only 0\.0 MB left"):
            export_checkpoint(official, out)
        assert not out.parent.exists()

    def test_a_destination_that_cannot_be_written_is_noticed_before_reading(
        self, official, out, old, small_files, monkeypatch
    ):
        monkeypatch.setattr(checkpoint, "load_weights", lambda *_: pytest.fail("the weights were read"))
        with small_files(), pytest.raises(OSError, match=re.escape(f"'{out}'")):
            export_checkpoint(official, out, overwrite=True)
        assert contents(out) == old and list(out.parent.iterdir()) == [out]


class TestCommand:
    @pytest.fixture
    def fail(self, capsys):
        """Runs `llada export`, which must fail with one line, and returns that line."""

        def run(*arguments):
            assert main(["export", *map(str, arguments)]) == 2
            _, err = capsys.readouterr()
            assert err.startswith("llada: error: ") and err.count("\n") == 1
            return err

        return run

    @pytest.fixture
    def hub(self, monkeypatch):
        """The Hub: a mock with the signatures of `HfApi`."""
        api = create_autospec(huggingface_hub.HfApi, instance=True)
        api.create_repo.side_effect = lambda repo_id, **_: huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_token")
        return api

    def test_says_what_it_did(self, official, out, capsys):
        assert main(["export", str(official), str(out), "--dtype", "bfloat16", "--max-shard-size", "100KB"]) == 0
        lines, err = capsys.readouterr()
        assert lines.splitlines()[0].startswith(f"{out}: 182,720 parameters in bfloat16, 0.")
        assert [line.split(":")[0].strip() for line in lines.splitlines()[1:]] == [
            "mask token",
            "chat template",
            "model card",
        ]
        assert not err
        assert type(AutoModel.from_pretrained(out)) is LLaDAForMaskedLM

    def test_options_reach_the_library(self, official, out, capsys):
        options = "--layout official --no-tokenizer --license mit --base-model a/b --overwrite"
        assert main(["export", str(official), str(out), *options.split()]) == 0
        assert LLaDAConfig.from_pretrained(out).architectures == ["LLaDAModelLM"]
        card = huggingface_hub.ModelCard.load(out / "README.md")
        assert (card.data.license, card.data.base_model) == ("mit", "a/b")
        assert not (out / "tokenizer.json").exists()

    def test_errors(self, official, out, fail):
        assert "exclude each other" in fail(official, out, "--no-tokenizer", "--tokenizer", "x")
        assert "`--private` needs" in fail(official, out, "--private")
        assert "`--commit-message` needs" in fail(official, out, "--commit-message", "x")
        change_weights(official, lambda weights: weights.update(extra=torch.zeros(2)))
        assert "1 unexpected (extra)" in fail(official, out)

    def test_push(self, official, out, hub, capsys):
        options = ["--push-to-hub", "me/my-llada", "--private", "--commit-message", "Better poems"]
        assert main(["export", str(official), str(out), *options]) == 0
        hub.create_repo.assert_called_once_with("me/my-llada", private=True, exist_ok=True)
        call = hub.upload_folder.call_args.kwargs
        assert (call["repo_id"], call["folder_path"], call["commit_message"]) == ("me/my-llada", out, "Better poems")
        assert capsys.readouterr().out.endswith("uploaded to https://huggingface.co/me/my-llada\n")
        assert 'from_pretrained("me/my-llada"' in (out / "README.md").read_text()

    def test_a_failed_upload_leaves_the_folder(self, official, out, hub, fail):
        hub.upload_folder.side_effect = ConnectionError("no route to the Hub")
        message = fail(official, out, "--push-to-hub", "me/my-llada")
        assert "the folder is complete, but the upload failed: no route to the Hub" in message
        assert f"hf upload me/my-llada {out}" in message
        assert type(AutoModel.from_pretrained(out)) is LLaDAForMaskedLM

    @pytest.mark.parametrize("repo_id, token, message", [("a/b/c", "x", "a/b/c"), ("a/b", None, "hf auth login")])
    def test_an_upload_that_cannot_work_fails_first(
        self, official, out, hub, fail, monkeypatch, repo_id, token, message
    ):
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
        assert message in fail(official, out, "--push-to-hub", repo_id)
        assert not out.exists() and not hub.create_repo.called
