# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The length of the blocks that a model is trained with."""

from transformers import PreTrainedModel

from .arguments import NoiseArguments


def settle_block_length(args: NoiseArguments, model: PreTrainedModel) -> bool:
    """
    Whether a model is trained by block diffusion. If so, `args.block_length` is set to that of its `generation_config` if it was
    left out, and generation gets the one that the model is trained with. Otherwise a length is that of `mask_source="block"`.

    Raises:
        `ValueError`: if a model without blocks gets a length, or the blocks of the model cannot have it.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    geometry = getattr(base, "block_geometry", None)  # a causal twin has none
    masks_blocks = getattr(args, "mask_source", None) == "block"
    if geometry is None or not geometry.is_block_causal:
        if args.block_length is not None and not masks_blocks:
            raise ValueError(
                f"`block_length` is for models of blocks, such as LLaDA2, but `model` is a {type(base).__name__}, and it is "
                f"{args.block_length}. Leave it out."
            )
        return False
    if masks_blocks:
        raise ValueError(
            '`mask_source="block"` must be left out for a model of blocks, which is trained on all of its blocks at once.'
        )
    args.block_length = base.length_of_blocks(args.block_length)
    base.generation_config.block_length = args.block_length
    return True
