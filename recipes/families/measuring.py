# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What is measured of a model: the bound on held-out poems, the recall of couplets both ways, and poems by passes and seconds.

- **Bound.** Nats per token by eq. 6, on windows of held-out poems and on noise that is the same for all models. A model of blocks
  predicts each block behind the clean blocks before it.
- **Recall.** One line of a famous couplet is masked, the second (`next`) or the first (`previous`), and filled in by one token a
  pass. With lines of seven characters and blocks of eight tokens, each line is a block.
- **Poems.** A famous poem is written from its header and its first line, in blocks. It is right if all of it is, and its end.
  Seconds are those of a second call with the same prompts: in the first one CUDA graphs are recorded. A model that does not
  stop is slower, since tokens per second count those of the true poems.
"""

import dataclasses
import random
import time
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedModel

from modeling_llada.evaluation.intervals import wilson_interval
from modeling_llada.evaluation.reversal import measure as ask
from modeling_llada.evaluation.reversal_models import LLaDALines
from modeling_llada.reading import read_json
from modeling_llada.training import Corpus
from modeling_llada.training.pretraining.held_out_loss import held_out_bounds
from recipes.families.recipe import Decoding, Measure, Recipe, sizes
from recipes.poems.couplets import famous_couplets, famous_poems
from recipes.poems.evaluate import FORMS, held_out_windows
from recipes.poems.header import poem_header
from recipes.runs import check_names
from reporting.results import describe_machine, find_versions, rounded, save


LINE_LENGTH = 7  # of the couplets


def measure(run: Path, names: list[str] | None, device: str | None) -> None:
    """Measures the models that are trained and not measured yet, and writes a file for each."""
    if not (run / "recipe.json").is_file():
        raise ValueError(
            f"`--run` must be the folder of a run, but there is no {run / 'recipe.json'}. Run `train` first."
        )
    recipe = Recipe(**read_json(run / "recipe.json", dict), output_dir=str(run))
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    windows = held_out_windows(Corpus.load(recipe.corpus), recipe.measure["width"])
    if not len(windows):
        raise ValueError(
            f"`measure.width` must be at most the tokens that {recipe.corpus} holds out, but got {recipe.measure['width']}."
        )
    for name in check_names(names, recipe.models):
        if not (run / name / "final").is_dir() or result_path(run, name).is_file():
            continue
        started = time.monotonic()
        result = Examiner(recipe, name, run, device).result(windows)
        result |= {"machine": describe_machine(device), "versions": find_versions()}
        save(result_path(run, name), result | {"measuring_seconds": round(time.monotonic() - started, 1)})
        print(f"{name}: measured in {time.monotonic() - started:.0f} s", flush=True)


def result_path(run: Path, name: str) -> Path:
    """The file of what was measured of a model."""
    return run / f"{name}.json"


@dataclasses.dataclass(frozen=True)
class Poem:
    """The text that a poem is written from, and the rest of it."""

    prompt: str
    answer: str


def poem_questions(limit: int, prompt_tokens: int, new_tokens: int) -> list[Poem]:
    """Famous poems of the strict forms that fit, in a shuffled order. A character is a token, and an EOS follows the poem."""
    questions = []
    for poem in famous_poems():
        number, width = FORMS.get(poem["form"], (0, 0))
        text, first = poem["text"], width + 1
        if len(text) != number * first:
            continue
        prompt = poem_header(poem["form"], poem["title"], poem["author"]) + text[:first]
        if len(prompt) <= prompt_tokens and len(text) - first < new_tokens:
            questions.append(Poem(prompt, text[first:]))
    random.Random(0).shuffle(questions)
    return questions[:limit]


class Examiner:
    """Measures a model, in bfloat16 on a GPU, as it is shipped."""

    def __init__(self, recipe: Recipe, name: str, run: Path, device: torch.device):
        self.recipe, self.settings, self.measure = recipe, recipe.models[name], Measure(**recipe.measure)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        folder = run / name / "final"
        self.model: PreTrainedModel = AutoModelForMaskedLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(recipe.tokenizer, padding_side="left")

    def result(self, windows: torch.LongTensor) -> dict:
        """All that is measured of the model."""
        return {
            "family": self.settings["family"],
            **sizes(self.model),
            "windows": rounded(self.bounds(windows).tolist()),
            "recall": {name: self.recall(options) for name, options in self.settings["recall"].items()},
            "poems": self.poems(),
        }

    def bounds(self, windows: torch.LongTensor) -> torch.DoubleTensor:
        """Nats per token of each held-out window."""
        measure = self.measure
        rows = windows[: measure.windows].to(self.model.device)
        return held_out_bounds(self.model, rows, measure.noise_samples, measure.batch_size, measure.seed)

    def recall(self, options: dict) -> dict:
        """The lines of couplets that are right, in both directions."""
        couplets = [couplet for couplet in famous_couplets() if len(couplet[0]) == LINE_LENGTH]
        lines = LLaDALines(self.model, self.tokenizer, batch_size=self.measure.batch_size, options=options)
        lines.tasks = (("infill", "next"), ("infill", "previous"))
        return {
            task.split()[1]: {key: one[key] for key in ("pairs", "exact")}
            for task, one in ask(lines, couplets[: self.measure.couplets]).items()
        }

    def poems(self) -> list[dict]:
        """The poems by all caches and ways of decoding, with the poems a second in each size of batches."""
        measure, results = self.measure, []
        poems = poem_questions(measure.poems, measure.prompt_tokens, measure.new_tokens)
        counts_by_block = self.model.block_geometry.is_block_causal
        for cache, options in self.settings["caches"].items():
            for name, rule in measure.decoding.items():
                positions = measure.block_length if counts_by_block else measure.new_tokens
                given = {"block_length": measure.block_length} | Decoding(**rule).options(positions) | options
                result = {"cache": cache, "decoding": name} | self.write(poems, given)
                result["tokens_per_second"] = {
                    size: self.speed(poems[:number], int(size), given) for size, number in measure.timed.items()
                }
                results.append(result)
                print(f"{cache or 'as it is'}, {name}: {result['exact']['mean']:.1%}", flush=True)
        return results

    def write(self, poems: list[Poem], options: dict) -> dict:
        """How many poems and lines are right, and the mean forward passes of a poem."""
        answers, passes = [], 0
        for start in range(0, len(poems), self.measure.batch_size):
            texts, number = self.complete(poems[start : start + self.measure.batch_size], options)
            answers += texts
            passes += number
        hits = sum(answer == poem.answer for answer, poem in zip(answers, poems, strict=True))
        characters = [
            one == other
            for answer, poem in zip(answers, poems, strict=True)
            for one, other in zip(answer.ljust(len(poem.answer)), poem.answer, strict=False)
        ]
        low, high = wilson_interval(hits, len(poems))
        return {
            "number": len(poems),
            "exact": rounded({"mean": hits / len(poems), "low": low, "high": high}),
            "characters": rounded(sum(characters) / len(characters)),
            "passes": rounded(passes / len(poems)),
            "tokens": rounded(sum(len(poem.answer) for poem in poems) / len(poems)),
        }

    def speed(self, poems: list[Poem], size: int, options: dict) -> float:
        """Tokens of the true poems per second, in batches of one size, by the second of two calls."""
        batches = [poems[start : start + size] for start in range(0, len(poems), size)]
        for _ in range(2):
            started = time.monotonic()
            for batch in batches:
                self.complete(batch, options)
            seconds = time.monotonic() - started
        return rounded(sum(len(poem.answer) for poem in poems) / seconds)

    def complete(self, poems: list[Poem], options: dict) -> tuple[list[str], int]:
        """Writes poems: their texts up to the first EOS, and the forward passes of all of them."""
        measure, end = self.measure, self.tokenizer.eos_token_id
        # All prompts have one length, so that recorded steps fit all batches.
        prompts = self.tokenizer(
            [poem.prompt for poem in poems],
            padding="max_length",
            max_length=measure.prompt_tokens,
            return_tensors="pt",
        ).to(self.model.device)
        output = self.model.generate(
            **prompts, max_new_tokens=measure.new_tokens, return_dict_in_generate=True, **options
        )
        rows = output.sequences[:, measure.prompt_tokens :].tolist()  # waits for the device
        texts = [self.tokenizer.decode(row[: row.index(end)]) if end in row else "" for row in rows]
        return texts, int(output.num_forward_passes.sum())
