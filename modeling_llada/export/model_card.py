# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The model card of a folder: of an export, or of a training run."""

from pathlib import Path

from huggingface_hub import ModelCardData
from transformers import PreTrainedTokenizerBase

from ..models.modeling_llada import LLaDAForMaskedLM


TAGS = ["llada", "masked-diffusion", "diffusion-language-model"]
TOKEN_IDS = ("bos_token_id", "pad_token_id", "mask_token_id", "eos_token_id", "eot_token_id")
# Fields of the generation config that are no decoding options.
NOT_OPTIONS = (*TOKEN_IDS, "transformers_version", "do_sample")

CARD = """---
{front_matter}
---

# {title}

{what} It does not write from left to right: it starts from a canvas of mask tokens and fills it in steps.

## Load

```python
{load}

{prompt}
output = model.generate(**inputs)
print({decoder}.decode(output[0, inputs["input_ids"].shape[1] :]))
```

{loading}

## Decoding

{options}`steps` is the number of denoising steps (by default one for each token), `block_length` decodes in blocks from left to
right (by default one block), a `temperature` above 0 samples, and mask tokens in the prompt are filled as well.

{origin}
"""
PAPER = "[LLaDA](https://huggingface.co/papers/2502.09992)"
# Of the families that have a paper of their own, by `model_type`.
PAPERS = {
    "illada": "[iLLaDA](https://huggingface.co/papers/2606.25331)",
    "llada_moe": "[LLaDA-MoE](https://huggingface.co/papers/2509.24389)",
    "llada2": "[LLaDA2.0](https://huggingface.co/papers/2512.15745)",
    "llava_llada": "[LLaDA-V](https://huggingface.co/papers/2505.16933)",
}
MODEL = "A masked diffusion language model ({paper}) of {num_parameters:,} parameters,\nstored in {dtype}."
VISION_MODEL = """A masked diffusion language model that sees images ({paper}), of {num_parameters:,} parameters,
stored in {dtype}."""
ADAPTER = "An adapter ({kind}) of {num_parameters:,} parameters for a masked diffusion language model ({paper}){base}."
OPTIONS = """The options in `generation_config.json`, which arguments of `generate` override:

| option | value |
|---|---|
{rows}

"""
LOAD_MODEL = """from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({tokenizer}{trust})
model = AutoModel.from_pretrained("{name}", dtype="auto"{trust})"""
LOAD_VISION_MODEL = """from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained({tokenizer}{trust})
model = AutoModelForImageTextToText.from_pretrained("{name}", dtype="auto"{trust})"""
LOAD_ADAPTER = """import modeling_llada  # registers the classes
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoPeftModelForCausalLM.from_pretrained("{name}", dtype="auto")"""
LOAD_VISION_ADAPTER = """import modeling_llada  # registers the classes
from peft import PeftConfig, PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained({tokenizer})
base = PeftConfig.from_pretrained("{name}").base_model_name_or_path
model = AutoModelForImageTextToText.from_pretrained(base, dtype="auto")
model = PeftModel.from_pretrained(model, "{name}")"""

PLAIN_PROMPT = 'inputs = tokenizer("Once upon a time", return_tensors="pt")'
CHAT_PROMPT = """messages = [{"role": "user", "content": "Why is the sky blue?"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)"""
IMAGE_PROMPT = """content = [{"type": "image", "image": "picture.png"}, {"type": "text", "text": "What is in the picture?"}]
messages = [{"role": "user", "content": content}]
options = {"add_generation_prompt": True, "tokenize": True, "return_tensors": "pt", "return_dict": True}
inputs = processor.apply_chat_template(messages, **options)"""

LOADING = {
    "transformers": """`trust_remote_code=True` runs the Python files of this folder, on transformers 5.17 or newer. With the package
`modeling_llada` installed, `import modeling_llada` replaces it. `AutoModel`, `AutoModelForMaskedLM` and
`AutoModelForCausalLM` give the same mask predictor.""",
    "official": """The package `modeling_llada` reads this folder on transformers 5. The folder has no code of its own. The official model
code reads it too, and so do engines and converters that know `{architecture}`.""",
    "vision transformers": """`trust_remote_code=True` runs the Python files of this folder, on transformers 5.17 or newer. With the package
`modeling_llada` installed, `import modeling_llada` replaces it. A message may have several images, or none.""",
    "vision official": """The package `modeling_llada` reads this folder on transformers 5, and makes its processor. The folder has no code of its
own. The public code of LLaDA-V reads it too. A message may have several images, or none.""",
    "adapter": """The package `modeling_llada` has the classes of the base model. A pipeline takes the tokenizer and the chat template of the
base model, so give it those of the adapter: `pipeline("text-generation", model="{name}", tokenizer="{name}")`.
`llada export` merges the adapter into a whole checkpoint.""",
    "vision adapter": """The package `modeling_llada` has the classes of the base model. `llada export` merges the adapter into a whole
checkpoint. A message may have several images, or none.""",
}
FILES = {
    "transformers": """Made with `llada export`: config and weights with the field and parameter names of the official LLaDA checkpoints, the
code of the model, the options of `generate`, and {tokenizer}.""",
    "vision transformers": """Made with `llada export`: config, with the parameter names of the public LLaDA-V checkpoint, the code of the model and the
processor, the options of `generate`, and {tokenizer}.""",
    "vision official": """Made with `llada export --layout official`: config and weights as in the public LLaDA-V checkpoint, the options of
`generate`, and {tokenizer}.""",
    "official": """Made with `llada export --layout official`: config and weights as in the official LLaDA checkpoints, the options of
`generate`, and {tokenizer}.""",
}


