# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws a moving picture of a denoising: an animated SVG, GIF or WebP, or a web page that plays it.

    python examples/animate.py docs/pictures/animation.svg
    python examples/animate.py poem.gif --prompt "七言绝句《春江》\n" --max-new-tokens 33 --columns 16 --dark
    python examples/animate.py answer.html --model GSAI-ML/LLaDA-8B-Base --prompt "Paris is" --block-length 32

SVG and web page use the fonts and the colour scheme of the reader. GIF and WebP need Pillow, and for Han characters a font on
this machine (Debian: fonts-noto-cjk).
"""

import argparse
from pathlib import Path

import torch

from modeling_llada.drawing import Picture, Timing, animated_svg, denoising_page, pictures_of
from modeling_llada.loading import load_checkpoint
from modeling_llada.pipes import quiet_when_closed
from modeling_llada.streaming import RecordingStreamer
from modeling_llada.writing import check_writable, write_atomically


SHIPPED = Path(__file__).parent.parent / "checkpoints/llada-poet"
SUFFIXES = (".svg", ".gif", ".webp", ".html")


@quiet_when_closed()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help=f"the file to write: {', '.join(SUFFIXES)}")
    parser.add_argument("--model", default=SHIPPED, help="folder or Hub id (checkpoints/llada-poet)")
    parser.add_argument(
        "--prompt", default="五言绝句\\n床前明月光，", help="prompt, in which \\n is a line break (%(default)s)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=19, help="masks after the prompt (%(default)s)")
    parser.add_argument("--block-length", type=int)
    parser.add_argument("--confidence-threshold", type=float)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--columns", type=int, default=12, help="cells in a row (%(default)s: two lines of five characters)"
    )
    parser.add_argument("--title", default="")
    parser.add_argument(
        "--step-milliseconds", type=int, default=Timing().step, help="duration of a step (%(default)s)"
    )
    parser.add_argument("--dark", action="store_true", help="draw GIF and WebP on a dark background")
    args = parser.parse_args()
    if args.output.suffix not in SUFFIXES:
        parser.error(
            f"the name of the file must end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, but got {args.output.name!r}"
        )
    check_writable(args.output)
    pictures = record_pictures(args)
    write_atomically(args.output, draw(pictures, args))
    print(f"Wrote {args.output}: {len(pictures)} pictures, {args.output.stat().st_size / 1024:.0f} KB.")


def record_pictures(args: argparse.Namespace) -> list[Picture]:
    """Runs the model and records each step."""
    model, tokenizer = load_checkpoint(args.model)
    inputs = tokenizer(args.prompt.replace("\\n", "\n"), return_tensors="pt").to(model.device)
    streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=args.max_new_tokens,
        block_length=args.block_length,
        confidence_threshold=args.confidence_threshold,
        temperature=args.temperature,
        generator=torch.Generator(model.device).manual_seed(args.seed),
        streamer=streamer,
    )
    return pictures_of(streamer.record.frames)


def draw(pictures: list[Picture], args: argparse.Namespace) -> bytes:
    """The content of the file."""
    timing = Timing(step=args.step_milliseconds)
    if args.output.suffix == ".svg":
        return animated_svg(pictures, args.title, args.columns, timing).encode()
    if args.output.suffix == ".html":
        return denoising_page(pictures, args.title, columns=args.columns).encode()
    from modeling_llada.drawing.animation import denoising_animation  # it needs Pillow

    name = args.output.suffix[1:].upper()
    return denoising_animation(pictures, name, timing, title=args.title, columns=args.columns, dark=args.dark)


if __name__ == "__main__":
    main()
