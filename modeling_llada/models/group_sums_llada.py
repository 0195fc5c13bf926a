# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Sums and maxima over groups of numbers, and over the ways through the states of an automaton."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F


MAX_NUMBERS = 2**21  # one for each column and way, 16 MiB, that are in memory at once


class Groups:
    """
    Reduces values by groups. Each level gathers values of one group side by side and reduces them, until one value a group
    is left. Unlike sums by atomic additions, the result is the same in every run on a GPU.

    Args:
        group (`torch.LongTensor` of shape `(num_values,)`): The group of each value.
        num_groups (`int`): The number of groups. The result of an empty one is -inf.
        device (`torch.device`, *optional*): The device of the values.
    """

    def __init__(self, group: torch.LongTensor, num_groups: int, device: torch.device | str = "cpu"):
        self.levels = []
        while not self.levels or len(group) > num_groups:
            size = group.bincount(minlength=num_groups)
            width = chunk_width(size)
            num_chunks = ((size + width - 1) // width).clamp(min=1)
            order = group.argsort(stable=True)
            group = group[order]
            rank = torch.arange(len(group)) - (size.cumsum(0) - size)[group]
            chunk = (num_chunks.cumsum(0) - num_chunks)[group] + rank // width
            # The value behind the last one is -inf.
            index = group.new_full((int(num_chunks.sum()), width), len(group))
            index[chunk, rank % width] = order
            self.levels.append(index.to(device))
            group = torch.arange(num_groups).repeat_interleave(num_chunks)

    def reduce(self, values: torch.Tensor, how: Callable) -> torch.Tensor:
        """Reduces `(..., num_values)` to `(..., num_groups)` by `torch.amax` or `torch.logsumexp`."""
        return reduce_levels(self.levels, values, how)


def chunk_width(size: torch.LongTensor) -> int:
    """How many values of a group are gathered side by side, so that few places stay empty."""
    width, limit = max(2, int(size.max())), max(8192, 1.5 * int(size.sum()))
    while width > 2 and width * int(((size + width - 1) // width).clamp(min=1).sum()) > limit:
        width = (width + 1) // 2
    return width


def reduce_levels(levels: Sequence[torch.LongTensor], values: torch.Tensor, how: Callable) -> torch.Tensor:
    for index in levels:
        # `index_select` is several times faster than an index of two dimensions.
        chosen = F.pad(values, (0, 1), value=-torch.inf).index_select(-1, index.flatten())
        values = how(chosen.unflatten(-1, index.shape), dim=-1)
    return values


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
        (first, *self.levels) = Groups(goal, num_states, device).levels
        self.shape = first.shape
        # Where a group has no further value the weight is -inf, whatever the state.
        self.origin = F.pad(origin.to(device), (0, 1))[first.flatten()]
        self.token_set = F.pad(token_set.to(device), (0, 1), value=-1)[first.flatten()]

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
            for weight in some.index_select(1, token_set).unflatten(1, self.shape).unbind(0):
                ways = message.index_select(0, self.origin).view(self.shape) + weight
                new = reduce_levels(self.levels, how(ways, dim=-1), how)
                message = new if inside is None else torch.where(inside[len(messages) - 1], new, message)
                messages.append(message)
        return torch.stack(messages)


def columns_at_once(num_ways: int) -> int:
    """For how many columns the numbers of all ways between states may be in memory together."""
    return max(1, MAX_NUMBERS // max(1, num_ways))


__all__ = ["Groups", "Sweep", "columns_at_once"]
