# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The network: what transformers expects of every model, and what is special about a mask predictor."""

import copy
import inspect
import re

import pytest
import torch
from torch import nn
from transformers import AutoModel
from transformers.utils import logging

from modeling_llada import LLaDAForMaskedLM, LLaDAModel
from modeling_llada.models.attention_mask_llada import mask_of_queries
from modeling_llada.models.cache_llada import LLaDACache
from modeling_llada.models.guidance_llada import guided_logits
from modeling_llada.models.kernels_llada import Kernels, fused
from modeling_llada.models.modeling_llada import LLaDARMSNorm, select_positions
from modeling_llada.models.rotary_llada import apply_rotary_pos_emb


MASK = 98
BOTH_CLASSES = pytest.mark.parametrize("model_class", [LLaDAModel, LLaDAForMaskedLM])


def left_padding(batch, length, *padding):
    """An attention mask that begins with `padding[row]` zeros in each row."""
    mask = torch.ones(batch, length, dtype=torch.long)
    for row, zeros in enumerate(padding):
        mask[row, :zeros] = 0
    return mask


@torch.no_grad()
def logits_of(model, input_ids=None, **kwargs):
    return model(input_ids, **kwargs).logits


class TestInitialisation:
    @BOTH_CLASSES
    def test_weights_that_no_checkpoint_holds(self, tiny_config, model_class):
        """`_init_weights` gives a model from the meta device all its weights and buffers."""
        config = tiny_config(num_hidden_layers=1)
        with torch.device("meta"):
            model = model_class(config)
        model.to_empty(device="cpu")
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.data.fill_(torch.nan)
            if hasattr(tensor, "_is_hf_initialized"):
                del tensor._is_hf_initialized
        for module in model.modules():
            module._is_hf_initialized = False
        model.init_weights()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            assert torch.isfinite(tensor).all(), name
        expected = model_class(config)
        for (name, buffer), (_, other) in zip(model.named_buffers(), expected.named_buffers(), strict=True):
            assert torch.equal(buffer, other), name

    def test_scale(self, tiny_model):
        model = tiny_model(initializer_range=0.05, hidden_size=64, vocab_size=512)
        assert model.model.embed_tokens.weight.std().item() == pytest.approx(0.05, rel=0.05)
        assert model.lm_head.weight.std().item() == pytest.approx(0.05, rel=0.05)
        for module in model.modules():
            if isinstance(module, LLaDARMSNorm):
                assert torch.equal(module.weight, torch.ones_like(module.weight))

    def test_the_pad_embedding_is_trained(self, tiny_model):
        """LLaDA pads with EOS, so a `padding_idx` would freeze EOS."""
        model = tiny_model()
        assert model.model.embed_tokens.padding_idx is None
        assert model.model.embed_tokens.weight[model.config.pad_token_id].abs().sum() > 0

    def test_no_bias_anywhere(self, tiny_model):
        assert not [name for name, _ in tiny_model().named_parameters() if "bias" in name]


