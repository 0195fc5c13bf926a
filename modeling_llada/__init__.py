# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA (Large Language Diffusion Models) for the Hugging Face stack.

Importing the package registers its classes with the Auto classes of transformers. They take precedence over the remote
code of a checkpoint:

```python
>>> import modeling_llada
>>> from transformers import AutoModel
>>> model = AutoModel.from_pretrained("GSAI-ML/LLaDA-8B-Instruct")
```
"""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoProcessor,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# `transformers.AutoImageProcessor` of older releases is a placeholder without torchvision, which is not needed here.
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from .constraints import Constraint
from .models.configuration_illada import ILLaDAConfig
from .models.configuration_llada import LLaDAConfig
from .models.configuration_llada2_moe import LLaDA2MoeConfig
from .models.configuration_llada_moe import LLaDAMoeConfig
from .models.configuration_llada_v import LLaDAVConfig
from .models.families_llada import LLADA2_MODEL_TYPES
from .models.generation_config_llada import LLaDAGenerationConfig
from .models.generation_llada import LLaDAGenerationMixin, LLaDAGenerationOutput
from .models.image_processing_llada_v import LLaDAVImageProcessor
from .models.modeling_illada import ILLaDAForMaskedLM, ILLaDAModel
from .models.modeling_llada import LLaDAForMaskedLM, LLaDAModel, LLaDAPreTrainedModel
from .models.modeling_llada2_moe import LLaDA2MoeForMaskedLM, LLaDA2MoeModel
from .models.modeling_llada_moe import LLaDAMoeForMaskedLM, LLaDAMoeModel
from .models.modeling_llada_v import LLaDAVForConditionalGeneration, LLaDAVModel
from .models.processing_llada_v import LLaDAVProcessor
from .pipelines import register_pipelines


# A config.json of LLaDA-MoE also has the `model_type` of the dense models: `families_llada.py` tells the families apart.
for model_class, backbone_class in (
    (LLaDAForMaskedLM, LLaDAModel),
    (ILLaDAForMaskedLM, ILLaDAModel),
    (LLaDAMoeForMaskedLM, LLaDAMoeModel),
    (LLaDA2MoeForMaskedLM, LLaDA2MoeModel),
):
    config_class = model_class.config_class
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    # The mask predictor comes first, because scripts for the official checkpoints expect logits from `AutoModel`. A saved
    # backbone still loads as a backbone, because its config.json names that class.
    AutoModel.register(config_class, (model_class, backbone_class), exist_ok=True)
    AutoModelForMaskedLM.register(config_class, model_class, exist_ok=True)
    AutoModelForCausalLM.register(config_class, model_class, exist_ok=True)
for model_type in LLADA2_MODEL_TYPES:  # `AutoConfig.register` takes that of the class alone
    CONFIG_MAPPING.register(model_type, LLaDA2MoeConfig, exist_ok=True)
AutoConfig.register("llava_llada", LLaDAVConfig, exist_ok=True)
AutoModel.register(LLaDAVConfig, (LLaDAVForConditionalGeneration, LLaDAVModel), exist_ok=True)
AutoModelForMaskedLM.register(LLaDAVConfig, LLaDAVForConditionalGeneration, exist_ok=True)
AutoModelForCausalLM.register(LLaDAVConfig, LLaDAVForConditionalGeneration, exist_ok=True)
AutoModelForImageTextToText.register(LLaDAVConfig, LLaDAVForConditionalGeneration, exist_ok=True)
AutoImageProcessor.register(LLaDAVConfig, image_processor_classes={"pil": LLaDAVImageProcessor}, exist_ok=True)
AutoProcessor.register(LLaDAVConfig, LLaDAVProcessor, exist_ok=True)
register_pipelines()

__all__ = [
    "Constraint",
    "ILLaDAConfig",
    "ILLaDAForMaskedLM",
    "ILLaDAModel",
    "LLaDA2MoeConfig",
    "LLaDA2MoeForMaskedLM",
    "LLaDA2MoeModel",
    "LLaDAConfig",
    "LLaDAForMaskedLM",
    "LLaDAGenerationConfig",
    "LLaDAGenerationMixin",
    "LLaDAGenerationOutput",
    "LLaDAModel",
    "LLaDAMoeConfig",
    "LLaDAMoeForMaskedLM",
    "LLaDAMoeModel",
    "LLaDAPreTrainedModel",
    "LLaDAVConfig",
    "LLaDAVForConditionalGeneration",
    "LLaDAVImageProcessor",
    "LLaDAVModel",
    "LLaDAVProcessor",
]
