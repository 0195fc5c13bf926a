from transformers import GenerationConfig


class LLaDAGenerationConfig(GenerationConfig):
    pass


class LLaDAGenerationMixin:
    pass
