# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the folder for the Hub: weights, processor, results, and a model card with these results."""

import json
import shutil
from pathlib import Path

from modeling_llada.reading import read_json
from modeling_llada.writing import check_destination, complete_or_absent, write_atomically
from recipes.vision.archive import load_archive
from recipes.vision.draw import held_out_numbers
from recipes.vision.results import timings_of
from recipes.vision.scores import results_table, seconds_section, studies_table, verdict
from reporting.markdown import joined, table


MAX_BYTES = 24_000_000
PARTS = {"vision_tower": "tower", "multi_modal_projector": "projector", "language_model": "language part"}
CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
language:
- en
- zh
tags:
- llada
- masked-diffusion
- vision
---

# llada-v-tiny

A masked diffusion model ([LLaDA-V](https://huggingface.co/papers/2505.16933)) of {millions} million parameters that answers
questions about pictures of emoji, signs, tables and bar charts, in English and Chinese. Its vision tower, its projector and its
language part were trained from random weights in {minutes} minutes on one {device}, with the code of this repository. It knows
{names:,} names, and nothing of photographs.

```python
import modeling_llada  # registers the classes
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("checkpoints/llada-v-tiny")
model = AutoModelForImageTextToText.from_pretrained("checkpoints/llada-v-tiny", dtype="float32")

content = [{{"type": "image", "image": "picture.png"}}, {{"type": "text", "text": "What is this? /no_think"}}]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True,
    tokenize=True,
    return_dict=True,
    return_tensors="pt",
)
output = model.generate(**inputs)
print(processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```

A question ends with ` /no_think` for the answer alone, or with ` /think` for the reasoning before it. Training had the wordings of
`recipes/vision/wordings.json`; those that it never had are held out below.

## Measured

`python -m recipes.vision evaluate` asked {rows:,} held-out questions of each task, in blocks of 16 tokens with one token in each
pass. The styles of the emoji to name, the layouts, the wordings and the words on signs are not in the training data. An answer
is right if it is the true one but for case, articles and the full stop. Intervals are 95% Wilson intervals, and passes are the mean
number of forward passes for an answer. All results are in `evaluation.json`, and the training curve is in `training_log.json`.

{results}

{verdict}

{studies}{seconds}## Limits

- Other pictures than these get an answer too, and it means nothing.
- It answers the kinds of questions in the table. Other questions get the answer to one of these.
- Print lower than a sixth of a tile of {tile} pixels is too small. A picture is cut into four tiles at most, so it has to be drawn
  at about {tile} to {twice} pixels a side.
- At most six questions in a dialogue, about the same pictures.

## Training

- **Pictures**: drawn on the fly by `recipes/vision`, no row twice. Emoji in {num_styles} styles with their names in Unicode's CLDR;
  words and numbers in {num_fonts} fonts. A third of the emoji ({held_out:,}) lack one style in training.
- **Model**: vision tower of {tower_layers} layers, {tower_width} wide, patches of {patch} pixels; language part of {layers} layers,
  {width} wide, {heads} heads, SwiGLU of {ff}, tied embeddings, {vocabulary:,} tokens. Stored in bfloat16.
- **Tower**: SigLIP's sigmoid loss, pictures against names and lines of signs, {views:.1f} million views. A name is the sum of its
  tokens, so the projector and the token embedding of the language part are trained with it.
- **Stages**: masked SFT (eq. 5 of the LLaDA paper), Muon for the matrices of the layers, AdamW (0.9, {beta2}) for all else, weight
  decay {decay}, {batch} rows a step, mask rates from {rate_eps}. Answers are filled with EOS. Seed {seed}.

{stages}

### Licences of the pictures and fonts

None of these files is in this folder. The few drawings in `samples` show some of the emoji, turned and put on grounds, and some words
in the fonts. The pictures of Twemoji are by Twitter, Inc and other contributors, those of Noto Emoji by Google, and those of
Fluent Emoji by Microsoft.

{licences}

To train it again, see `recipes/vision/README.md`.
"""


def export(run: Path, results: Path, collected: Path | None, output: Path) -> None:
    """Writes the folder from that of the run and the files of `evaluate` and `collect`. It is complete or absent."""
    final = run / "final"
    for path, command in {final / "config.json": "train", results: "evaluate", collected: "collect"}.items():
        if path is not None and not path.is_file():
            raise ValueError(f"there is no {path}. Run `{command}` first.")
    found = read_json(results, dict)
    beside = {"timings": timings_of(run), "studies": {}} if collected is None else read_json(collected, dict)
    check_destination(output.resolve(), run.resolve(), overwrite=True, config_file="config.json")
    with complete_or_absent(output) as partial:
        for path in sorted(final.iterdir()):
            if path.suffix != ".py":  # the code of the model is not in this folder
                shutil.copyfile(path, partial / path.name)
        for name in ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
            _drop_auto_map(partial / name)
        log = json.loads((run / "training_log.json").read_text(encoding="utf-8"))
        lines = ",\n".join(json.dumps(entry) for entry in log)
        write_atomically(partial / "training_log.json", f"[\n{lines}\n]\n")
        kept = found | {name: beside[name] for name in ("timings", "studies")}
        write_atomically(partial / "evaluation.json", json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
        write_atomically(partial / "README.md", card_of(run, log, kept))
        size = sum(path.stat().st_size for path in partial.iterdir())
        if size > MAX_BYTES:
            raise ValueError(f"the folder would have {size:,} bytes, more than {MAX_BYTES:,}. Make the model smaller.")
    print(f"wrote {output}: {size:,} bytes")


def _drop_auto_map(path: Path) -> None:
    """Takes the names of files with code, which are not in the folder, out of a file of settings and its parts."""
    if path.is_file():
        values = json.loads(path.read_text(encoding="utf-8"))
        for part in (values, *(value for value in values.values() if isinstance(value, dict))):
            part.pop("auto_map", None)
        write_atomically(path, json.dumps(values, ensure_ascii=False, indent=2) + "\n")


def card_of(run: Path, log: list[dict], results: dict) -> str:
    """Renders the model card."""
    recipe, record = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("recipe.json", "run.json"))
    model, training = recipe["model"], recipe["training"]
    vision, archive = model["vision_config"], load_archive(recipe["archive"])
    tower = [entry for entry in log if entry["stage"] == "tower"]
    return CARD.format(
        millions=f"{record['parameters'] / 1e6:.1f}",
        minutes=f"{sum(call['seconds'] for call in record['calls']) / 60:.0f}",
        device=record["calls"][-1]["machine"]["name"],
        names=len(archive.emoji),
        rows=results["rows"],
        results=results_table(results["scores"]),
        verdict=verdict(results["scores"]),
        studies=studies_section(results["studies"]),
        seconds=seconds_section(results["timings"]),
        tile=vision["image_size"],
        twice=2 * vision["image_size"],
        num_styles=len(archive.styles),
        num_fonts=len(archive.fonts),
        held_out=len(held_out_numbers(archive)),
        tower_layers=vision["num_hidden_layers"],
        tower_width=vision["hidden_size"],
        patch=vision["patch_size"],
        layers=model["num_hidden_layers"],
        width=model["hidden_size"],
        heads=model["num_attention_heads"],
        ff=model["intermediate_size"],
        vocabulary=json.loads((run / "final" / "config.json").read_text(encoding="utf-8"))["vocab_size"],
        views=tower[-1]["step"] * recipe["tower"]["batch_size"] / 1e6 if tower else 0.0,
        beta2=training["adam_beta2"],
        decay=training["weight_decay"],
        batch=training["per_device_train_batch_size"],
        rate_eps=training["rate_eps"],
        seed=recipe["seed"],
        stages=stages_table(recipe, record, log),
        licences=licences_table(archive.about),
    )


def studies_section(studies: dict[str, dict]) -> str:
    """What the pictures, the tiles and the stages buy; empty without short runs."""
    if not studies:
        return ""
    return (
        "What the pictures, the tiles and the stages buy, in short runs from the same tower, one seed each. Bold scores have an "
        f"interval below that of the run with all of them:\n\n{studies_table(studies)}\n\n"
    )


def stages_table(recipe: dict, record: dict, log: list[dict]) -> str:
    """What each stage trained, how fast, and for how long."""
    rows = []
    for call in record["calls"]:
        stage, steps = (
            call["stage"],
            max((entry["step"] for entry in log if entry["stage"] == call["stage"]), default=0),
        )
        if stage == "tower":
            tower = recipe["tower"]
            rates = f"tower, projector and embedding {tower['matrix_rate']:g} (Muon) and {tower['learning_rate']:g}"
        else:
            own = recipe["training"] | recipe["stages"].get(stage, {})
            parts = own.get("trained_parts") or list(PARTS)
            named = {"vision_tower": "vision_tower_learning_rate", "multi_modal_projector": "projector_learning_rate"}
            rates = joined([f"{PARTS[part]} {own.get(named.get(part), own['learning_rate']):g}" for part in parts])
        rows.append([stage, rates, f"{steps:,}", f"{call['seconds'] / 60:.1f}"])
    return table(["stage", "trained parts and learning rates", "steps", "minutes"], rows)


def licences_table(about: dict) -> str:
    rows = [[one["name"], one["version"], one["licence"], one["source"]] for one in about["packages"]]
    return table(["package", "version", "licence", "source"], rows)
