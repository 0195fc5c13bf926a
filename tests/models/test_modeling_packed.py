# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Several documents in one row: each is computed as in a row of its own, with every attention implementation."""

import pytest
import torch
from torch.nn import functional as F
from transformers.integrations import flash_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_llada import LLaDAModel
from modeling_llada.models.cache_llada import LLaDACache


# Two rows of twelve tokens: three documents; two documents and padding, which counts as a third.
LENGTHS = [5, 4, 3, 7, 2, 3]
CU_SEQ_LENS = torch.tensor([0, 5, 9, 12, 19, 21, 24], dtype=torch.int32)
POSITION_IDS = torch.cat([torch.arange(length) for length in LENGTHS]).view(2, 12)


def varlen_attention(query, key, value, attention_mask, softmax_scale, is_causal, **kwargs):
    """Computes what the kernels of flash attention compute from these arguments, document by document."""
    assert attention_mask is None and not is_causal
    assert torch.equal(kwargs["cu_seq_lens_q"], kwargs["cu_seq_lens_k"])
    assert kwargs["max_length_q"] == kwargs["max_length_k"] == 7
    lengths = kwargs["cu_seq_lens_q"].diff().tolist()
    documents = zip(*(states.flatten(0, 1).split(lengths) for states in (query, key, value)), strict=True)
    outputs = [
        F.scaled_dot_product_attention(
            *(states[None].transpose(1, 2) for states in document), scale=softmax_scale, enable_gqa=True
        )
        for document in documents
    ]
    return torch.cat([output.transpose(1, 2)[0] for output in outputs]).view(query.shape)


@pytest.fixture(params=["sdpa", "eager", "flex_attention", "flash_attention_2"])
def model(request, tiny_model, monkeypatch):
    # Flex attention needs heads of at least 16.
    model = tiny_model(hidden_size=64)
    if request.param == "flash_attention_2":
        monkeypatch.setattr(flash_attention, "_flash_attention_forward", varlen_attention)
        model.config._attn_implementation = request.param
    else:
        model.set_attn_implementation(request.param)
    # Flex attention without code generation, which takes half a minute for a CPU.
    with torch.compiler.set_stance("force_eager"):
        yield model


@torch.no_grad()
def alone(model, input_ids):
    """The logits of each document in a row of its own."""
    model.set_attn_implementation("sdpa")
    return [model(document[None]).logits[0] for document in input_ids.flatten().split(LENGTHS)]


def assert_equal(logits, expected):
    for document, other in zip(logits.flatten(0, 1).split(LENGTHS), expected, strict=True):
        torch.testing.assert_close(document, other, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # flex attention warns that it is not compiled, which is intended here
class TestEqualsADocumentAlone:
    @pytest.mark.parametrize("position_ids", [POSITION_IDS, None], ids=["positions begin again", "positions go on"])
    def test_logits(self, model, random_ids, position_ids):
        """The rotary embedding is relative, so positions can also go on."""
        input_ids = random_ids(2, 12)
        with torch.no_grad():
            logits = model(input_ids, cu_seq_lens_q=CU_SEQ_LENS, position_ids=position_ids).logits
        assert_equal(logits, alone(model, input_ids))

    def test_with_all_that_collators_give(self, model, random_ids):
        input_ids = random_ids(2, 12)
        lengths = {"cu_seq_lens_q": CU_SEQ_LENS, "cu_seq_lens_k": CU_SEQ_LENS, "max_length_q": 7, "max_length_k": 7}
        with torch.no_grad():
            logits = model(input_ids, position_ids=POSITION_IDS, **lengths).logits
        assert_equal(logits, alone(model, input_ids))

    @pytest.mark.parametrize("name", ["cu_seq_lens_k", "max_length_q", "max_length_k"])
    def test_with_a_length_that_is_none(self, model, random_ids, name):
        """Without the missing length, flash attention would attend across documents."""
        input_ids = random_ids(2, 12)
        with torch.no_grad():
            logits = model(input_ids, cu_seq_lens_q=CU_SEQ_LENS, **{name: None}).logits
        assert_equal(logits, alone(model, input_ids))

    def test_nothing_flows_between_documents(self, tiny_model, random_ids):
        model = tiny_model(LLaDAModel)
        embeds = model.embed_tokens(random_ids(2, 12)).detach().requires_grad_()
        output = model(inputs_embeds=embeds, cu_seq_lens_q=CU_SEQ_LENS).last_hidden_state
        output[0, 5:9].sum().backward()
        touched = embeds.grad.abs().sum(-1) > 0
        assert touched[0].tolist() == [False] * 5 + [True] * 4 + [False] * 3 and not touched[1].any()

    def test_with_gradient_checkpointing(self, tiny_model, random_ids):
        gradients = []
        for checkpointing in (False, True):
            model = tiny_model().train()
            if checkpointing:
                model.activation_checkpointing_enable()
            model(random_ids(2, 12), cu_seq_lens_q=CU_SEQ_LENS).logits.logsumexp(-1).sum().backward()
            gradients.append(model.model.embed_tokens.weight.grad)
        torch.testing.assert_close(*gradients)

    def test_compiled(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(2, 12)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        with torch.no_grad():
            logits = compiled(input_ids, cu_seq_lens_q=CU_SEQ_LENS).logits
        assert_equal(logits, alone(model, input_ids))


class TestOnlyWhereItIsAskedFor:
    def test_positions_alone_pack_nothing(self, tiny_model, random_ids):
        """Generation also gives positions, and with left padding they begin with several zeros."""
        model, input_ids = tiny_model(), random_ids(2, 12)
        other = input_ids.clone()
        other[0, 0] = 5
        with torch.no_grad():
            first, second = (model(ids, position_ids=POSITION_IDS).logits for ids in (input_ids, other))
        assert (first[0, 5:] - second[0, 5:]).abs().max() > 1e-3

    @pytest.mark.parametrize("name", ["attention_mask", "cache", "query_positions"])
    def test_not_with_arguments_that_would_undo_it(self, tiny_model, random_ids, name):
        """With a mask, flash attention would ignore the boundaries of documents."""
        given = {
            "attention_mask": torch.ones(2, 12),
            "cache": LLaDACache(num_layers=2),
            "query_positions": torch.arange(3),
        }
        with pytest.raises(ValueError, match="`cu_seq_lens_q`.*leave `attention_mask`"):
            tiny_model()(random_ids(2, 12), cu_seq_lens_q=CU_SEQ_LENS, **{name: given[name]})

    @pytest.mark.parametrize("ends", [[1, 12, 24], [0, 12, 23], [0, 12, 25]], ids=str)
    def test_not_with_documents_that_are_not_the_batch(self, tiny_model, random_ids, ends):
        with pytest.raises(ValueError, match=f"begin with 0 and end with .*24, but goes from {ends[0]} to {ends[-1]}"):
            tiny_model()(random_ids(2, 12), cu_seq_lens_q=torch.tensor(ends, dtype=torch.int32))

    def test_not_with_an_attention_without_masks(self, tiny_model, random_ids):
        model = tiny_model()
        ALL_ATTENTION_FUNCTIONS.register("unmasked", ALL_ATTENTION_FUNCTIONS["sdpa"])
        try:
            model.set_attn_implementation("unmasked")
            model(random_ids(2, 12))
            with pytest.raises(ValueError, match="`unmasked` has no mask.*set_attn_implementation"):
                model(random_ids(2, 12), cu_seq_lens_q=CU_SEQ_LENS)
        finally:
            del ALL_ATTENTION_FUNCTIONS._global_mapping["unmasked"]
