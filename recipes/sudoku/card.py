# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the folder for the Hub: weights, tokenizer, results, and a model card with these results."""

import json
import shutil
from pathlib import Path

from modeling_llada.writing import check_destination, complete_or_absent, write_atomically
from recipes.sudoku.puzzles import load
from recipes.sudoku.text import BLANK, MASK, board_text
from reporting.markdown import joined, table


FILES = ("model.safetensors", "tokenizer.json", "tokenizer_config.json")
STEPS = (
    *(f"low_confidence, {steps}" for steps in ("one token a step", "2 tokens a step", "4 tokens a step", "one step")),
    *("margin, one token a step", "random, one token a step", "row by row, one token a step"),
    *("left to right, one token a step", "confidence_threshold 0.9", "confidence_threshold 0.99", "entropy_bound 0.1"),
)
STEPS_NOTE = """`python -m recipes.sudoku sweep` ran on the first {limit} of these puzzles. The names are those of `remasking` and of the parallel
rules of `generate`; a fixed number of tokens a step is set by `steps`. Row by row and left to right are in
`recipes/sudoku/sweep.py`."""
MODELS = {"llada": "LLaDA", "llada-answer": "LLaDA with the answer after the puzzle", "twin": "autoregressive twin"}
CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags:
- llada
- masked-diffusion
- sudoku
---

# llada-sudoku

