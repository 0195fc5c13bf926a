# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A converted checkpoint computes what the autoregressive one did, and is a complete folder of LLaDA."""

import pytest
import torch
from support.autoregressive import CONFIGS, autoregressive_model, chat_tokenizer, save_autoregressive
from transformers import AutoTokenizer

from llada_cli import main
from modeling_llada import LLaDAForMaskedLM
from modeling_llada.conversion import from_autoregressive


IDS = torch.randint(4, 40, (2, 24), generator=torch.Generator().manual_seed(0))
CAUSAL = torch.ones(24, 24, dtype=torch.bool).tril()[None, None]


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request):
    """A model of each family, and the mask predictor that is made of it."""
    model = autoregressive_model(request.param)
    return model, from_autoregressive(model, mask_token_id=3)


@torch.no_grad()
def test_the_logits_under_a_causal_mask_are_those_of_the_original(pair):
    original, converted = pair
    assert torch.equal(converted(IDS, attention_mask=CAUSAL).logits, original(IDS).logits)
    assert not torch.allclose(converted(IDS).logits, original(IDS).logits, atol=0.1), "without the mask it looks ahead"


@torch.no_grad()
def test_saving_and_loading_keeps_every_bit(pair, tmp_path):
    original, converted = pair
    converted.save_pretrained(tmp_path)
    loaded = LLaDAForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(IDS, attention_mask=CAUSAL).logits, original(IDS).logits)


@torch.no_grad()
def test_the_original_keeps_its_weights():
    """Training the converted model must not train the other one."""
    original = autoregressive_model()
    before = original(IDS).logits
    for parameter in from_autoregressive(original, mask_token_id=3).parameters():
        parameter.zero_()
    assert torch.equal(original(IDS).logits, before)


def test_a_whole_folder(tmp_path, capsys):
    source = save_autoregressive(tmp_path / "source")
    assert main(["convert-ar", str(source), str(tmp_path / "llada"), "--dtype", "bfloat16"]) == 0
    printed = capsys.readouterr().out
    assert (
        "mask token: <|mdm_mask|> (15), new" in printed
        and "a text ends at: <|endoftext|> (0), <|im_end|> (2)" in printed
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llada")
    assert tokenizer.chat_template == chat_tokenizer().chat_template
    assert (tokenizer.mask_token_id, tokenizer.pad_token, tokenizer.padding_side) == (15, "<|endoftext|>", "left")
    assert LLaDAForMaskedLM.from_pretrained(tmp_path / "llada").dtype == torch.bfloat16
    assert "has to be trained" in (tmp_path / "llada/README.md").read_text(encoding="utf-8")
    assert main(["generate", "the cat", "--model", str(tmp_path / "llada"), "--max-new-tokens", "4"]) == 0
