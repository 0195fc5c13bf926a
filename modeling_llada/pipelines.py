# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text-generation pipeline, which shows what LLaDA wrote inside the prompt as well."""

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.text_generation import ReturnType, TextGenerationPipeline

from .completion import completion_text, typed_and_written
from .models.configuration_llada import LLaDAConfig


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


def register_pipeline() -> None:
    """Lets `pipeline("text-generation", ...)` of transformers choose the class above."""
    PIPELINE_REGISTRY.supported_tasks["text-generation"]["impl"] = LLaDATextGenerationPipeline
