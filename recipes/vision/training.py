# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
The whole run from a YAML file: the tower, then stages 1, 2 and 3. The same command goes on after an
interruption.
"""

import copy
import dataclasses
import json
import time
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from modeling_llada import LLaDAGenerationConfig, LLaDAVConfig, LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.training import LLaDASFTConfig
from modeling_llada.training.recipe_files import assign, checked, read_recipe
from recipes.vision.archive import load_archive
from recipes.vision.build_tokenizer import build_tokenizer
from recipes.vision.evaluation import SETTINGS, measure
from recipes.vision.rows import VisionRows
from recipes.vision.stages import NO_LIMIT, save_final, train_stage
from recipes.vision.tower import TowerArguments, TowerTraining
from reporting.results import describe_machine, find_versions, save


STAGES = ("tower", "1", "2", "3")
BASE_STAGES = STAGES[:1]
OF_STAGES = ("stages", "minutes", "steps")  # values by stage
ROWS_OF_AN_EPOCH = 4_000_000


@dataclasses.dataclass
class Recipe:
    """A YAML file of this folder."""

    archive: str
    output_dir: str
    tile_grids: list  # rows and columns of tiles that a picture may be cut into
    model: dict  # arguments of LLaDAVConfig
    tower: dict  # arguments of TowerArguments
    training: dict  # arguments of LLaDASFTConfig, for all stages
    stages: dict  # for each stage its own, and `final_rate` of DrawingTrainer
    minutes: dict  # of each stage
    seed: int = 0
    steps: dict = dataclasses.field(default_factory=dict)  # of each stage, where they count in the place of minutes
    check_rows: int = 0  # questions of each task after each stage
    blind: bool = False
    one_tile: bool = False


def load_recipe(config: Path, values: dict, assignments: list[str]) -> Recipe:
    """The values of the YAML file, overridden by those of the command line, which are `None` where they are not given."""
    recipe = read_recipe(config)
    for name in OF_STAGES:  # YAML reads the stages 1 to 3 as numbers
        recipe[name] = {str(stage): value for stage, value in recipe.get(name, {}).items()}
    for name, value in values.items():
        if value is not None:
            recipe[name] = recipe[name] | value if name in OF_STAGES else value
    for assignment in assignments:
        assign(recipe, assignment)
    recipe = Recipe(**checked(Recipe, recipe))
    recipe.tower = dataclasses.asdict(TowerArguments(**checked(TowerArguments, recipe.tower, "tower.")))
    for part in OF_STAGES:
        unknown = sorted(getattr(recipe, part).keys() - set(STAGES))
        if unknown:
            raise ValueError(f"`{part}` must be of the stages {', '.join(STAGES)}, but got {', '.join(unknown)}.")
    return recipe


def read_budget(text: str) -> dict[str, float]:
    """The numbers of stages, as in `tower=4,1=1,2=9,3=3`."""
    try:
        budget = {stage: float(number) for stage, number in (part.split("=") for part in text.split(","))}
    except ValueError:
        budget = {"": 0.0}
    if not set(budget) <= set(STAGES) or min(budget.values()) <= 0:
        raise ValueError(f"`--minutes` and `--steps` must be as in tower=4,1=1,2=9,3=3, but got {text!r}.")
    return budget


def make_model(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> tuple[LLaDAVForConditionalGeneration, LLaDAVProcessor]:
    """A LLaDA-V with random weights, and its processor."""
    sizes = dict(recipe.model)
    tile = sizes["vision_config"]["image_size"]
    special = {
        "mask_token_id": tokenizer.mask_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LLaDAVConfig(
        vocab_size=len(tokenizer),  # the processor adds the tokens of images behind it
        eot_token_id=tokenizer.convert_tokens_to_ids("<|eot_id|>"),
        image_grid_pinpoints=[[rows * tile, columns * tile] for rows, columns in recipe.tile_grids],
        **special,
        **sizes,
    )
    model = LLaDAVForConditionalGeneration(config)
    begin_with_likeness(model)
    defaults = SETTINGS["/think"] | {"stop_at_eos": True}
    model.generation_config = LLaDAGenerationConfig(**special, **defaults)
    return model, LLaDAVProcessor.from_config(config, tokenizer)


@torch.no_grad()
def begin_with_likeness(model: LLaDAVForConditionalGeneration, size: float = 0.7) -> None:
    """
    Lets half of the heads begin with keys that are their queries (https://huggingface.co/papers/2305.09828): a name then attends
    to what is like it in the picture, and the place of a name is learned a little earlier.
    """
    for layer in model.model.layers:
        queries, keys = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
        half = len(queries) // 2
        queries[:half] *= size
        keys[:half] = queries[:half]


def train(
    config: Path,
    minutes: str | None,
    steps: str | None,
    skipped: list[str],
    base: Path | None,
    device: str | None,
    assignments: list[str],
    **values,
) -> None:
    """Trains all stages that are not done yet, each into a folder of its own, and writes `final`."""
    values["minutes"] = None if minutes is None else read_budget(minutes)
    values["steps"] = None if steps is None else {stage: int(count) for stage, count in read_budget(steps).items()}
    recipe = load_recipe(config, values, assignments)
    for stage in BASE_STAGES if base is not None else ():
        if stage not in skipped and not (base / stage / "final" / "config.json").is_file():
            raise ValueError(
                f"`--base` must be a run whose stage {stage} is done, but there is no {base / stage / 'final'}."
            )
    for stage in STAGES:
        if stage not in {*skipped, *recipe.minutes, *recipe.steps}:
            raise ValueError(f"`minutes` must have all stages, but stage {stage} has none. Give it some, or skip it.")
    run = Path(recipe.output_dir)
    use_cpu = device == "cpu" or not torch.cuda.is_available()
    torch.set_float32_matmul_precision("high")
    set_seed(recipe.seed)
    model, processor = make_model(recipe, build_tokenizer(load_archive(recipe.archive)))
    save(run / "recipe.json", dataclasses.asdict(recipe) | {"skipped": skipped})
    print(f"{model.num_parameters():,} parameters: {describe_parts(model)}", flush=True)
    last = None
    for stage in [one for one in STAGES if one not in skipped]:
        folder = base / stage if base is not None and stage in BASE_STAGES else run / stage
        if not (folder / "final" / "config.json").is_file():
            if last is not None:
                model = LLaDAVForConditionalGeneration.from_pretrained(last, dtype=torch.float32)
            began = time.monotonic()
            log = run_stage(stage, recipe, model, processor, folder, use_cpu)
            record_stage(run, stage, log, time.monotonic() - began, model)
            if recipe.check_rows and stage in ("2", "3"):
                check(run, stage, model, processor, recipe)
        last = folder / "final"
    if last is None:
        raise ValueError("`--skip-stage` leaves no stage to train.")
    model = LLaDAVForConditionalGeneration.from_pretrained(last, dtype=torch.bfloat16)
    save_final(run / "final", model, processor)
    print(f"wrote {run / 'final'}", flush=True)


def describe_parts(model: LLaDAVForConditionalGeneration) -> str:
    parts = {
        "tower": model.model.vision_tower,
        "projector": model.model.multi_modal_projector,
        "layers": model.model.layers,
        "embedding": model.model.embed_tokens,
    }
    return ", ".join(f"{name} {sum(one.numel() for one in part.parameters()):,}" for name, part in parts.items())


def run_stage(stage: str, recipe: Recipe, model, processor, folder: Path, use_cpu: bool) -> list[dict]:
    """Trains a stage and writes its `final` folder in float32. Returns the log."""
    minutes = recipe.minutes.get(stage) if stage not in recipe.steps else None
    steps = recipe.steps.get(stage)
    print(f"stage {stage}: " + (f"{minutes} minutes" if minutes else f"{steps} steps"), flush=True)
    if stage == "tower":
        device = torch.device("cpu" if use_cpu else "cuda")
        args = TowerArguments(**recipe.tower)
        training = TowerTraining(
            model.model, processor.tokenizer, load_archive(recipe.archive), args, recipe.seed, device
        )
        log = training.train(minutes, steps, folder)
        model.to("cpu")
    else:
        options = copy.deepcopy(recipe.training | recipe.stages.get(stage, {}))
        final_rate = options.pop("final_rate", 0.1)
        options |= ({"use_cpu": True} if use_cpu else {}) | (
            {"image_aspect_ratio": "square"} if recipe.one_tile else {}
        )
        options = checked(LLaDASFTConfig, options | {"output_dir": str(folder)}, "training.")
        args = LLaDASFTConfig(
            **options, max_steps=steps or NO_LIMIT, seed=recipe.seed, dataset_kwargs={"skip_prepare_dataset": True}
        )
        rows = VisionRows(
            load_archive(recipe.archive),
            "train",
            int(stage),
            ROWS_OF_AN_EPOCH,
            recipe.seed,
            model.config.vision_config.image_size,
        )
        trainer = train_stage(model, processor, args, rows, minutes, final_rate, recipe.blind)
        log = [{"stage": stage, **entry} for entry in trainer.state.log_history]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    save_final(folder / "final", model, processor)
    return log


def record_stage(run: Path, stage: str, log: list[dict], seconds: float, model) -> None:
    """Adds a stage to the record and to the log of the run."""
    path, log_path = run / "run.json", run / "training_log.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"calls": []}
    record["parameters"] = model.num_parameters()
    machine = describe_machine("cuda" if torch.cuda.is_available() else "cpu")
    record["calls"].append(
        {"stage": stage, "seconds": round(seconds, 1), "machine": machine, "versions": find_versions()}
    )
    save(path, record)
    before = json.loads(log_path.read_text(encoding="utf-8")) if log_path.is_file() else []
    save(log_path, before + log)


def check(run: Path, stage: str, model, processor, recipe: Recipe) -> None:
    """A first look at the answers after a stage."""
    workers = recipe.training.get("dataloader_num_workers", 0)
    result = measure(
        model,
        processor,
        load_archive(recipe.archive),
        recipe.check_rows,
        recipe.blind,
        seed=1,
        workers=workers,
        stage=int(stage),
    )
    save(run / f"check_{stage}.json", result)
    shown = {task: score["right"] for task, score in result["scores"].items() if "/" not in task.replace(" /", "")}
    print(json.dumps({"after stage": stage, "seconds": result["seconds"], **shown}), flush=True)
