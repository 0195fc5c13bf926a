# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The pipelines of transformers, adapted: what LLaDA wrote inside a prompt is shown, and all its decoding options are taken."""

from typing import Any

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.image_text_to_text import ImageTextToTextPipeline
from transformers.pipelines.text_generation import ReturnType, TextGenerationPipeline

from .completion import completion_text, typed_and_written
from .models.configuration_llada import LLaDAConfig
from .models.options_llada import OPTIONS


# Arguments of `generate` that the pipeline of transformers would take for options of the processor.
GENERATE_ARGUMENTS = {option.name for option in OPTIONS} - {"max_new_tokens"} | {
    "constraint",
    "generation_config",
    "generator",
    "logits_processor",
    "stopping_criteria",
    "streamer",
}


class LLaDATextGenerationPipeline(TextGenerationPipeline):
    """
    The pipeline of transformers, but for the text of LLaDA models: masks in the prompt are filled in it, and prompt and
    completion are decoded together. With any other model it is the pipeline of transformers.
    """

    def postprocess(self, model_outputs: dict, return_type: ReturnType = ReturnType.FULL_TEXT, **kwargs) -> list[dict]:
        """Makes a dictionary of each sequence."""
        records = super().postprocess(model_outputs, return_type, **kwargs)
        prompt, input_ids = model_outputs["prompt_text"], model_outputs["input_ids"]
        is_ours = isinstance(self.model.config, LLaDAConfig) and kwargs.get("skip_special_tokens") in (None, True)
        if not is_ours or not isinstance(prompt, str) or return_type is ReturnType.TENSORS:
            return records
        typed = self.tokenizer(prompt)["input_ids"]
        padding = input_ids.shape[-1] - len(typed)
        if input_ids[0, max(padding, 0) :].tolist() != typed:  # the pipeline cut the prompt, or put something in front
            return records
        for record, tokens in zip(records, model_outputs["generated_sequence"][0].tolist(), strict=True):
            if return_type is ReturnType.NEW_TEXT:
                record["generated_text"] = completion_text(self.tokenizer, tokens, input_ids.shape[-1])
            else:
                pieces = typed_and_written(self.tokenizer, prompt, tokens[padding:], self.model.config.mask_token_id)
                record["generated_text"] = "".join(text for text, _ in pieces)
        return records


class LLaDAImageTextToTextPipeline(ImageTextToTextPipeline):
    """
    The pipeline of transformers, but with a LLaDA model it takes decoding options such as `steps` beside `max_new_tokens`, which
    otherwise have to be in `generate_kwargs`. With any other model it is the pipeline of transformers.
    """

    def _sanitize_parameters(self, generate_kwargs: dict[str, Any] | None = None, **kwargs) -> tuple[dict, dict, dict]:
        if isinstance(self.model.config, LLaDAConfig):
            options = {name: kwargs.pop(name) for name in list(kwargs) if name in GENERATE_ARGUMENTS}
            if twice := sorted(options.keys() & (generate_kwargs or {}).keys()):
                raise ValueError(
                    f"`{twice[0]}` is given twice, as an argument and in `generate_kwargs`. Leave one of them out."
                )
            generate_kwargs = options | (generate_kwargs or {}) or None
        return super()._sanitize_parameters(generate_kwargs=generate_kwargs, **kwargs)

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *args: Any) -> Any:
        """Goes through the inputs. The pipeline of transformers would join images of different shapes wrongly or not at all."""
        if batch_size > 1 and isinstance(self.model.config, LLaDAConfig):
            raise ValueError(
                f"`batch_size` must be 1 in a pipeline with images, but got {batch_size}. For a batch, give the messages to "
                "`processor.apply_chat_template` and what it returns to `model.generate`."
            )
        return super().get_iterator(inputs, num_workers, batch_size, *args)


def register_pipelines() -> None:
    """Lets `pipeline("text-generation", ...)` and `pipeline("image-text-to-text", ...)` of transformers choose these classes."""
    PIPELINE_REGISTRY.supported_tasks["text-generation"]["impl"] = LLaDATextGenerationPipeline
    PIPELINE_REGISTRY.supported_tasks["image-text-to-text"]["impl"] = LLaDAImageTextToTextPipeline