A masked diffusion language model ([LLaDA](https://huggingface.co/papers/2502.09992)) of {millions} million parameters that
solves Sudoku puzzles of {sizes}. A puzzle with `[MASK]` in its empty cells is the canvas, and the model fills the cells
that it is most sure of first. It was trained from random weights in {minutes} on one {device}, with the code
of this repository, and can do nothing else.

```python
import modeling_llada  # registers the classes
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-sudoku")
model = AutoModel.from_pretrained("checkpoints/llada-sudoku", dtype="float32")

puzzle = {puzzle}
inputs = tokenizer(puzzle.replace("_", "[MASK]"), return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=0)[0]))
```

`max_new_tokens=0` is the default of this checkpoint, because nothing follows the board. The first line names the size, each
other line is a row, and every line ends with a line break, including the last one. Boxes have
{boxes}.

```bash
llada generate --model checkpoints/llada-sudoku $'{prompt}'
```

The model takes no instructions and does not chat.

## Measured

`python -m recipes.sudoku evaluate` measured these numbers, in float32 on {number} held-out puzzles of each size. They are in
`evaluation.json`, and the training curve is in `training_log.json`. A puzzle is solved when every row, column and box holds
each digit once and the given digits are kept; each puzzle has one solution. The intervals are 95% Wilson intervals, and the
passes are the mean number of forward passes for a puzzle.

{table}

The twin is a Llama model of the same shape that writes the solution after the puzzle from left to right. It was trained on the
same puzzles for as many steps with as many tokens{twin_note}.
It differs in two ways, order and format, and the table does not separate them: `docs/evidence.md` also has a small LLaDA model
in the format of the twin.

The held-out 4x4 and 9x9 puzzles are those of reasoning-gym 0.1.25 with its default settings (8 to 12 and 30 to 50 empty
cells); `recipes/sudoku/solver.py` makes the 6x6 puzzles, with 14 to 24 empty cells. The training data has no symmetric
image of a held-out solution. The symmetries exchange digits, bands, rows in a band, stacks, columns in a stack, and, for
square boxes, rows and columns. The 4x4 grids form two classes of such images, with 192 and 96 grids: all held-out solutions
are among the 96.

{steps}## Limits

- Puzzles with more empty cells were not measured. A committed digit stays, even if it is wrong.
- The model also fills puzzles with no solution or several solutions, and boards of other sizes. `solves` in
  `recipes/sudoku/grids.py` checks an answer.

## Training

- **Data**: {trained}, all from the generator in
  `recipes/sudoku/`. Each has one solution, and training shows random symmetric images of it (Apache-2.0, like the code).
- **Model**: {layers} layers, {width} wide, {heads} heads, SwiGLU of {ff}, tied embeddings, {vocabulary} tokens. Stored in bfloat16.
- **Objective**: eq. 5 of the paper, the loss of fine-tuning, with the given cells as the prompt: the empty cells of a board are
  masked at a rate t, uniform in (0.001, 1], and the cross-entropy is weighted by 1/t. In {free} of the boards all cells may be masked.
- **Optimiser**: AdamW (0.9, {beta2}), weight decay {decay}, gradient norm at most {norm}, peak learning rate {rate:g}: {warmup} steps of warmup,
  constant, and linear decay over the last {decay_ratio}. Seed {seed}.
- **Cost**: {steps_run:,} steps of {tokens:,} tokens; {cost}.

To train it again:

```bash
python -m recipes.sudoku prepare
python -m recipes.sudoku train --config recipes/sudoku/sudoku.yaml
python -m recipes.sudoku train --config recipes/sudoku/sudoku.yaml --twin
python -m recipes.sudoku evaluate --run runs/sudoku --json results.json
```
"""


def export(run: Path, results: Path, steps: Path | None, output: Path) -> None:
    """Writes the folder from those of the run and the files of `evaluate` and `sweep`. It is complete or absent."""
    final = run / "llada" / "final"
    for path in (final / "model.safetensors", results, *([steps] if steps else [])):
        if not path.is_file():
            raise ValueError(f"there is no {path}. Run `train` and then `evaluate` first.")
    models = json.loads(results.read_text(encoding="utf-8"))["models"]
    sweeps = json.loads(steps.read_text(encoding="utf-8")) if steps else {}
    check_destination(output.resolve(), run.resolve(), overwrite=True, config_file="config.json")
    with complete_or_absent(output) as partial:
        for name in FILES:
            shutil.copyfile(final / name, partial / name)
        config = json.loads((final / "config.json").read_text(encoding="utf-8"))
        config.pop("auto_map", None)  # the code of the model is not in this folder
        write_atomically(partial / "config.json", json.dumps(config, indent=2) + "\n")
        defaults = json.loads((final / "generation_config.json").read_text(encoding="utf-8"))
        # A board is its own canvas, so by default nothing follows it.
        write_atomically(
            partial / "generation_config.json", json.dumps(defaults | {"max_new_tokens": 0}, indent=2) + "\n"
        )
        log = json.loads((run / "llada" / "training_log.json").read_text(encoding="utf-8"))
        lines = ",\n".join(json.dumps(entry) for entry in log)
        write_atomically(partial / "training_log.json", f"[\n{lines}\n]\n")
        kept = {name: {key: value for key, value in model.items() if key != "curve"} for name, model in models.items()}
        write_atomically(partial / "evaluation.json", json.dumps(kept, indent=1) + "\n")
        write_atomically(partial / "README.md", card_of(models, sweeps, config["vocab_size"]))
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"wrote {output}: {size:,} bytes")


def card_of(models: dict, sweeps: dict, vocabulary: int) -> str:
    """Renders the model card."""
    llada, recipe = models["llada"], models["llada"]["recipe"]
    shape, training = recipe["model"], recipe["training"]
    sizes = sorted(llada["sizes"])
    calls = llada["calls"]
    boxes = {"4x4": "2 rows and 2 columns", "6x6": "2 rows and 3 columns", "9x9": "3 rows and 3 columns"}
    trained = load(Path(recipe["puzzles"]), "train", [int(size[0]) for size in sizes])
    counts = joined([f"{len(part):,} puzzles of {size}x{size}" for size, part in trained.items()])
    tested = {way["puzzles"] for ways in llada["sizes"].values() for way in ways.values()}
    return CARD.format(
        millions=f"{llada['parameters'] / 1e6:.2f}",
        sizes=joined(sizes),
        minutes=_duration(sum(call["seconds"] for call in calls)),
        device=calls[-1]["device"],
        puzzle=f'"""{_example(recipe, sizes[-1])}"""',
        boxes=joined([f"{boxes[size]} ({size})" for size in sizes]),
        prompt=_example(recipe, sizes[0]).replace(BLANK, MASK).replace("\n", "\\n"),
        number=joined([f"{number:,}" for number in sorted(tested)]),
        table=results_table(models, sizes),
        twin_note=_twin_note(models),
        steps=steps_section(sweeps),
        trained=counts,
        layers=shape["num_hidden_layers"],
        width=shape["hidden_size"],
        heads=shape["num_attention_heads"],
        ff=shape["intermediate_size"],
        vocabulary=vocabulary,
        free=f"{recipe['free_share']:.0%}",
        beta2=training["adam_beta2"],
        decay=training["weight_decay"],
        norm=training["max_grad_norm"],
        rate=training["learning_rate"],
        warmup=training["warmup_steps"],
        decay_ratio=f"{training['decay_ratio']:.0%}",
        seed=training["seed"],
        steps_run=calls[-1]["last_step"],
        tokens=training["tokens_per_step"],
        cost=", ".join(f"{call['seconds']:.0f} s on {call['device']}" for call in calls),
    )


def _example(recipe: dict, name: str) -> str:
    """The first puzzle of the validation split with a size such as `"9x9"`."""
    size = int(name[0])
    puzzle = load(Path(recipe["puzzles"]), "validation", [size])[size].puzzles[0]
    return board_text(puzzle, empty=BLANK)


def results_table(models: dict, sizes: list[str]) -> str:
    """Solved puzzles by model and way of decoding, with a column for each size."""
    rows = [
        [f"{label}, {way}", *(solved_cell(models[name]["sizes"][size][way]) for size in sizes)]
        for name, label in MODELS.items()
        if name in models
        for way in models[name]["sizes"][sizes[0]]
    ]
    return table(["model, decoding", *(f"{size}, solved" for size in sizes)], rows)


def solved_cell(result: dict) -> str:
    """A rate with its interval, and the forward passes."""
    return f"{solved_rate(result)}, {result['forward_passes']:.1f} passes"


def solved_rate(result: dict) -> str:
    low, high = result["interval"]
    return f"{result['solved']:.1%} ({low:.1%} to {high:.1%})"


def steps_section(sweeps: dict) -> str:
    """Some settings of the sweep; empty if it was not run."""
    if not sweeps:
        return ""
    parts = [STEPS_NOTE.format(limit=sweeps["settings"]["limit"])]
    for size, results in sweeps["results"].items():
        rows = [
            [name, f"{results[name]['forward_passes']:.1f}", solved_rate(results[name])]
            for name in STEPS
            if name in results
        ]
        parts += [f"### {size}: ways of decoding", table(["decoding", "passes", "solved"], rows)]
    return "\n\n".join(parts) + "\n\n"


def _twin_note(models: dict) -> str:
    if "twin" not in models:
        return ""
    return (
        f" ({models['twin']['parameters'] / 1e6:.2f} million parameters, rows twice as long, so half as many boards)"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