class TestForward:
    @BOTH_CLASSES
    def test_signature(self, model_class):
        assert list(inspect.signature(model_class.forward).parameters)[1:3] == ["input_ids", "attention_mask"]

    @BOTH_CLASSES
    def test_shapes(self, tiny_model, random_ids, model_class):
        output = tiny_model(model_class)(random_ids(2, 7))
        assert output[0].shape == ((2, 7, 32) if model_class is LLaDAModel else (2, 7, 99))

    @pytest.mark.parametrize(
        "kwargs", [{}, {"input_ids": torch.ones(1, 2).long(), "inputs_embeds": torch.ones(1, 2, 32)}]
    )
    @BOTH_CLASSES
    def test_exactly_one_input(self, tiny_model, model_class, kwargs):
        with pytest.raises(ValueError, match="exactly one of `input_ids` and `inputs_embeds`"):
            tiny_model(model_class)(**kwargs)

    def test_no_causal_mask(self, tiny_model, random_ids):
        """A later token changes the logits of every earlier position."""
        model, input_ids = tiny_model(), random_ids(1, 7)
        changed = input_ids.clone()
        changed[0, -1] = (changed[0, -1] + 1) % MASK
        difference = (logits_of(model, input_ids) - logits_of(model, changed)).abs().amax(-1)
        assert (difference > 1e-4).all()

    def test_positions_matter(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(1, 7)
        reverse = logits_of(model, input_ids.flip(1)).flip(1)
        assert (logits_of(model, input_ids) - reverse).abs().max() > 1e-2

    def test_the_rotary_embedding_is_relative(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(2, 7)
        shifted = logits_of(model, input_ids, position_ids=torch.arange(7)[None] + 20)
        torch.testing.assert_close(shifted, logits_of(model, input_ids), rtol=1e-4, atol=1e-4)

    def test_grouped_query_attention_equals_repeated_heads(self, tiny_model, random_ids):
        """With a copy of its key and value head for each query head, the logits are the same."""
        grouped = tiny_model(num_attention_heads=4, num_key_value_heads=2)
        full = tiny_model(num_attention_heads=4, num_key_value_heads=4)
        state = grouped.state_dict()
        for name in [name for name in state if "k_proj" in name or "v_proj" in name]:
            state[name] = state[name].view(2, 8, 32).repeat_interleave(2, dim=0).reshape(32, 32)
        full.load_state_dict(state)
        ids = random_ids(2, 7)
        torch.testing.assert_close(logits_of(full, ids), logits_of(grouped, ids), rtol=1e-4, atol=1e-4)


class TestOutputs:
    def test_hidden_states(self, tiny_model, random_ids):
        model = tiny_model()
        output = model(random_ids(2, 7), output_hidden_states=True)
        assert [state.shape for state in output.hidden_states] == [(2, 7, 32)] * 3
        assert torch.equal(output.hidden_states[0], model.get_input_embeddings()(random_ids(2, 7)))
        assert torch.equal(model.lm_head(output.hidden_states[-1]), output.logits)
        assert model(random_ids(2, 7)).hidden_states is None

    def test_attentions(self, tiny_model, random_ids):
        output = tiny_model(attn_implementation="eager")(random_ids(2, 7), output_attentions=True)
        assert [attention.shape for attention in output.attentions] == [(2, 4, 7, 7)] * 2
        for attention in output.attentions:
            torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4, 7))
            assert (attention > 0).all()

    def test_attentions_skip_the_padding(self, tiny_model, random_ids):
        mask = left_padding(2, 7, 3)
        output = tiny_model(attn_implementation="eager")(random_ids(2, 7), attention_mask=mask, output_attentions=True)
        for attention in output.attentions:
            assert (attention[0, :, 3:, :3] == 0).all()

    @pytest.mark.parametrize(
        "logits_to_keep",
        [1, torch.tensor([2, 4]), torch.arange(14).view(2, 7) % 3 == 0],
        ids=["last", "1-D", "boolean"],
    )
    def test_logits_to_keep_shortens_only_the_logits(self, tiny_model, random_ids, logits_to_keep):
        """Hidden states and attentions still cover the whole sequence, also with `inputs_embeds`."""
        model = tiny_model(attn_implementation="eager")
        embeds = model.get_input_embeddings()(random_ids(2, 7))
        kwargs = {"output_hidden_states": True, "output_attentions": True}
        full, kept = (
            model(inputs_embeds=embeds, **kwargs),
            model(inputs_embeds=embeds, logits_to_keep=logits_to_keep, **kwargs),
        )
        assert kept.logits.numel() < full.logits.numel()
        assert len(kept.hidden_states) == 3 and len(kept.attentions) == 2
        for first, second in zip(
            kept.hidden_states + kept.attentions, full.hidden_states + full.attentions, strict=True
        ):
            assert torch.equal(first, second)
        torch.testing.assert_close(
            kept.logits, model.lm_head(select_positions(kept.hidden_states[-1], logits_to_keep))
        )

    def test_sdpa_returns_no_attentions(self, tiny_model, random_ids, monkeypatch):
        """There are none, and transformers warns, as for its own models."""
        warnings = []
        logger = logging.get_logger("transformers.integrations.sdpa_attention")
        for name in ("warning", "warning_once"):
            monkeypatch.setattr(logger, name, lambda message, *args: warnings.append(message))
        output = tiny_model(attn_implementation="sdpa")(random_ids(2, 7), output_attentions=True)
        assert not output.attentions
        assert warnings and "set your attention to `eager`" in warnings[0]


class TestEmbeddings:
    def test_tied(self, tiny_model):
        model = tiny_model(tie_word_embeddings=True)
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert "lm_head.weight" not in dict(model.named_parameters())
        untied = tiny_model(tie_word_embeddings=False)
        assert untied.lm_head.weight is not untied.model.embed_tokens.weight

    def test_tied_gradients_add_up(self, tiny_model, random_ids):
        model = tiny_model(tie_word_embeddings=True)
        model(random_ids(2, 7)).logits.square().mean().backward()
        grad = model.model.embed_tokens.weight.grad
        # Every row has a gradient through the head, and the rows of the input also have one through the embedding.
        assert (grad.abs().sum(-1) > 0).all()

    def test_base_model_prefix(self, tiny_model):
        model = tiny_model()
        assert model.base_model is model.model
        assert model.model.base_model is model.model


