# Copyright 2026 The modeling_llada authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""PyTorch iLLaDA model: the network of LLaDA with the parameter names of Llama on disk, too, and with the rotary embedding in
the dtype of the model."""

from .configuration_illada import ILLaDAConfig
from .modeling_llada import LLaDAForMaskedLM, LLaDAModel


class ILLaDAModel(LLaDAModel):
    """
    The backbone: token embedding, Transformer layers and final norm, without the output head.

    Args:
        config ([`ILLaDAConfig`]):
            The configuration.
    """

    config: ILLaDAConfig
    config_class = ILLaDAConfig
    stores_own_names = True


class ILLaDAForMaskedLM(LLaDAForMaskedLM):
    """
    The mask predictor: the backbone with an output head, which predicts all mask tokens of a sequence at once.

    Args:
        config ([`ILLaDAConfig`]):
            The configuration.

    Example:

    ```python
    >>> import modeling_llada  # registers the classes
    >>> from transformers import AutoModelForMaskedLM

    >>> model = AutoModelForMaskedLM.from_pretrained("iLLaDA-8B-Instruct", dtype="bfloat16")
    ```
    """

    config: ILLaDAConfig
    config_class = ILLaDAConfig
    backbone_class = ILLaDAModel
    stores_own_names = True


# `save_pretrained` copies the files of registered classes, and all that they import, into the saved folder.
ILLaDAConfig.register_for_auto_class()
ILLaDAModel.register_for_auto_class("AutoModel")
ILLaDAForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")


__all__ = ["ILLaDAForMaskedLM", "ILLaDAModel"]
