# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The autoregressive twin of a pre-training run, for comparison: a causal model on the same rows in the same order.

A twin differs from its LLaDA only in the causal mask and in the tokens that are predicted. Rows, optimizer, schedule,
checkpoints and held-out windows are those of [`LLaDAPretrainer`].
"""

from dataclasses import fields

import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from ...models.configuration_llada import LLaDAConfig
from ...models.diffusion_llada import LLaDAMaskedLossOutput, masked_losses
from ..masking.arguments import NoiseArguments
from .batches import RowSource, TrainingBatches
from .configuration import LLaDAPretrainingConfig
from .trainer import LLaDAPretrainer


class AutoregressiveBatches(TrainingBatches):
    """The batches of [`TrainingBatches`], with every token predicted from those before it, and the first one from BOS."""

    def __init__(self, source: RowSource, *, bos_token_id: int, **settings):
        self.bos_token_id = bos_token_id
        super().__init__(source, mask_token_id=None, **settings)

    def corrupt(
        self, clean: torch.LongTensor, rates: torch.Tensor, attention_mask: torch.LongTensor | None
    ) -> tuple[torch.LongTensor, torch.BoolTensor, torch.Tensor]:
        """Nothing is masked: the row is shifted to the right, and the tokens that LLaDA may mask are predicted."""
        maskable = self.find_maskable(attention_mask)
        kept = torch.ones_like(clean) if maskable is None else maskable
        return shift_right(clean, self.bos_token_id), kept.bool(), torch.ones_like(rates)

    def num_slots(self, rows: int, width: int) -> int:
        """All positions count."""
        return rows * width


def left_to_right_losses(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    labels: torch.LongTensor,
    masked_positions: torch.LongTensor,
    attention_mask: torch.LongTensor | None = None,
) -> LLaDAMaskedLossOutput:
    """The cross-entropy of each predicted token."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
    return masked_losses(logits, labels, masked_positions, head=lambda logits: logits, chunk_size=None)


def refuse_attention(model: PreTrainedModel, argument: str) -> None:
    raise ValueError(
        f"`{argument}` has no meaning for an autoregressive model, which is trained with causal attention. Leave it out."
    )


def refuse_noise(args: LLaDAPretrainingConfig) -> None:
    for argument in fields(NoiseArguments):
        value = getattr(args, argument.name)
        if argument.name != "rate_eps" and value != argument.default:
            raise ValueError(
                f"`{argument.name}` has no meaning for an autoregressive model, which is trained without noise, but got "
                f"{value!r}. Leave it out."
            )


class AutoregressivePretrainer(LLaDAPretrainer):
    """
    Trainer for the autoregressive twin of a LLaDA, on the rows of [`LLaDAPretrainer`].

    Each row begins with BOS, so that a row of L tokens has L predictions. `eval_loss` is the exact negative log-likelihood
    in nats per token, and can be compared with the bound of the same windows.

    Args:
        model ([`PreTrainedModel`]):
            A causal language model with `config.bos_token_id`; [`autoregressive_twin`] makes one. The other arguments are
            those of [`LLaDAPretrainer`].

    Example:

    ```python
    >>> from modeling_llada.training import AutoregressivePretrainer, autoregressive_twin

    >>> twin = autoregressive_twin(model.config)
    >>> AutoregressivePretrainer(twin, args, train_dataset=input_ids, eval_dataset=held_out_ids).train()
    ```
    """

    token_losses = staticmethod(left_to_right_losses)
    needed_token = "bos_token_id"
    check_attention = staticmethod(refuse_attention)
    check_noise = staticmethod(refuse_noise)

    def _make_batches(self, source: RowSource, **settings) -> AutoregressiveBatches:
        return AutoregressiveBatches(source, bos_token_id=self.model.config.bos_token_id, **settings)

    def _losses_of_rows(self, input_ids: torch.LongTensor, own: torch.LongTensor) -> torch.DoubleTensor:
        rows = input_ids[own.to(input_ids.device)]
        return next_token_losses(self.model, rows, self.args.eval_batch_size).cpu().double().mean(1)


def shift_right(input_ids: torch.LongTensor, bos_token_id: int) -> torch.LongTensor:
    """Puts BOS before each row and drops its last token, so that position i sees the tokens before token i."""
    return F.pad(input_ids[:, :-1], (1, 0), value=bos_token_id)


@torch.no_grad()
def next_token_losses(model: PreTrainedModel, input_ids: torch.LongTensor, batch_size: int) -> torch.FloatTensor:
    """The cross-entropy of each token of rows without BOS, `(num_rows, width)`, given those before it, in nats."""
    losses = []
    for rows in input_ids.split(batch_size):
        logits = model(input_ids=shift_right(rows, model.config.bos_token_id)).logits.float()
        losses.append(F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none").view_as(rows))
    return torch.cat(losses)


def autoregressive_twin(config: LLaDAConfig) -> LlamaForCausalLM:
    """
    Makes a Llama with random weights, and the shape and number of parameters of a LLaDA.

    Args:
        config ([`LLaDAConfig`]):
            Shape, vocabulary and special tokens.

    Returns:
        [`LlamaForCausalLM`].

    Raises:
        `ValueError`: if the LLaDA has experts, biases, or norms of queries and keys, as one that was converted from Qwen.
    """
    if hasattr(config, "num_experts"):
        raise ValueError(
            "`config` has experts (`num_experts`), which Llama does not have. Only dense models have a twin."
        )
    if config.attention_bias or config.use_qk_norm:
        raise ValueError(
            "`config` has biases or norms of queries and keys (`attention_bias`, `use_qk_norm`), which Llama does not have. The "
            "twin of a converted Qwen is the model that it was converted from."
        )
    names = (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "initializer_range"),
        *("attention_dropout", "rope_parameters", "tie_word_embeddings"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    )
    return LlamaForCausalLM(LlamaConfig(**{name: getattr(config, name) for name in names}))
