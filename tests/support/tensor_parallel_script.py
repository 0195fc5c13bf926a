# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
A model spread over processes by tensor parallelism, against the same model in one process. Each process of torchrun
computes both; the first writes one line of JSON. `test_parallel.py` runs it on two processes of the CPU; on two GPUs:

    torchrun --standalone --nproc-per-node 2 tests/support/tensor_parallel_script.py --device cuda checkpoints/llada-poet
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from saved_tensors import stored
from torch import distributed
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForMaskedLM
from transformers.distributed import DistributedConfig

from modeling_llada import LLaDAForMaskedLM


# Equal up to the order in which the processes add up float32 numbers.
TOLERANCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="checkpoints")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()

    results = {}
    for folder in args.folders:
        for attention in ("eager", "sdpa"):
            results[f"{Path(folder).name}, {attention}"] = compare(folder, attention, args.device)
        # Expert parallelism on top: each process has half of the experts, whole.
        if hasattr(AutoConfig.from_pretrained(folder), "num_experts") and "ep_size" in vars(DistributedConfig()):
            results[f"{Path(folder).name}, experts"] = compare(folder, "sdpa", args.device, tp_size=2, ep_size=2)
    if distributed.get_rank() == 0:
        sys.stdout.write(json.dumps(results) + "\n")
    distributed.destroy_process_group()


def compare(folder: str, attention: str, device: str, **sizes) -> dict:
    """What is equal to the model in one process, and what is equal in all processes."""
    load = {"dtype": torch.float32, "attn_implementation": attention}
    spread = AutoModelForMaskedLM.from_pretrained(
        folder, distributed_config=DistributedConfig(tp_plan="auto", **sizes), **load
    )
    whole = AutoModelForMaskedLM.from_pretrained(folder, **load).to(spread.device)
    local = [p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in spread.parameters()]

    expected, got = calls(whole), calls(spread)
    expected_score, got_score = score(whole, seeded()), score(spread, seeded())
    with torch.no_grad():
        logits = [model(prompts(model)).logits for model in (whole, spread)]
    torch.manual_seed(distributed.get_rank())
    unseeded = spread.generate(prompts(spread), max_new_tokens=6, temperature=1.0)
    unseeded_score = score(spread)
    return {
        "device": str(spread.device.type),
        "processes": distributed.get_world_size(),
        "share of the weights": round(sum(local) / sum(p.numel() for p in whole.parameters()), 2),
        "logits": torch.allclose(*logits, rtol=0, atol=TOLERANCE * logits[0].abs().max().item()),
        "tokens": {name: torch.equal(expected[name], got[name]) for name in expected},
        "tokens agree": {name: agree(got[name]) for name in got},
        "tokens agree without a generator": agree(unseeded),
        "scores agree without a generator": agree(unseeded_score),
        "log-likelihood": torch.allclose(expected_score, got_score, rtol=TOLERANCE),
        "saved": saved_as(folder, spread),
    }


def prompts(model: LLaDAForMaskedLM) -> torch.LongTensor:
    ids = torch.randint(2, 90, (2, 6), generator=torch.Generator().manual_seed(0))
    return ids.to(model.device)


def seeded() -> torch.Generator:
    """Of the CPU, so that the noise is the same everywhere."""
    return torch.Generator().manual_seed(0)


def calls(model: LLaDAForMaskedLM) -> dict[str, torch.LongTensor]:
    attention_mask = torch.ones(2, 6, dtype=torch.long)
    attention_mask[0, :2] = 0
    padded = {"input_ids": prompts(model), "attention_mask": attention_mask, "max_new_tokens": 6}
    return {
        "greedy": model.generate(**padded),
        "guided": model.generate(**padded, cfg_scale=0.5, block_length=4),
        "parallel": model.generate(**padded, confidence_threshold=0.5),
        "sampled": model.generate(**padded, temperature=1.0, generator=seeded()),
        "sampled row by row": model.generate(**padded, temperature=1.0, generator=[seeded(), seeded()]),
        "random": model.generate(**padded, remasking="random", generator=seeded()),
    }


def score(model: LLaDAForMaskedLM, generator: torch.Generator | None = None) -> torch.FloatTensor:
    return model.log_likelihood(prompts(model), prompts(model), num_samples=4, generator=generator).log_likelihood


def agree(tensor: torch.Tensor) -> bool:
    """Whether all processes hold the same tensor."""
    gathered = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, tensor.contiguous())
    return all(torch.equal(tensor, other) for other in gathered)


def saved_as(folder: str, model: LLaDAForMaskedLM) -> bool:
    """Whether `save_pretrained` writes the tensors that were loaded, under the same names."""
    paths = [tempfile.mkdtemp() if distributed.get_rank() == 0 else None]
    distributed.broadcast_object_list(paths, src=0)
    model.save_pretrained(paths[0])
    distributed.barrier()
    before, after = (
        {name: tensor.float() for name, tensor in stored(Path(path)).items()} for path in (folder, paths[0])
    )
    # transformers also writes the tied head, since a gathered copy shares no memory.
    after = {
        name: tensor for name, tensor in after.items() if name in before or name != "model.transformer.ff_out.weight"
    }
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


if __name__ == "__main__":
    main()
