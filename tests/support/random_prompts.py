# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random prompts for batches whose rows come and go, and what `generate` gives each alone."""

import torch

from support.generate_calls import MASK, VOCAB_SIZE, letters


def random_prompt(chance, shared):
    """A prompt with options of its own: lengths, blocks, steps, ends, masks in the prompt, padding, a seed."""
    ids = [chance.randrange(VOCAB_SIZE - 4) for _ in range(chance.randint(1, 8))]
    if chance.random() < 0.3:
        ids[chance.randrange(len(ids))] = MASK
    padding = chance.choice([0, 0, 2])
    prompt = {
        "input_ids": torch.tensor([[0] * padding + ids]),
        "attention_mask": torch.tensor([[0] * padding + [1] * len(ids)]),
        "max_new_tokens": chance.randint(0, 14),
        "block_length": chance.choice([None, 1, 3, 4, 6]),
        "steps": chance.choice([None, None, 5]),
        "stop_at_eos": shared.get("skip_after_eos", chance.random() < 0.7),
        "seed": chance.randrange(99),
    } | shared
    if "block_cache" in shared:
        prompt["cache_refresh_interval"] = chance.choice([None, None, 1, 2])
    if chance.random() < 0.3:
        prompt |= {"stop_strings": [chr(ord("a") + chance.randrange(VOCAB_SIZE))], "tokenizer": letters()}
    return prompt


def generate_alone(model, prompt):
    """What `generate` returns for a prompt."""
    seed = prompt.get("seed", 0)
    options = {name: value for name, value in prompt.items() if name != "seed"}
    return model.generate(
        **options, generator=torch.Generator().manual_seed(seed), return_dict_in_generate=True, output_trajectory=True
    )


def check_equal(answer, alone):
    """The tokens, the step that committed each of them, and the forward passes."""
    assert answer.error is None, answer.error
    output = answer.output
    assert torch.equal(output.sequences, alone.sequences)
    assert torch.equal(output.num_forward_passes, alone.num_forward_passes)
    assert torch.equal(output.trajectory[0], alone.trajectory[0])
    torch.testing.assert_close(output.trajectory[1], alone.trajectory[1], equal_nan=True)
