# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The length of blocks as a function of the step, by which LLaDA2 was made of an autoregressive model (its report, section 4).

Blocks of one token are an autoregressive model, and blocks as long as rows are LLaDA. A run goes from the first to the second in a
warm-up, stays there, and then goes to the blocks of generation.
"""

from collections.abc import Mapping

from transformers import TrainerCallback


WARMUP_LENGTHS = (1, 4, 32, 64)  # as published


class BlockLengthCallback(TrainerCallback):
    """
    Changes the `block_length` of [`LLaDASFTTrainer`] or [`LLaDAPretrainer`] during training. It follows from the step, so that a
    run that resumes has the same lengths. Evaluations in between have the length of the steps before them. When training ends, also
    before its last step, the arguments have the last length again.

    Args:
        lengths (`dict[float, int]`):
            The length of blocks from each share of the steps on. The first share is 0. The last length is that of the
            arguments, and of generation.

    Raises:
        `ValueError`: if the shares do not begin with 0 or are not below 1, or a length is not positive; in training, if the last
            length is not the `block_length` of the arguments, or the model has no blocks of such lengths.

    Example:

    ```python
    >>> from modeling_llada.training import BlockLengthCallback

    >>> callback = BlockLengthCallback.warmup_stable_decay(longest=256, warmup=0.2, decay=0.3)
    >>> {round(share, 2): length for share, length in callback.lengths.items()}
    {0.0: 1, 0.05: 4, 0.1: 32, 0.15: 64, 0.2: 256, 0.7: 128, 0.8: 64, 0.9: 32}
    ```
    """

    def __init__(self, lengths: Mapping[float, int]):
        shares = sorted(lengths)
        if not shares or shares[0] != 0 or shares[-1] >= 1:
            raise ValueError(
                f"`lengths` must map shares of the steps to lengths, from 0 on and below 1, but got the shares {shares}."
            )
        wrong = [length for length in lengths.values() if not isinstance(length, int) or length < 1]
        if wrong:
            raise ValueError(f"`lengths` must be positive integers, but got {wrong}.")
        self.lengths = {share: lengths[share] for share in shares}

    @classmethod
    def warmup_stable_decay(
        cls, longest: int, shortest: int = 32, warmup: float = 0.1, decay: float = 0.2
    ) -> "BlockLengthCallback":
        """
        The published schedule: 1, 4, 32, 64 in the warm-up, then `longest`, which is halved down to `shortest` in the decay. The
        shares of the steps are not published.

        Args:
            longest (`int`):
                The length of rows, 4096 as published.
            shortest (`int`, *optional*, defaults to 32):
                The length of blocks in generation.
            warmup, decay (`float`, *optional*, default to 0.1 and 0.2):
                The shares of the steps, in which all lengths have equal parts.

        Raises:
            `ValueError`: if `longest` is not `shortest` times a power of 2, the shares are more than 1, or there is no decay from
                `longest` to another `shortest`.
        """
        halvings = (longest // max(shortest, 1)).bit_length() - 1
        if shortest < 1 or longest != shortest * 2 ** max(halvings, 0):
            raise ValueError(
                f"`longest` must be `shortest` times a power of 2, so that it can be halved down to it, but got {longest} and "
                f"{shortest}."
            )
        if min(warmup, decay) < 0 or warmup + decay > 1:
            raise ValueError(f"`warmup` and `decay` must be shares of the steps, but got {warmup} and {decay}.")
        if halvings and not decay:
            raise ValueError(
                f"`decay` must be above 0, so that `longest`, {longest}, comes down to `shortest`, {shortest}, but got {decay}. Set a "
                "share, or train and generate in blocks of one length."
            )
        rising = [length for length in WARMUP_LENGTHS if length < longest] if warmup else []
        falling = [longest >> number for number in range(1, halvings + 1)]
        lengths = {warmup * number / len(rising): length for number, length in enumerate(rising)}
        lengths[warmup] = longest
        return cls(lengths | {1 - decay + decay * i / len(falling): length for i, length in enumerate(falling)})

    def length_at(self, step: int, max_steps: int) -> int:
        """The length of a step."""
        return [length for share, length in self.lengths.items() if round(share * max_steps) <= step][-1]

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        geometry, last = getattr(base, "block_geometry", None), list(self.lengths.values())[-1]
        if geometry is None or not geometry.is_block_causal:
            raise ValueError(
                f"`BlockLengthCallback` is for models of blocks, such as LLaDA2, but got a {type(base).__name__}. Leave it out."
            )
        if last != base.generation_config.block_length:
            raise ValueError(
                f"`lengths` must end with `block_length`, that of generation, {base.generation_config.block_length}, but they end "
                f"with {last}. Set `block_length={last}` in the arguments, or change the last length."
            )
        for length in self.lengths.values():
            geometry.check_blocks(length, base.config._attn_implementation)

    def on_step_begin(self, args, state, control, **kwargs):
        args.block_length = self.length_at(state.global_step, state.max_steps)

    def on_train_end(self, args, state, control, **kwargs):
        # Another trainer with these arguments would take the length in between for that of generation.
        args.block_length = list(self.lengths.values())[-1]