def write_model_card(
    model: LLaDAForMaskedLM,
    tokenizer: PreTrainedTokenizerBase | None,
    name: str,
    layout: str,
    license: str | None = None,
    base_model: str | None = None,
) -> str:
    """
    The model card of an export: how to load the model, how to decode, and which files there are. `name` is the folder or
    Hub id that the card loads.
    """
    files = FILES[kind_of(model, layout)].format(tokenizer="no tokenizer" if tokenizer is None else "the tokenizer")
    metadata = {"tags": TAGS, "license": license, "base_model": base_model}
    return fill_card(model, tokenizer, name, layout, f"## Files\n\n{files}", metadata)


def fill_card(
    model: "LLaDAForMaskedLM | peft.PeftModel",  # noqa: F821
    tokenizer: PreTrainedTokenizerBase | None,
    name: str,
    layout: str,
    origin: str,
    metadata: dict,
    title: str | None = None,
) -> str:
    """A model card. The layout of a folder may also be `"adapter"`. `origin` is a section on where the files come from."""
    kind = kind_of(model, layout)
    is_adapter = layout == "adapter"
    what, library = (describe_adapter(model), "peft") if is_adapter else (describe_model(model), "transformers")
    task = "image-text-to-text" if kind.startswith("vision") else "text-generation"
    front_matter = ModelCardData(library_name=library, pipeline_tag=task, **metadata)
    has_chat = tokenizer is not None and tokenizer.chat_template is not None
    imports = "import modeling_llada  # registers the classes\n" if layout == "official" else ""
    load, prompt = imports + LOAD_MODEL, CHAT_PROMPT if has_chat else PLAIN_PROMPT
    if kind == "adapter":
        load = LOAD_ADAPTER
    elif kind == "vision adapter":
        load, prompt = LOAD_VISION_ADAPTER, IMAGE_PROMPT
    elif kind.startswith("vision"):
        load, prompt = imports + LOAD_VISION_MODEL, IMAGE_PROMPT
    return CARD.format(
        front_matter=front_matter.to_yaml(),
        title=title or name.rsplit("/", maxsplit=1)[-1],
        what=what,
        load=load.format(
            name=name,
            tokenizer='"..."' if tokenizer is None else f'"{name}"',
            trust=", trust_remote_code=True" if layout == "transformers" else "",
        ),
        prompt=prompt,
        decoder="processor" if kind.startswith("vision") else "tokenizer",
        loading=LOADING[kind].format(name=name, architecture=model.config.official_architecture),
        options="" if is_adapter else describe_options(model),
        origin=origin,
    )


def kind_of(model: "LLaDAForMaskedLM | peft.PeftModel", layout: str) -> str:  # noqa: F821
    """Which of the texts a card has: those of the layout, for a model that sees images or for one that does not."""
    return f"vision {layout}" if model.config.model_type == "llava_llada" else layout


def describe_model(model: LLaDAForMaskedLM) -> str:
    """What the checkpoint is."""
    text = VISION_MODEL if model.config.model_type == "llava_llada" else MODEL
    dtype = str(model.dtype).removeprefix("torch.")
    return text.format(paper=paper_of(model), num_parameters=model.num_parameters(), dtype=dtype)


def paper_of(model: "LLaDAForMaskedLM | peft.PeftModel") -> str:  # noqa: F821
    """The paper of the family, as a link."""
    return PAPERS.get(model.config.model_type, PAPER)


def describe_adapter(model: "peft.PeftModel") -> str:  # noqa: F821
    """What the adapter is, and which model it belongs to."""
    base = model.get_base_model().config._name_or_path
    return ADAPTER.format(
        kind=model.active_peft_config.peft_type.value,
        num_parameters=model.get_nb_trainable_parameters()[0],
        paper=paper_of(model),
        base=f",\n{Path(base).name}" if base else "",
    )


def describe_options(model: LLaDAForMaskedLM) -> str:
    """The decoding options that are saved with the model."""
    options = {
        field: value for field, value in model.generation_config.to_diff_dict().items() if field not in NOT_OPTIONS
    }
    rows = "\n".join(f"| `{field}` | `{value}` |" for field, value in options.items())
    return OPTIONS.format(rows=rows) if rows else ""
