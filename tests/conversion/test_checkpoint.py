# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A converted checkpoint computes what the autoregressive one did, and is a complete folder of LLaDA."""

import json

import pytest
import torch
from datasets import Dataset
from support.autoregressive import CAUSAL, CONFIGS, IDS, autoregressive_model, chat_tokenizer, save_autoregressive
from support.sft_runs import sft_trainer, weights_of
from transformers import AutoTokenizer

from llada_cli import main
from modeling_llada import LLaDAForMaskedLM
from modeling_llada.conversion import convert_autoregressive, from_autoregressive
from modeling_llada.loading import load_checkpoint
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request):
    """A model of each family, and the mask predictor that is made of it."""
    model = autoregressive_model(request.param)
    return model, from_autoregressive(model, mask_token_id=3)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder of a Llama. Shared by the tests: do not change it."""
    return save_autoregressive(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    """The converted folder. Shared by the tests: do not change it."""
    return convert_autoregressive(source, tmp_path_factory.mktemp("work") / "llada").folder


class TestEquality:
    @torch.no_grad()
    def test_the_logits_under_a_causal_mask_are_those_of_the_original(self, pair):
        original, converted = pair
        assert torch.equal(converted(IDS, attention_mask=CAUSAL).logits, original(IDS).logits)
        assert not torch.allclose(converted(IDS).logits, original(IDS).logits, atol=0.1), (
            "it looks ahead without a mask"
        )

    @torch.no_grad()
    def test_saving_and_loading_keeps_every_bit(self, pair, tmp_path):
        original, converted = pair
        converted.save_pretrained(tmp_path)
        loaded = LLaDAForMaskedLM.from_pretrained(tmp_path)
        assert torch.equal(loaded(IDS, attention_mask=CAUSAL).logits, original(IDS).logits)

    @torch.no_grad()
    def test_the_original_keeps_its_weights(self):
        """Training the converted model must not train the other one."""
        original = autoregressive_model()
        before = original(IDS).logits
        for parameter in from_autoregressive(original, mask_token_id=3).parameters():
            parameter.zero_()
        assert torch.equal(original(IDS).logits, before)

    @torch.no_grad()
    def test_a_model_from_a_gguf_file(self):
        """Its config says that it is quantized, but transformers has unpacked the weights."""
        original = autoregressive_model()
        original.config.quantization_config = {"quant_method": "gguf"}
        converted = from_autoregressive(original, mask_token_id=3)
        assert torch.equal(converted(IDS, attention_mask=CAUSAL).logits, original(IDS).logits)

    @torch.no_grad()
    @pytest.mark.parametrize("options", [{}, {"max_shard_size": "20KB"}], ids=["one file", "shards"])
    def test_from_a_folder(self, tmp_path, options):
        folder = save_autoregressive(tmp_path, "qwen2", **options)
        assert (folder / "model.safetensors.index.json").exists() == bool(options)
        converted = from_autoregressive(folder, mask_token="<repo_name>")
        expected = autoregressive_model("qwen2")(IDS).logits
        assert torch.equal(converted(IDS, attention_mask=CAUSAL).logits, expected)
        assert converted.config.mask_token_id == converted.generation_config.mask_token_id == 3


class TestFolder:
    """`llada convert-ar` writes a folder that everything here works with."""

    def test_the_command_says_what_it_did(self, source, tmp_path, capsys):
        assert main(["convert-ar", str(source), str(tmp_path / "llada"), "--dtype", "bfloat16"]) == 0
        printed = capsys.readouterr().out
        assert "mask token: <|mdm_mask|> (40), new, with the mean of the rows of all other tokens" in printed
        assert "a text ends at: <|endoftext|> (0), <|im_end|> (2)" in printed
        assert LLaDAForMaskedLM.from_pretrained(tmp_path / "llada").dtype == torch.bfloat16

    def test_the_tokenizer_and_its_chat_template_are_kept(self, folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.chat_template == chat_tokenizer().chat_template
        assert tokenizer("the cat sat").input_ids == chat_tokenizer()("the cat sat").input_ids
        assert (tokenizer.mask_token_id, tokenizer.pad_token, tokenizer.padding_side) == (40, "<|endoftext|>", "left")

    def test_the_model_card_warns(self, folder):
        assert "has to be trained before it writes anything" in (folder / "README.md").read_text(encoding="utf-8")

    def test_autoregressive_options_of_generation_are_left_out(self, folder):
        options = json.loads((folder / "generation_config.json").read_text())
        assert options["eos_token_id"] == [0, 2] and options["mask_token_id"] == 40
        assert "temperature" not in options and options["do_sample"] is False

    def test_a_completion_ends_with_the_turn(self, folder):
        model, tokenizer = load_checkpoint(folder, device="cpu")
        messages = [[{"role": "user", "content": text}] for text in ("Hello", "the cat sat")]
        options = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True, "padding": True}
        inputs = tokenizer.apply_chat_template(messages, **options)

        def only_ends(input_ids, scores):
            return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([2]), 0.0)

        output = model.generate(**inputs, max_new_tokens=4, logits_processor=[only_ends])
        assert output[:, -4:].tolist() == [[2, 0, 0, 0]] * 2

    @pytest.mark.parametrize("command", [["generate"], ["score"]])
    def test_commands(self, folder, command, capsys):
        options = ["--max-new-tokens", "4"] if command == ["generate"] else ["--eos", "--num-samples", "2"]
        assert main([*command, "the cat", "--model", str(folder), *options]) == 0
        assert capsys.readouterr().out

    @pytest.mark.parametrize("name", ["llama", "qwen3"])
    def test_fine_tuning(self, name, tmp_path):
        folder = convert_autoregressive(save_autoregressive(tmp_path / "source", name), tmp_path / "llada").folder
        rows = [{"prompt": "the cat", "completion": " sat on the mat ."}] * 8
        trainer = sft_trainer(folder, tmp_path / "run", Dataset.from_list(rows), max_steps=2)
        before = weights_of(trainer)
        trainer.train()
        after = weights_of(trainer)
        assert all(not torch.equal(before[key], after[key]) for key in before if "layers" in key)

    def test_pre_training(self, folder, tmp_path):
        args = LLaDAPretrainingConfig(
            str(tmp_path),
            max_steps=2,
            tokens_per_step=64,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
        )
        trainer = LLaDAPretrainer(
            LLaDAForMaskedLM.from_pretrained(folder), args, train_dataset=IDS[:, :16].repeat(4, 1)
        )
        assert trainer.train().training_loss > 0


class TestBadInput:
    """Nothing is written, and the command says in one line what to do."""

    @pytest.fixture
    def error_of(self, source, tmp_path, capsys):
        def run(*options, source=source, destination=tmp_path / "llada"):
            assert main(["convert-ar", str(source), str(destination), *options]) == 2
            return capsys.readouterr().err

        yield run
        assert not (tmp_path / "llada").exists()

    def test_a_destination_with_files(self, error_of, tmp_path):
        (tmp_path / "kept").write_text("")
        assert "`destination` must be new or empty" in error_of(destination=tmp_path)

    def test_no_such_folder(self, error_of, tmp_path):
        assert "there is no such folder" in error_of(source=tmp_path / "nothing")

    def test_a_field_of_another_type(self, error_of, tmp_path):
        folder = save_autoregressive(tmp_path / "source")
        fields = json.loads((folder / "config.json").read_text()) | {"eos_token_id": "2"}
        (folder / "config.json").write_text(json.dumps(fields))
        assert "'eos_token_id': TypeError" in error_of(source=folder)

    def test_what_is_no_whole_folder(self, error_of, tmp_path):
        """Such as a GGUF file, or an adapter."""
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        for source in (tmp_path / "model.gguf", tmp_path):
            assert "must be a folder with a config.json and weights" in error_of(
                source=source, destination=tmp_path / "new/llada"
            )

    def test_no_tokenizer(self, error_of, tmp_path):
        autoregressive_model().save_pretrained(tmp_path / "source")
        assert "has no tokenizer that can be read: " in error_of(source=tmp_path / "source")

    def test_a_checkpoint_of_llada(self, error_of, poet_folder):
        assert "it is a LLaDA already" in error_of(source=poet_folder)

    def test_a_missing_shard(self, error_of, tmp_path):
        folder = save_autoregressive(tmp_path / "source", max_shard_size="20KB")
        sorted(folder.glob("model-*.safetensors"))[1].unlink()
        assert "model-00002-of" in error_of(source=folder)

    def test_missing_weights(self, error_of, tmp_path):
        folder = save_autoregressive(tmp_path / "source")
        fields = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 3}
        (folder / "config.json").write_text(json.dumps(fields))
        assert "lacks 9 weights" in error_of(source=folder)

    def test_a_separate_head_of_a_tied_model(self, error_of, tmp_path):
        folder = save_autoregressive(tmp_path / "source")
        fields = json.loads((folder / "config.json").read_text()) | {"tie_word_embeddings": True}
        (folder / "config.json").write_text(json.dumps(fields))
        assert "has a separate head" in error_of(source=folder)

    def test_a_quantized_checkpoint(self, error_of, tmp_path):
        folder = save_autoregressive(tmp_path / "source")
        fields = json.loads((folder / "config.json").read_text())
        fields["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
        (folder / "config.json").write_text(json.dumps(fields))
        assert "it is quantized" in error_of(source=folder)

    def test_a_token_that_is_not_there(self, error_of):
        assert "it has no '<nope>'" in error_of("--mask-token", "<nope>")

    def test_no_dtype(self, source, tmp_path):
        with pytest.raises(ValueError, match="`dtype` must be one of"):
            convert_autoregressive(source, tmp_path / "llada", dtype="int8")
