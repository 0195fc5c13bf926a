# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Sums and maxima over groups of numbers, and over the ways through the states of an automaton."""

from collections.abc import Callable

import torch
from torch.nn import functional as F


MAX_NUMBERS = 2**21  # one for each column and way, 16 MiB, that are in memory at once


class Groups:
    """
    Reduces values by groups. The values of a group are gathered side by side, in chunks of one width, and reduced. The chunks of
    groups that have several are reduced in the same way again, without the other groups. Unlike sums by atomic additions, the
    result is the same in every run on a GPU.

    Args:
        group (`torch.LongTensor` of shape `(num_values,)`): The group of each value.
        num_groups (`int`): The number of groups. The result of an empty one is -inf.
        device (`torch.device`, *optional*): The device of the values.
    """

    def __init__(self, group: torch.LongTensor, num_groups: int, device: torch.device | str = "cpu"):
        size = group.bincount(minlength=num_groups)
        width = chunk_width(size)
        num_chunks = ((size + width - 1) // width).clamp(min=1)
        order = group.argsort(stable=True)
        group = group[order]
        rank = torch.arange(len(group)) - (size.cumsum(0) - size)[group]
        first_chunk = num_chunks.cumsum(0) - num_chunks
        chunk = first_chunk[group] + rank // width
        # The value behind the last one is -inf.
        self.index = group.new_full((int(num_chunks.sum()), width), len(group))
        self.index[chunk, rank % width] = order
        self.index, self.rest = self.index.to(device), None
        is_unfinished = num_chunks > 1
        if is_unfinished.any():
            number = is_unfinished.cumsum(0) - 1
            group_of_chunk = torch.arange(num_groups).repeat_interleave(num_chunks)
            unfinished = is_unfinished[group_of_chunk].nonzero().squeeze(-1)
            self.rest = Groups(number[group_of_chunk[unfinished]], int(is_unfinished.sum()), device)
            self.unfinished = unfinished.to(device)
            self.result = torch.where(is_unfinished, len(self.index) + number, first_chunk).to(device)

    def reduce(self, values: torch.Tensor, how: Callable) -> torch.Tensor:
        """Reduces `(..., num_values)` to `(..., num_groups)` by `torch.amax` or `torch.logsumexp`."""
        # `index_select` is several times faster than an index of two dimensions.
        chosen = F.pad(values, (0, 1), value=-torch.inf).index_select(-1, self.index.flatten())
        return self.join(how(chosen.unflatten(-1, self.index.shape), dim=-1), how)

    def join(self, chunks: torch.Tensor, how: Callable) -> torch.Tensor:
        """Reduces `(..., num_chunks)` to `(..., num_groups)`."""
        if self.rest is None:
            return chunks
        joined = self.rest.reduce(chunks.index_select(-1, self.unfinished), how)
        return torch.cat([chunks, joined], dim=-1).index_select(-1, self.result)


def chunk_width(size: torch.LongTensor) -> int:
    """How many values of a group are gathered side by side, so that few places stay empty."""
    width, limit = max(2, int(size.max())), max(8192, 1.5 * int(size.sum()))
    while width > 2 and width * int(((size + width - 1) // width).clamp(min=1).sum()) > limit:
        width = (width + 1) // 2
    return width


class Sweep:
    """
    Goes over the columns, one by one, with a number for each state: the sum or maximum over all ways that lead there.

    Args:
        origin (`torch.LongTensor` of shape `(num_pairs,)`): The state that each way comes from.
        goal (`torch.LongTensor` of shape `(num_pairs,)`): The state that it leads to.
        token_set (`torch.LongTensor` of shape `(num_pairs,)`): Its token set.
        num_states (`int`): The number of states.
        device (`torch.device`): The device of the numbers.
    """

    def __init__(self, origin, goal, token_set, num_states: int, device: torch.device | str):
        self.by_goal = Groups(goal, num_states, device)
        index = self.by_goal.index
        # Where a group has no further value the weight is -inf, whatever the state.
        self.origin = F.pad(origin.to(device), (0, 1))[index.flatten()]
        self.token_set = F.pad(token_set.to(device), (0, 1), value=-1)[index.flatten()]

    def run(
        self,
        weights: torch.FloatTensor,
        message: torch.FloatTensor,
        how: Callable,
        inside: torch.BoolTensor | None = None,
    ) -> torch.FloatTensor:
        """
        The numbers before the first column and after each, `(num_columns + 1, num_states)`, from those before it and the
        weights of the token sets, `(num_columns, num_sets)`. Columns that are not `inside` change nothing.
        """
        messages = [message]
        weights = F.pad(weights, (0, 1), value=-torch.inf)
        token_set = self.token_set % weights.shape[1]
        for some in weights.split(columns_at_once(len(token_set))):
            for weight in some.index_select(1, token_set).unflatten(1, self.by_goal.index.shape).unbind(0):
                ways = message.index_select(0, self.origin).view_as(weight) + weight
                new = self.by_goal.join(how(ways, dim=-1), how)
                message = new if inside is None else torch.where(inside[len(messages) - 1], new, message)
                messages.append(message)
        return torch.stack(messages)


def columns_at_once(num_ways: int) -> int:
    """For how many columns the numbers of all ways between states may be in memory together."""
    return max(1, MAX_NUMBERS // max(1, num_ways))


__all__ = ["Groups", "Sweep", "columns_at_once"]
