# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The YAML file of the study, and the models that it names."""

import dataclasses
from pathlib import Path

from transformers import PreTrainedModel

from modeling_llada import (
    LLaDA2MoeConfig,
    LLaDA2MoeForMaskedLM,
    LLaDAConfig,
    LLaDAForMaskedLM,
    LLaDAGenerationConfig,
    LLaDAMoeConfig,
    LLaDAMoeForMaskedLM,
)
from modeling_llada.training import Corpus, LLaDAPretrainingConfig
from modeling_llada.training.recipe_files import assign, checked, read_recipe


FAMILIES = {
    "llada": (LLaDAConfig, LLaDAForMaskedLM),
    "llada_moe": (LLaDAMoeConfig, LLaDAMoeForMaskedLM),
    "llada2": (LLaDA2MoeConfig, LLaDA2MoeForMaskedLM),
}
NO_FIELDS = {"rope_theta": float, "partial_rotary_factor": float}  # what a config takes beside its fields


@dataclasses.dataclass
class Decoding:
    """A way to decode poems: how many tokens each pass commits, or how sure it must be of them."""

    tokens: int = 1  # that a pass commits at least
    confidence_threshold: float | None = None

    def options(self, positions: int) -> dict:
        """The options of `generate`. Its steps are those for so many positions."""
        threshold = {} if self.confidence_threshold is None else {"confidence_threshold": self.confidence_threshold}
        return {"steps": -(-positions // self.tokens)} | threshold


@dataclasses.dataclass
class Measure:
    """The part `measure` of the YAML file."""

    windows: int  # held-out windows, for the bound
    width: int  # of these, in tokens
    noise_samples: int
    couplets: int  # famous couplets of lines of seven characters, at most
    poems: int  # famous poems, at most
    prompt_tokens: int
    new_tokens: int
    block_length: int  # of all models, in which they write poems
    batch_size: int
    decoding: dict  # of Decoding, by name
    timed: dict  # poems by the size of the batches that they are timed in
    seed: int = 0


@dataclasses.dataclass
class Model:
    """One of the `models` of the YAML file."""

    family: str
    config: dict = dataclasses.field(default_factory=dict)  # more fields of its config
    training: dict = dataclasses.field(default_factory=dict)  # more arguments of its training
    caches: dict = dataclasses.field(default_factory=lambda: {"": {}})  # options of `generate` for poems, by name
    recall: dict = dataclasses.field(default_factory=lambda: {"": {}})  # options of `generate` for couplets, by name


@dataclasses.dataclass
class Recipe:
    """A YAML file of this folder."""

    corpus: str
    tokenizer: str
    output_dir: str
    expected: list[str]  # what was expected before the run
    config: dict  # fields of the config of all models
    models: dict  # of Model, by name; the others are compared with the first
    training: dict  # arguments of LLaDAPretrainingConfig
    phases: list  # of RowPhase
    measure: dict  # of Measure


def load_recipe(config: Path, corpus: str | None, output_dir: str | None, assignments: list[str]) -> Recipe:
    """Reads the YAML file, overrides values by those of the command line, and checks all of them."""
    values = read_recipe(config)
    given = {"corpus": corpus, "output_dir": output_dir}
    values |= {name: value for name, value in given.items() if value is not None}
    for assignment in assignments:
        assign(values, assignment)
    recipe = Recipe(**checked(Recipe, values))
    recipe.training = checked(LLaDAPretrainingConfig, recipe.training, "training.")
    recipe.measure = checked(Measure, recipe.measure, "measure.")
    decoding = recipe.measure["decoding"]
    for name, rule in decoding.items():
        decoding[name] = checked(Decoding, rule, f"measure.decoding.{name}.")
    for name, model in recipe.models.items():
        recipe.models[name] = dataclasses.asdict(
            check_model(recipe, Model(**checked(Model, model, f"models.{name}.")), name)
        )
    return recipe


def check_model(recipe: Recipe, model: Model, name: str) -> Model:
    """Checks what is first used when a model is made, trained or measured."""
    if model.family not in FAMILIES:
        raise ValueError(f"`models.{name}.family` must be one of {', '.join(FAMILIES)}, but got {model.family!r}.")
    kind = FAMILIES[model.family][0]
    model.config = checked(kind, model.config, f"models.{name}.config.", more=NO_FIELDS)
    kind(**checked(kind, recipe.config, "config.", more=NO_FIELDS) | model.config)
    model.training = checked(LLaDAPretrainingConfig, model.training, f"models.{name}.training.")
    rules = recipe.measure["decoding"].values()
    for options in (*model.recall.values(), *model.caches.values()):
        for rule in rules:
            LLaDAGenerationConfig(**Decoding(**rule).options(recipe.measure["new_tokens"]) | options)
    return model


def make_model(recipe: Recipe, name: str, corpus: Corpus) -> PreTrainedModel:
    """A model with random weights. Vocabulary and special tokens are those of the corpus."""
    kind, model_class = FAMILIES[recipe.models[name]["family"]]
    tokens = {
        "mask_token_id": corpus.mask_token_id,
        "bos_token_id": corpus.bos_token_id,
        "eos_token_id": corpus.eos_token_id,
        "pad_token_id": corpus.eos_token_id,
    }
    fields = recipe.config | recipe.models[name]["config"]
    return model_class(kind(vocab_size=corpus.vocab_size, **tokens, **fields))


def sizes(model: PreTrainedModel) -> dict[str, int]:
    """The parameters of a model, and those that a token meets. The embedding, which is the head too, counts once."""
    total = model.num_parameters()
    experts = sum(weights.numel() for name, weights in model.named_parameters() if ".experts." in name)
    idle = 0 if not experts else experts * (1 - model.config.num_experts_per_tok / model.config.num_experts)
    return {"parameters": total, "active": total - round(idle)}
