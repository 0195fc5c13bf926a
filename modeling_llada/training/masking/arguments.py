# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The arguments of the noise and of the weights of the loss, which fine-tuning and pre-training share."""

from dataclasses import dataclass, field
from numbers import Integral, Real


WEIGHTINGS = ("1/t", "none")


@dataclass
class NoiseArguments:
    """
    The noise of the rows, and how the loss weighs it. The defaults are the objective of LLaDA.

    Args:
        rate_eps (`float`, *optional*, defaults to 1e-3):
            Mask rates are uniform in (rate_eps, rate_max].
        rate_max (`float`, *optional*, defaults to 1.0):
            The largest mask rate. dFactory trains LLaDA2 with rates from 0.3 to 0.8 and no weight.
        loss_weighting (`str`, *optional*, defaults to `"1/t"`):
            `"1/t"`: the cross-entropy of a masked token is weighted by 1/t, and the sum is divided by all tokens that could be
            masked: an upper bound on the negative log-likelihood, if rates go up to 1. It is the weight of the reports of LLaDA
            and LLaDA2. `"none"`: the sum is divided by the number of predicted tokens, as in dFactory.
        corruption_rate (`float`, *optional*, defaults to 0.0):
            The share of the tokens without a mask that are replaced by random ones. The model then also predicts all tokens
            without a mask, with weight 1: it restores those that were replaced, and keeps the others. LLaDA2.1 learns to edit
            in this way (its rates are not published). Evaluation replaces nothing.
        complementary_masks (`bool`, *optional*, defaults to `False`):
            Whether each row is in its batch twice, the second time with the other tokens masked, at the rate 1 - t, as LLaDA2 is
            fine-tuned. So a step sees each token. In fine-tuning it takes twice as long; in pre-training, whose steps have
            `tokens_per_step`, it has half as many different rows.
        confidence_weight (`float`, *optional*, defaults to 0.0):
            What the entropy of the prediction is multiplied by, which is added to the cross-entropy of each masked token that
            is predicted right. It sharpens predictions, so that decoding can commit more of them in a step. 2.0 in LLaDA2-CAP.
            Not in evaluation.
        block_length (`int`, *optional*):
            For a model of blocks, such as LLaDA2: the length of blocks, counted from the beginning of each document. By default
            that of the `generation_config` of the model, which gets this one. Blocks as long as rows are the objective of
            LLaDA, without the clean half of the pass. [`BlockLengthCallback`] changes it during training.
            For other models it is that of `mask_source="block"` alone.
    """

    rate_eps: float = field(default=1e-3, metadata={"help": "Lower bound of the mask rates."})
    rate_max: float = field(default=1.0, metadata={"help": "Upper bound of the mask rates."})
    loss_weighting: str = field(
        default="1/t",
        metadata={
            "help": "Weigh a masked token by 1/t, or divide by the predicted tokens.",
            "choices": list(WEIGHTINGS),
        },
    )
    corruption_rate: float = field(
        default=0.0, metadata={"help": "Share of the tokens without a mask that are replaced, and to be restored."}
    )
    complementary_masks: bool = field(
        default=False, metadata={"help": "Repeat each row with the other tokens masked."}
    )
    confidence_weight: float = field(
        default=0.0, metadata={"help": "Weight of the entropy of masked tokens that are predicted right."}
    )
    block_length: int | None = field(
        default=None, metadata={"help": "Length of the blocks of a LLaDA2. Left out: that of generation."}
    )

    def check_noise(self) -> None:
        """Raises a `ValueError` for values that these arguments cannot have."""
        for name in ("rate_eps", "rate_max", "corruption_rate", "confidence_weight"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ValueError(f"`{name}` must be a number, but got {value!r}.")
        if not 0 <= self.rate_eps < 1:
            raise ValueError(f"`rate_eps` must be in [0, 1), but got {self.rate_eps}.")
        if not self.rate_eps < self.rate_max <= 1:
            raise ValueError(f"`rate_max` must be in (`rate_eps`, 1], ({self.rate_eps}, 1], but got {self.rate_max}.")
        if self.loss_weighting not in WEIGHTINGS:
            raise ValueError(f'`loss_weighting` must be "1/t" or "none", but got {self.loss_weighting!r}.')
        if not 0 <= self.corruption_rate < 1:
            raise ValueError(f"`corruption_rate` must be in [0, 1), but got {self.corruption_rate}.")
        if not 0 <= self.confidence_weight < float("inf"):
            raise ValueError(f"`confidence_weight` must be at least 0, but got {self.confidence_weight}.")
        length = self.block_length
        if length is not None and (isinstance(length, bool) or not isinstance(length, Integral) or length < 1):
            raise ValueError(f"`block_length` must be a positive integer, but got {length!r}.")

    @property
    def divides_by_predictions(self) -> bool:
        """Whether the loss is a mean over predicted tokens, without weights."""
        return self.loss_weighting == "none"