class TestResize:
    @pytest.mark.parametrize("pad_to_multiple_of", [None, 64])
    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    def test_growing_keeps_the_mask_token(self, tiny_model, random_ids, tmp_path, tied, pad_to_multiple_of):
        """Generation works after resizing, and after saving and loading."""
        model = tiny_model(tie_word_embeddings=tied)
        before = logits_of(model, torch.tensor([[5, MASK, 7]]))
        embeddings = model.resize_token_embeddings(120, pad_to_multiple_of=pad_to_multiple_of)
        rows = 128 if pad_to_multiple_of else 120
        assert embeddings.num_embeddings == model.lm_head.out_features == model.config.vocab_size == rows
        assert (model.lm_head.weight is embeddings.weight) == tied
        assert model.config.mask_token_id == MASK
        torch.testing.assert_close(logits_of(model, torch.tensor([[5, MASK, 7]]))[..., :99], before)

        output = model.generate(random_ids(1, 4), max_new_tokens=6)
        assert output.shape == (1, 10) and not (output == MASK).any() and output.max() < rows
        model.save_pretrained(tmp_path)
        again = AutoModel.from_pretrained(tmp_path)
        assert again.config.mask_token_id == MASK
        assert torch.equal(again.generate(random_ids(1, 4), max_new_tokens=6), output)

    @BOTH_CLASSES
    @pytest.mark.parametrize("name", ["mask", "eos", "eot", "bos", "pad"])
    def test_shrinking_keeps_the_special_tokens(self, tiny_model, model_class, name):
        ids = {"mask_token_id": 5, "eos_token_id": 1, "pad_token_id": 1, "bos_token_id": 0}
        model = tiny_model(model_class, tokenizer_vocab_size=90, **(ids | {f"{name}_token_id": 80}))
        with pytest.raises(ValueError, match=rf"`new_num_tokens` must be at least 81, so that `{name}_token_id=80`"):
            model.resize_token_embeddings(80)
        # The model has not changed.
        assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == 99
        assert model.config.tokenizer_vocab_size == 90
        assert model.resize_token_embeddings(81).num_embeddings == 81

    def test_each_of_several_eos_tokens_keeps_its_row(self, tiny_model):
        model = tiny_model(eos_token_id=[1, 80], mask_token_id=5)
        with pytest.raises(ValueError, match=r"must be at least 81, so that `eos_token_id=\[1, 80\]` keeps its row"):
            model.resize_token_embeddings(80)
        assert model.resize_token_embeddings(120).num_embeddings == 120

    def test_the_multiple_counts(self, tiny_model):
        """The number of rows after rounding decides."""
        assert tiny_model().resize_token_embeddings(90, pad_to_multiple_of=64).num_embeddings == 128
        with pytest.raises(ValueError, match="`new_num_tokens`.*`mask_token_id=98`.*but got 60"):
            tiny_model().resize_token_embeddings(60, pad_to_multiple_of=32)


