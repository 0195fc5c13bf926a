# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Positions of a sequence that have an embedding of their own in the place of that of their token: features of images."""

from collections.abc import Callable
from typing import NamedTuple

import torch


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


__all__ = ["GivenEmbeddings"]
