# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How fast does LLaDA-V answer a question about a picture, and how fast does it train?

    python -m benchmarks.vision --shape tiny
    python -m benchmarks.vision --shape 8b --device cuda --json benchmarks/results/vision_h200.json

Weights are random. The prompt is a picture of `--picture` pixels and `--text` tokens of text; the answer has `--answer` tokens in
`--steps` steps and one block, with nothing that stops it early. The contenders take turns in one process. Then one row with the
same picture and a response of 64 tokens is trained with LoRA of rank 32 on the language model, with checkpointed activations.

Expected on an H200 before the first run, for 1,024 x 768 pixels, which are 3,627 image tokens:
- exact: 105 to 130 ms a pass, which is bound by products (60 TFLOP for the weights, 7 for attention), so 1.7 to 2.1 s an answer
  of 32 tokens in 16 steps. The tower and the projector add 15 to 30 ms once.
- prefix and dual cache: one pass of the whole canvas, then 7 to 9 ms a pass, so 0.24 to 0.3 s an answer.
- 16 GiB of weights, and 2 to 4 GiB more at the peak.
- training: 5,500 to 8,500 tokens/s, the image tokens counted.
"""

import argparse
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from benchmarks.report import progress, save_report, settle_device, start_report
from benchmarks.shapes import random_model
from benchmarks.timing import seconds_of, summary, take_turns, with_peak_memory
from benchmarks.vision_table import section
from modeling_llada import LLaDAVConfig, LLaDAVForConditionalGeneration
from modeling_llada.models.images_llada_v import num_anyres_tiles, num_image_features
from reporting.results import rounded


GIB = 2**30
SHAPES = {
    "8b": {"intermediate_size": 12288, "max_position_embeddings": 16384},
    "tiny": {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mask_token_id": 127,
        "eos_token_id": 0,
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
    },
}
MODES = {
    "exact": {},
    "exact, eager": {"disable_compile": True},
    "prefix": {"block_cache": "prefix"},
    "dual": {"block_cache": "dual"},
}
PROJECTIONS = r".*\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"  # those of the language model


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    progress(f"shape {args.shape}: random weights")
    model = random_model(LLaDAVConfig(**SHAPES[args.shape]), device, dtype, LLaDAVForConditionalGeneration)
    inputs = make_inputs(model, args.picture, args.text, device)
    report = start_report("vision", args, arguments, "peft")
    report["prompt"] = {"picture": args.picture, "tokens": inputs["input_ids"].shape[1]} | {
        "image_tokens": int((inputs["input_ids"] == model.config.image_token_id).sum())
    }
    report["weights_gib"] = rounded(sum(weight.nbytes for weight in model.parameters()) / GIB)
    save_report(report, args.json)
    report["rows"] = time_answers(model, inputs, args, device)
    save_report(report, args.json)
    report["training"] = time_training(model, inputs, args, device)
    save_report(report, args.json)
    print(section(report), end="")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shape", choices=tuple(SHAPES), default="tiny", help="shape of the random weights (%(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where to run (%(default)s)")
    add("--dtype", choices=("float32", "bfloat16"), help="precision of everything (bfloat16 on CUDA, else float32)")
    add("--picture", type=int, nargs=2, metavar=("W", "H"), default=[1024, 768], help="pixels (%(default)s)")
    add("--text", type=int, default=48, help="tokens of text in the prompt (%(default)s)")
    add("--answer", type=int, default=32, help="tokens of the answer (%(default)s)")
    add("--steps", type=int, default=16, help="denoising steps (%(default)s)")
    add("--repeats", type=int, default=5, help="timed runs of each row (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="where to write the numbers")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    return args


def make_inputs(
    model: LLaDAVForConditionalGeneration, picture: list[int], text: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """A prompt with one picture of random pixels in any-resolution tiles."""
    config, (width, height) = model.config, picture
    vision, pinpoints = config.vision_config, config.image_grid_pinpoints
    tiles = num_anyres_tiles((height, width), pinpoints, vision.image_size)
    side = vision.image_size // vision.patch_size
    count = num_image_features((height, width), tiles, side, pinpoints, vision.image_size, config.max_tiles)
    words = torch.arange(1, text + 1) % (config.mask_token_id - 1)
    input_ids = torch.cat([words[:1], torch.full((count,), config.image_token_id), words[1:]])
    pixels = torch.rand(1, tiles, 3, vision.image_size, vision.image_size, device=device, dtype=model.dtype)
    return {
        "input_ids": input_ids[None].to(device),
        "pixel_values": pixels,
        "image_sizes": torch.tensor([[height, width]], device=device),
        "num_tiles": torch.tensor([tiles], device=device),
    }


def time_answers(model, inputs: dict, args: argparse.Namespace, device: torch.device) -> list[dict]:
    """One row for each way to decode, and one for the image alone."""
    options = {"max_new_tokens": args.answer, "steps": args.steps, "block_length": args.answer, "stop_at_eos": False}
    works = {
        name: lambda mode=mode: model.generate(**inputs, **options, **mode, return_dict_in_generate=True)
        for name, mode in MODES.items()
    }
    works["the image alone"] = lambda: encode(model, inputs)
    rows = {}
    for name, work in works.items():
        progress(f"  {name}: first call")
        (first, output), peak = with_peak_memory(lambda work=work: seconds_of(work, device), device)
        passes = int(output.num_forward_passes[0]) if hasattr(output, "num_forward_passes") else None
        rows[name] = {"name": name, "passes": passes, "first_call_seconds": rounded(first)}
        rows[name]["peak_gib"] = None if peak is None else rounded(peak / GIB)
        work()
    for name, seconds in take_turns(works, args.repeats, device).items():
        rows[name]["seconds"] = summary(seconds)
    image = rows["the image alone"]["seconds"]["median"]
    for row in rows.values():
        if row["passes"]:
            row["ms_a_pass"] = rounded(1000 * (row["seconds"]["median"] - image) / row["passes"])
    return list(rows.values())


@torch.no_grad()
def encode(model, inputs: dict) -> list[torch.Tensor]:
    """The packed features of the picture."""
    images = {name: value for name, value in inputs.items() if name != "input_ids"}
    return model.get_image_features(**images).pooler_output


def time_training(model, inputs: dict, args: argparse.Namespace, device: torch.device) -> dict:
    """Steps of AdamW on LoRA adapters of the language model, for one row with the picture and a response of 64 tokens."""
    progress("  training: first step")
    config = model.config
    lora = LoraConfig(r=32, lora_alpha=64, target_modules=PROJECTIONS)
    adapted = get_peft_model(
        model, lora, autocast_adapter_dtype=False
    )  # everything in one precision, as `benchmarks.train`
    model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    prompt = inputs["input_ids"]
    response = torch.arange(64, device=device)[None] % (config.mask_token_id - 1)
    clean = torch.cat([prompt, response], dim=1)
    masked_positions = torch.arange(prompt.shape[1], clean.shape[1], 2, device=device)
    noisy = clean.flatten().index_fill(0, masked_positions, config.mask_token_id).view_as(clean)
    optimizer = torch.optim.AdamW([weight for weight in adapted.parameters() if weight.requires_grad], lr=1e-4)
    images = {name: value for name, value in inputs.items() if name != "input_ids"}

    def step() -> None:
        losses = adapted(input_ids=noisy, labels=clean, masked_positions=masked_positions, **images).losses
        losses.mean().backward()
        nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    _, peak = with_peak_memory(step, device)
    step()
    seconds = take_turns({"step": step}, args.repeats, device)["step"]
    rate = summary([clean.shape[1] / one for one in seconds])
    return {"tokens": clean.shape[1], "tokens_per_second": rate} | {
        "peak_gib": None if peak is None else rounded(peak / GIB)
    }


if __name__ == "__main__":
    main()
