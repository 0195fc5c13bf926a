# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Positions of a sequence that have an embedding of their own in the place of that of their token: features of images."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn


class GivenEmbeddings(NamedTuple):
    """
    Embeddings for some positions of a sequence.

    Args:
        where (`torch.BoolTensor` of shape `(batch, length)`): The positions that have one.
        values (`torch.FloatTensor` of shape `(batch, length, hidden_size)`): The embeddings; any value elsewhere.
    """

    where: torch.BoolTensor
    values: torch.FloatTensor

    def put_into(self, embed: Callable, input_ids: torch.LongTensor) -> torch.FloatTensor:
        """
        The embeddings of a whole sequence, `(batch, length, hidden_size)`. Tokens in the other positions are looked up by
        `embed`. Those in these positions are not: they may be no row of the table.
        """
        inputs_embeds = embed(input_ids.masked_fill(self.where, 0))
        return torch.where(self.where[..., None], self.values.to(inputs_embeds.dtype), inputs_embeds)

    def of_rows(self, rows: torch.LongTensor) -> "GivenEmbeddings":
        """Those of some rows. A row may come several times."""
        return GivenEmbeddings(self.where[rows], self.values[rows])


def embedded(
    model: nn.Module, input_ids: torch.LongTensor, embeddings: GivenEmbeddings | None
) -> dict[str, torch.Tensor]:
    """The input of a forward pass: tokens, or embeddings where some could be given."""
    if embeddings is not None:
        return {"inputs_embeds": embeddings.put_into(model.get_input_embeddings(), input_ids)}
    if getattr(model, "embedded_inputs", ()):
        # With tokens the model would look again for those of images, and the host would wait for the device.
        return {"inputs_embeds": model.get_input_embeddings()(input_ids)}
    return {"input_ids": input_ids}


class EmbeddedInputsMixin:
    """A model whose sequences may hold more than tokens. Generation and likelihood ask it for the embeddings once a call."""

    # Arguments of `generate` and `log_likelihood` for `embed_given`, such as images.
    embedded_inputs: tuple[str, ...] = ()
    # The modules that make embeddings of them.
    embedders: tuple[str, ...] = ()

    def embed_given(self, input_ids: torch.LongTensor, model_inputs: dict) -> GivenEmbeddings | None:
        """What stands in the place of tokens of the texts: a model that takes `embedded_inputs` makes it of them."""
        return None

    def embed_repeated(self, input_ids: torch.LongTensor, model_inputs: dict, repeats: int) -> GivenEmbeddings | None:
        """The same for a batch in which each row stands `repeats` times, one after the other."""
        embeddings = self.embed_given(input_ids[::repeats], model_inputs)
        if embeddings is None or repeats == 1:
            return embeddings
        rows = torch.arange(len(embeddings.where), device=embeddings.where.device)
        return embeddings.of_rows(rows.repeat_interleave(repeats))

    def pop_embedded_inputs(self, kwargs: dict) -> dict:
        """Takes the `embedded_inputs` out of the arguments of a call."""
        return {name: kwargs.pop(name, None) for name in self.embedded_inputs}


__all__ = ["EmbeddedInputsMixin", "GivenEmbeddings", "embedded"]