class TestAttention:
    @pytest.mark.parametrize("padding", ["none", "left", "right"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
    def test_eager_equals_sdpa(self, tiny_model, random_ids, padding, dtype):
        mask = left_padding(3, 9, 0, 2, 5)
        mask = {"none": None, "left": mask, "right": mask.flip(1)}[padding]
        model = tiny_model(num_key_value_heads=2).to(dtype)
        outputs = {}
        for implementation in ("eager", "sdpa"):
            model.set_attn_implementation(implementation)
            assert model.config._attn_implementation == implementation
            outputs[implementation] = logits_of(model, random_ids(3, 9), attention_mask=mask)
        kept = torch.ones(3, 9).bool() if mask is None else mask.bool()
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        eager, sdpa = (outputs[name][kept].float() for name in ("eager", "sdpa"))
        torch.testing.assert_close(eager, sdpa, rtol=tolerance, atol=tolerance * eager.abs().max().item())

    @pytest.mark.filterwarnings("ignore")  # flex attention warns that it is not compiled, which is intended here
    def test_flex_equals_sdpa(self, tiny_model, random_ids):
        mask = left_padding(2, 9, 0, 4)
        # Flex attention needs heads of at least 16.
        model = tiny_model(hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
        sdpa = logits_of(model, random_ids(2, 9), attention_mask=mask)
        model.set_attn_implementation("flex_attention")
        # Without code generation, which takes half a minute for a CPU.
        with torch.compiler.set_stance("force_eager"):
            flex = logits_of(model, random_ids(2, 9), attention_mask=mask)
        torch.testing.assert_close(flex[mask.bool()], sdpa[mask.bool()], rtol=1e-3, atol=1e-3)

    def test_dropout_in_training_only(self, tiny_model, random_ids):
        model = tiny_model(attention_dropout=0.5)
        assert torch.equal(logits_of(model, random_ids(2, 9)), logits_of(model, random_ids(2, 9)))
        model.train()
        assert not torch.equal(logits_of(model, random_ids(2, 9)), logits_of(model, random_ids(2, 9)))

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_a_four_dimensional_mask_is_used_as_it_is(self, tiny_model, random_ids, implementation):
        """For example a block-causal mask, or one for packed sequences."""
        model, input_ids = tiny_model(attn_implementation=implementation), random_ids(1, 8)
        mask = torch.full((1, 1, 8, 8), torch.finfo(torch.float32).min)
        mask[..., :3, :3] = 0
        mask[..., 3:, 3:] = 0
        packed = logits_of(model, input_ids, attention_mask=mask)
        apart = torch.cat([logits_of(model, input_ids[:, :3]), logits_of(model, input_ids[:, 3:])], dim=1)
        torch.testing.assert_close(packed, apart, rtol=1e-4, atol=1e-4)


class TestBatching:
    def test_a_row_does_not_depend_on_its_batch_mates(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(4, 9)
        alone = torch.cat([logits_of(model, row[None]) for row in input_ids])
        torch.testing.assert_close(logits_of(model, input_ids), alone, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_a_padded_row_equals_the_row_by_itself(self, tiny_model, random_ids, implementation, side):
        """Old snapshots of the official model file ignored the mask."""
        model, row = tiny_model(attn_implementation=implementation), random_ids(1, 6)
        pads = torch.full((1, 4), model.config.pad_token_id)
        ones, zeros = torch.ones(1, 6).long(), torch.zeros(1, 4).long()
        if side == "left":
            padded, mask, kept = torch.cat([pads, row], 1), torch.cat([zeros, ones], 1), slice(4, None)
        else:
            padded, mask, kept = torch.cat([row, pads], 1), torch.cat([ones, zeros], 1), slice(0, 6)
        padded = logits_of(model, padded, attention_mask=mask)
        torch.testing.assert_close(padded[:, kept], logits_of(model, row), rtol=1e-4, atol=1e-4)
        assert torch.isfinite(padded).all()

    @pytest.mark.parametrize("mask_dtype", [torch.long, torch.bool, torch.float32], ids=str)
    def test_the_content_of_the_padding_does_not_matter(self, tiny_model, random_ids, mask_dtype):
        model, mask = tiny_model(), left_padding(2, 9, 0, 4)
        first = random_ids(2, 9)
        second = torch.where(mask.bool(), first, MASK)
        assert not torch.equal(first, second)
        first, second = (logits_of(model, ids, attention_mask=mask.to(mask_dtype)) for ids in (first, second))
        assert torch.equal(first[mask.bool()], second[mask.bool()])

    def test_a_mask_of_ones_changes_nothing(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(2, 9)
        ones = torch.ones_like(input_ids)
        torch.testing.assert_close(logits_of(model, input_ids), logits_of(model, input_ids, attention_mask=ones))


class TestLogitsToKeep:
    @pytest.fixture
    def full(self, tiny_model, random_ids):
        return logits_of(tiny_model(), random_ids(3, 8))

    @pytest.mark.parametrize(
        "logits_to_keep, select",
        [
            (0, lambda x: x),
            (1, lambda x: x[:, -1:]),
            (3, lambda x: x[:, -3:]),
            (torch.tensor([0, 5]), lambda x: x[:, [0, 5]]),
            (torch.tensor([[0, 5], [1, 1], [7, 2]]), lambda x: x[torch.arange(3)[:, None], [[0, 5], [1, 1], [7, 2]]]),
            (torch.arange(24).view(3, 8) % 5 == 0, lambda x: x.flatten(0, 1)[::5]),
            (torch.arange(8) % 3 == 0, lambda x: x[:, ::3]),
            (torch.zeros(3, 8, dtype=torch.bool), lambda x: x.flatten(0, 1)[:0]),
        ],
        ids=["all", "last", "last three", "1-D", "2-D", "2-D boolean", "1-D boolean", "none"],
    )
    def test_every_form(self, tiny_model, random_ids, full, logits_to_keep, select):
        model, input_ids = tiny_model(), random_ids(3, 8)
        output = model(input_ids, logits_to_keep=logits_to_keep)
        assert output.logits.shape == select(full).shape
        torch.testing.assert_close(output.logits, select(full), rtol=1e-4, atol=1e-4)
        if output.logits.numel() == 0:
            return
        labels = random_ids(3, 8, seed=1)
        labels[:, 5] = -100
        loss = model(input_ids, labels=labels, logits_to_keep=logits_to_keep).loss
        expected = nn.functional.cross_entropy(select(full).reshape(-1, 99), select(labels).reshape(-1))
        torch.testing.assert_close(loss, expected)

    def test_the_head_runs_on_the_kept_rows_only(self, tiny_model, random_ids):
        """No tensor `(batch, length, vocab_size)` exists, which is the purpose of the argument."""
        model, rows = tiny_model(), []
        model.lm_head.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].numel() // 32))
        keep = torch.zeros(3, 8, dtype=torch.bool)
        keep[0, 2] = keep[2, 5] = True
        model(random_ids(3, 8), logits_to_keep=keep)
        assert rows == [2]


class TestQueryPositions:
    """After keys and values, the last layer computes only the queried positions. Their logits do not change."""

    queried = torch.tensor([3, 4, 5, 8])
    # The logits are about 10, and products with fewer rows can add up in another order.
    close = {"rtol": 1e-5, "atol": 1e-5}

    def assert_same(self, model, input_ids, **kwargs):
        full = logits_of(model, input_ids, **kwargs)
        part = logits_of(model, input_ids, query_positions=self.queried, **kwargs)
        torch.testing.assert_close(part, full[:, self.queried], **self.close)

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    @pytest.mark.parametrize("kind", ["none", "left padding", "right padding", "packed", "one row", "per head"])
    @pytest.mark.parametrize(
        "changes",
        [{"num_key_value_heads": 4, "tie_word_embeddings": True}, {"num_key_value_heads": 2}],
        ids=["MHA tied", "GQA"],
    )
    def test_same_logits(self, tiny_model, random_ids, implementation, kind, changes):
        minimum, row = torch.finfo(torch.float32).min, torch.arange(10) // 4
        packed = torch.zeros(2, 1, 10, 10).masked_fill(row[:, None] != row, minimum)
        mask = {
            "none": None,
            "left padding": left_padding(2, 10, 0, 4),
            "right padding": left_padding(2, 10, 3, 0).flip(1),
            "packed": packed,
            "one row": packed[:, :, 3:4],
            "per head": torch.cat([packed, packed.flip(-1), packed, packed * 0], dim=1),
        }[kind]
        model = tiny_model(attn_implementation=implementation, **changes)
        self.assert_same(model, random_ids(2, 10), attention_mask=mask)

    def test_given_positions_and_embeddings(self, tiny_model, random_ids):
        model, positions = tiny_model(), torch.stack([torch.arange(10) + 7, torch.arange(10) * 2])
        embeds = model.get_input_embeddings()(random_ids(2, 10))
        self.assert_same(model, None, inputs_embeds=embeds, position_ids=positions)

    def test_any_order_and_repetition(self, tiny_model, random_ids):
        model, order = tiny_model(), torch.tensor([9, 0, 0, 4])
        part = logits_of(model, random_ids(2, 10), query_positions=order)
        torch.testing.assert_close(part, logits_of(model, random_ids(2, 10))[:, order], **self.close)

    @pytest.mark.parametrize("padding", [None, left_padding(2, 24, 0, 5)], ids=["whole", "padded"])
    def test_positions_are_those_in_the_window_of_a_cache(self, tiny_model, random_ids, padding):
        """The last layer also writes the keys and values of the whole window."""
        model, canvas, window = tiny_model(), random_ids(2, 24), torch.arange(9, 19).expand(2, -1)
        logits, caches = [], [LLaDACache(2), LLaDACache(2)]
        for cache, queried in zip(caches, (slice(None), self.queried), strict=True):
            logits_of(model, canvas, cache=cache, attention_mask=padding)
            cache.window = window
            changed = canvas[:, 9:19].index_fill(1, torch.arange(2, 6), MASK)
            options = {} if cache is caches[0] else {"query_positions": queried}
            logits.append(
                logits_of(model, changed, cache=cache, attention_mask=padding, position_ids=window, **options)
            )
        torch.testing.assert_close(logits[1], logits[0][:, self.queried], **self.close)
        for first, second in zip(caches[0].layers, caches[1].layers, strict=True):
            torch.testing.assert_close(first.keys, second.keys, **self.close)
            torch.testing.assert_close(first.values, second.values, **self.close)

    @pytest.mark.parametrize("padding", [None, left_padding(2, 10, 0, 4).bool()[:, None, None]], ids=["", "padded"])
    @pytest.mark.parametrize("changes", [{"num_key_value_heads": 4}, {"num_key_value_heads": 1}], ids=str)
    def test_fused_weights(self, tiny_model, random_ids, changes, padding):
        model = tiny_model(**changes)
        expected = logits_of(model, random_ids(2, 10), attention_mask=padding)[:, self.queried]
        with fused(model, Kernels()):
            self.assert_same(model, random_ids(2, 10), attention_mask=padding)
            part = logits_of(model, random_ids(2, 10), attention_mask=padding, query_positions=self.queried)
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)

    def test_the_last_layer_does_less(self, tiny_model, random_ids):
        model, rows = tiny_model(), {}
        for name, module in model.named_modules():
            if isinstance(module, (nn.Linear, LLaDARMSNorm)):
                module.register_forward_pre_hook(
                    lambda _, inputs, name=name: rows.update({name.removeprefix("model."): inputs[0].shape[1]})
                )
        model(random_ids(2, 10), query_positions=self.queried)
        whole = {name for name in rows if name.startswith("layers.0.")}
        whole |= {"layers.1.input_layernorm"} | {f"layers.1.self_attn.{name}_proj" for name in "qkv"}
        assert rows == {name: 10 if name in whole else 4 for name in rows} and len(rows) == 20

    def test_hidden_states_and_attentions(self, tiny_model, random_ids):
        model, wanted = (
            tiny_model(attn_implementation="eager"),
            {"output_hidden_states": True, "output_attentions": True},
        )
        full = model(random_ids(2, 10), **wanted)
        part = model(random_ids(2, 10), query_positions=self.queried, **wanted)
        assert [state.shape[1] for state in part.hidden_states] == [10, 10, 4]
        assert [attention.shape for attention in part.attentions] == [(2, 4, 10, 10), (2, 4, 4, 10)]
        torch.testing.assert_close(part.hidden_states[-1], full.hidden_states[-1][:, self.queried], **self.close)
        torch.testing.assert_close(part.attentions[-1], full.attentions[-1][:, :, self.queried], **self.close)
        assert torch.equal(model.lm_head(part.hidden_states[-1]), part.logits)

    @pytest.mark.parametrize(
        "logits_to_keep",
        [0, 2, torch.tensor([3, 0]), torch.arange(8).view(2, 4) % 3 == 0],
        ids=["all", "int", "1-D", "mask"],
    )
    def test_logits_to_keep_selects_among_them(self, tiny_model, random_ids, logits_to_keep):
        model, labels = tiny_model(), random_ids(2, 10, seed=1)
        full = model(random_ids(2, 10)).logits[:, self.queried]
        part = model(random_ids(2, 10), labels=labels, logits_to_keep=logits_to_keep, query_positions=self.queried)
        expected = select_positions(full, logits_to_keep)
        torch.testing.assert_close(part.logits, expected, **self.close)
        kept = select_positions(labels[:, self.queried], logits_to_keep)
        loss = nn.functional.cross_entropy(expected.flatten(0, -2), kept.flatten())
        torch.testing.assert_close(part.loss, loss, **self.close)

    def test_guidance(self, tiny_model, random_ids):
        input_ids, mask = random_ids(2, 10), torch.arange(8).view(2, 4) % 3 == 0
        in_all = torch.zeros(2, 10, dtype=torch.bool).index_copy(1, self.queried, mask)
        arguments = (
            tiny_model(),
            input_ids,
            torch.arange(10).expand(2, -1) < 3,
            MASK,
            1.5,
            left_padding(2, 10, 0, 2),
            None,
        )
        with torch.no_grad():
            full = guided_logits(*arguments, logits_to_keep=in_all)
            part = guided_logits(*arguments, logits_to_keep=mask, query_positions=self.queried)
        torch.testing.assert_close(part, full, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("use_reentrant", [None, False, True])
    def test_same_gradients(self, tiny_model, random_ids, use_reentrant):
        """No gradient is lost at positions that are only keys and values. `None`: without checkpointing."""
        gradients = []
        for options in ({}, {"query_positions": self.queried}):
            model = tiny_model().train()
            if use_reentrant is not None:
                model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
                model.enable_input_require_grads()
            logits = model(random_ids(2, 10), attention_mask=left_padding(2, 10, 0, 3), **options).logits
            (logits if options else logits[:, self.queried]).square().mean().backward()
            gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        for name, gradient in gradients[0].items():
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-4, msg=name)

    @pytest.mark.filterwarnings("ignore")  # flex attention warns that it is not compiled, which is intended here
    def test_a_mask_that_cannot_be_narrowed(self, tiny_model, random_ids):
        model = tiny_model(hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
        model.set_attn_implementation("flex_attention")
        with torch.compiler.set_stance("force_eager"):
            self.assert_same(model, random_ids(2, 10))
            with pytest.raises(ValueError, match="`query_positions` needs a mask with a dimension for the queries"):
                self.assert_same(model, random_ids(2, 10), attention_mask=left_padding(2, 10, 0, 4))
        # The mask of flash attention has two dimensions.
        with pytest.raises(ValueError, match="Leave it out and select positions with `logits_to_keep`"):
            mask_of_queries(left_padding(2, 10, 0, 4), self.queried)

    def test_compiled(self, tiny_model, random_ids):
        model, mask = tiny_model(), left_padding(2, 10, 0, 3)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        part = logits_of(compiled, random_ids(2, 10), attention_mask=mask, query_positions=self.queried)
        full = logits_of(model, random_ids(2, 10), attention_mask=mask)
        torch.testing.assert_close(part, full[:, self.queried], **self.close)


class TestLoss:
    def test_unshifted_mean_over_the_labels(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(2, 8)
        labels = input_ids.clone()
        input_ids[:, 2:5] = MASK
        labels[input_ids != MASK] = -100
        output = model(input_ids, labels=labels)
        kept = labels != -100
        expected = nn.functional.cross_entropy(output.logits[kept], labels[kept])
        torch.testing.assert_close(output.loss, expected)
        shifted = nn.functional.cross_entropy(output.logits[:, :-1][kept[:, 1:]], labels[:, 1:][kept[:, 1:]])
        assert (output.loss - shifted).abs() > 1e-2

    def test_num_items_in_batch_replaces_the_count(self, tiny_model, random_ids):
        """With gradient accumulation the loss is a mean over the whole batch, not over the micro-batch."""
        model, input_ids, labels = tiny_model(), random_ids(2, 8), random_ids(2, 8, seed=1)
        labels[0, :3] = -100
        mean = model(input_ids, labels=labels).loss
        shared = model(input_ids, labels=labels, num_items_in_batch=torch.tensor(50)).loss
        torch.testing.assert_close(shared, mean * 13 / 50)

    def test_micro_batches_add_up(self, tiny_model, random_ids):
        model, input_ids, labels = tiny_model(), random_ids(4, 8), random_ids(4, 8, seed=1)
        labels[0, :5] = -100
        whole = model(input_ids, labels=labels).loss
        parts = sum(
            model(input_ids[i : i + 1], labels=labels[i : i + 1], num_items_in_batch=27).loss for i in range(4)
        )
        torch.testing.assert_close(parts, whole)

    def test_no_labels_no_loss(self, tiny_model, random_ids):
        assert tiny_model()(random_ids(1, 3)).loss is None

    def test_on_the_meta_device(self, tiny_model, random_ids):
        input_ids = random_ids(1, 3).to("meta")
        assert tiny_model().to("meta")(input_ids, labels=input_ids).loss.is_meta

    @pytest.mark.parametrize(
        "training, masked, warns",
        [(True, "", True), (True, "one token", False), (True, "no label", False), (False, "", True)],
    )
    def test_warning_when_nothing_is_masked(self, tiny_model, random_ids, monkeypatch, training, masked, warns):
        """The loss of clean inputs looks good, but training on it teaches the model to copy."""
        warnings = []
        logger = logging.get_logger("modeling_llada.models.modeling_llada")
        monkeypatch.setattr(logger, "warning_once", lambda message, *args: warnings.append(message))
        model, input_ids = tiny_model().train(training), random_ids(2, 8)
        labels = input_ids.clone()
        labels[:, :4] = -100
        # A mask token without a label does not count.
        input_ids[0, 0] = MASK
        if masked == "one token":
            input_ids[1, 5] = MASK
        if masked == "no label":
            labels[:] = -100
        model(input_ids, labels=labels)
        assert bool(warnings) == warns
        assert not warns or "mask token" in warnings[0]


class TestTraining:
    def test_every_parameter_gets_a_gradient(self, tiny_model, random_ids):
        model = tiny_model().train()
        model(random_ids(2, 8), labels=random_ids(2, 8, seed=1)).loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

    @pytest.mark.parametrize("use_reentrant", [False, True])
    def test_gradient_checkpointing_gives_equal_gradients(self, tiny_model, random_ids, use_reentrant):
        gradients = {}
        for checkpointing in (False, True):
            model = tiny_model().train()
            calls = []
            model.model.layers[0].mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            if checkpointing:
                model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
                assert model.model.gradient_checkpointing
                model.enable_input_require_grads()
            model(
                random_ids(2, 8), attention_mask=left_padding(2, 8, 0, 3), labels=random_ids(2, 8, seed=1)
            ).loss.backward()
            # The layer runs once more in the backward pass.
            assert len(calls) == 1 + checkpointing
            gradients[checkpointing] = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert gradients[True].keys() == gradients[False].keys()
        for name, gradient in gradients[False].items():
            torch.testing.assert_close(gradients[True][name], gradient, msg=name)

    def test_the_tensor_parallel_plan_matches_the_parameters(self, tiny_model):
        model = tiny_model()
        modules = {re.sub(r"\d+", "*", name): module for name, module in model.named_modules()}
        plan = {f"model.{name}" for name in model.config.base_model_tp_plan} | set(model._tp_plan)
        assert plan <= modules.keys()
        assert plan >= {name for name, module in modules.items() if isinstance(module, nn.Linear)}
        assert model.supports_tp_plan

    def test_layers_are_not_split_over_devices(self, tiny_model):
        model = tiny_model()
        assert {type(layer).__name__ for layer in model.model.layers} == set(model._no_split_modules)


class TestPrecision:
    """RoPE and norms are computed in float32, as in the official model, even if the weights are in bfloat16."""

    @staticmethod
    def inv_freq(model):
        return model.model.rotary_emb.inv_freq

    @pytest.mark.parametrize(
        "convert",
        [
            lambda model: model.to(torch.bfloat16),
            lambda model: model.half(),
            lambda model: model.bfloat16().float(),
            lambda model: model.to(torch.bfloat16).to("cpu"),
            lambda model: copy.deepcopy(model).bfloat16(),
        ],
        ids=["to(bfloat16)", "half", "there and back", "and to a device", "deepcopy"],
    )
    def test_the_frequencies_are_never_rounded(self, tiny_model, convert):
        """In bfloat16 they would be off by up to 0.2%, which is 8 rad at position 4096."""
        model = tiny_model()
        exact = 1.0 / 500000.0 ** (torch.arange(0, 8, 2) / 8)
        assert torch.equal(self.inv_freq(model), exact)
        converted = convert(model)
        assert converted.lm_head.weight.dtype == converted.dtype
        for buffer in (converted.model.rotary_emb.inv_freq, converted.model.rotary_emb.original_inv_freq):
            assert buffer.dtype == torch.float32 and torch.equal(buffer, exact)

    def test_loading_in_bfloat16_keeps_them_too(self, golden_path, golden_model):
        model = AutoModel.from_pretrained(golden_path, dtype=torch.bfloat16)
        assert self.inv_freq(model).dtype == torch.float32
        assert torch.equal(self.inv_freq(model), self.inv_freq(golden_model))

    def test_moving_from_the_meta_device(self, tiny_config):
        with torch.device("meta"):
            model = LLaDAForMaskedLM(tiny_config())
        assert self.inv_freq(model.to(torch.bfloat16)).device.type == "meta"
        assert self.inv_freq(model.to_empty(device="cpu")).device.type == "cpu"

    def test_cosines_and_sines_are_float32_under_autocast(self, tiny_model):
        model = tiny_model().bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cos, sin = model.model.rotary_emb(torch.ones(1, 1, dtype=torch.bfloat16), torch.arange(60)[None])
        assert cos.dtype == sin.dtype == torch.float32
        exact = (torch.arange(60).double()[:, None] * self.inv_freq(model).double()).cos()
        torch.testing.assert_close(cos[0, :, :4].double(), exact, rtol=0, atol=1e-5)

    def test_the_rotation_is_computed_in_float32(self):
        torch.manual_seed(0)
        q = torch.randn(1, 5, 2, 8, dtype=torch.bfloat16)
        angle = torch.randn(1, 5, 1, 4)
        cos, sin = angle.cos().squeeze(2), angle.sin().squeeze(2)
        rotated = apply_rotary_pos_emb(q, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))
        first, second = q.float().chunk(2, dim=-1)
        exact = [first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()]
        exact = torch.cat(exact, dim=-1)
        assert rotated.dtype == torch.bfloat16
        assert torch.equal(rotated, exact.bfloat16())

    def test_the_norm_is_computed_in_float32(self):
        norm = LLaDARMSNorm(16).bfloat16()
        x = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)).bfloat16() * 300
        exact = x.double() * torch.rsqrt(x.double().pow(2).mean(-1, keepdim=True) + 1e-5)
        assert torch.equal(norm(x), exact.bfloat16())

    def test_bfloat16_runs_and_stays_close(self, golden_path, golden):
        model = AutoModel.from_pretrained(golden_path, dtype=torch.bfloat16)
        logits = logits_of(model, golden.tensors["forward.input_ids"])
        assert logits.dtype == torch.bfloat16
        expected = golden.tensors["forward.logits"]
        assert (logits.float() - expected).norm() / expected.norm() < 0.1

    def test_autocast_runs_and_stays_close(self, golden_model, golden):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = logits_of(golden_model, golden.tensors["forward.input_ids"])
        expected = golden.tensors["forward.logits"]
        assert (logits.float() - expected).norm() / expected.norm() < 0.1


class TestCompile:
    def test_fullgraph(self, tiny_model, random_ids):
        """Dynamo traces one graph without a break. There is no code generation, to save time."""
        model, input_ids = tiny_model(), random_ids(2, 8)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        torch.testing.assert_close(logits_of(compiled, input_ids), logits_of(model, input_ids))
        mask = left_padding(2, 8, 0, 3)
        torch.testing.assert_close(
            logits_of(compiled, input_ids, attention_mask=mask), logits_of(model, input_ids, attention_mask=mask)
        )

    @pytest.mark.slow
    def test_inductor(self, tiny_model, random_ids):
        model, input_ids = tiny_model(), random_ids(2, 8)
        compiled = torch.compile(model, fullgraph=True, dynamic=True)
        for length in (8, 5):
            expected = logits_of(model, input_ids[:, :length])
            torch.testing.assert_close(logits_of(compiled, input_ids[:, :length]), expected, rtol=1e-4, atol=1e-4)
