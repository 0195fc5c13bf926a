# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The model card of an exported folder."""

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

A masked diffusion language model ([LLaDA](https://huggingface.co/papers/2502.09992)) of {num_parameters:,} parameters,
stored in {dtype}. It does not write from left to right: it starts from a canvas of mask tokens and fills it in steps.

## Load

```python
{imports}

tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoModel.from_pretrained("{name}", dtype="auto"{trust})

{prompt}
output = model.generate(**inputs)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))
```

{loading}

## Decoding

The options in `generation_config.json`, which arguments of `generate` override:

| option | value |
|---|---|
{options}

`steps` is the number of denoising steps (by default one for each token), `block_length` decodes in blocks from left to
right (by default one block), a `temperature` above 0 samples, and mask tokens in the prompt are filled as well.

## Files

{files}
"""

PLAIN_PROMPT = 'inputs = tokenizer("Once upon a time", return_tensors="pt")'
CHAT_PROMPT = """messages = [{"role": "user", "content": "Why is the sky blue?"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)"""

LOADING = {
    "transformers": """`trust_remote_code=True` runs the `*_llada.py` files of this folder, on transformers 5.17 or newer. With the package
`modeling_llada` installed, `import modeling_llada` replaces it. `AutoModel`, `AutoModelForMaskedLM` and
`AutoModelForCausalLM` give the same mask predictor.""",
    "official": """The package `modeling_llada` reads this folder on transformers 5. The folder has no code of its own. The official model
code reads it too, and so do engines and converters that know `LLaDAModelLM`.""",
}
FILES = {
    "transformers": """Made with `llada export`: config and weights with the field and parameter names of the official LLaDA checkpoints, the
code of the model (`*_llada.py`), the options of `generate`, and {tokenizer}.""",
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
    The model card: how to load the model, how to decode, and which files there are. `name` is the folder or Hub id
    that the card loads.
    """
    front_matter = ModelCardData(
        library_name="transformers", pipeline_tag="text-generation", tags=TAGS, license=license, base_model=base_model
    )
    imports = "from transformers import AutoModel, AutoTokenizer"
    if layout == "official":
        imports = f"import modeling_llada  # registers the classes\n{imports}"
    options = {
        field: value for field, value in model.generation_config.to_diff_dict().items() if field not in NOT_OPTIONS
    }
    has_chat = tokenizer is not None and tokenizer.chat_template is not None
    trust = ", trust_remote_code=True" if layout == "transformers" else ""
    return CARD.format(
        front_matter=front_matter.to_yaml(),
        title=name.rsplit("/", maxsplit=1)[-1],
        name=name,
        num_parameters=model.num_parameters(),
        dtype=str(model.dtype).removeprefix("torch."),
        imports=imports,
        tokenizer='"..."' if tokenizer is None else f'"{name}"{trust}',
        trust=trust,
        prompt=CHAT_PROMPT if has_chat else PLAIN_PROMPT,
        loading=LOADING[layout],
        options="\n".join(f"| `{field}` | `{value}` |" for field, value in options.items()),
        files=FILES[layout].format(tokenizer="no tokenizer" if tokenizer is None else "the tokenizer"),
    )
