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
"""The options of the reverse process."""

import math
import sys
from numbers import Integral, Real

import torch
from transformers import CompileConfig, GenerationConfig
from transformers.utils import logging


logger = logging.get_logger(__name__)

FLAGS = (
    "do_sample",
    "logits_eos_inf",
    "confidence_eos_eot_inf",
    "stop_at_eos",
    "return_dict_in_generate",
    "output_trajectory",
    "disable_compile",
)
REMASKING_STRATEGIES = ("low_confidence", "random", "margin", "entropy")
BLOCK_CACHES = ("prefix", "dual", "vicinity")
PARALLEL_RULES = ("confidence_threshold", "confidence_factor", "entropy_bound")
# Options that refine another one, and mean nothing without it.
REFINEMENTS = {"leap_threshold": "confidence_threshold", "cache_refresh_interval": "block_cache"}

DEFAULTS = {
    "max_new_tokens": 128,
    "cfg_scale": 0.0,
    "remasking": "low_confidence",
    "leap_radius": 4,
    "logits_eos_inf": False,
    "confidence_eos_eot_inf": False,
    "stop_at_eos": True,
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "output_trajectory": False,
}

# Fields of a plain `GenerationConfig` that we do not have: the values at which they change nothing for us. Others that
# are `None` or at the library's own default pass too.
NEUTRAL_VALUES = {
    "top_k": (0,),
    "top_p": (1.0,),
    "min_p": (0.0,),
    "guidance_scale": (1.0,),
    "max_length": (20,),
    "use_cache": (True, False),
    "output_attentions": (False,),
    "output_hidden_states": (False,),
    "output_logits": (False,),
    "renormalize_logits": (False,),
    "min_new_tokens": (0,),
}
METADATA = ("transformers_version", "_from_model_config", "_commit_hash", "_original_object_hash")


class LLaDAGenerationConfig(GenerationConfig):
    r"""
    The options of [`~LLaDAForMaskedLM.generate`]. Option names are those of the official `generate.py`, whose
    `gen_length` is `max_new_tokens` here. An option that is `None` is unset: `generate` then looks in the model's own
    generation config, and at last at the default given here.

    Args:
        max_new_tokens (`int`, *optional*, defaults to 128):
            Number of mask tokens after the prompt: the length of the answer. 0 only fills the masks in the prompt.
        steps (`int`, *optional*):
            Denoising steps of the whole call, split over the blocks. By default one for each mask token.
        block_length (`int`, *optional*):
            Length of the blocks that are decoded from left to right (semi-autoregressive). Need not divide
            `max_new_tokens`. By default the answer is one block (pure diffusion).
        temperature (`float`, *optional*, defaults to 0.0):
            Temperature of the Gumbel-max sampling. 0 takes the most probable token.
        do_sample (`bool`, *optional*):
            `False` takes the most probable token whatever the temperature. By default it follows from
            `temperature > 0`; `True` without a temperature means temperature 1.
        cfg_scale (`float`, *optional*, defaults to 0.0):
            Scale `w` of the unsupervised classifier-free guidance (eq. 16 of the paper).
        remasking (`str`, *optional*, defaults to `"low_confidence"`):
            Which predictions stay masked: those of low probability (`"low_confidence"`), `"random"` ones, those with
            the smallest `"margin"` between the two best tokens, or those of the highest `"entropy"`.
        confidence_threshold (`float`, *optional*):
            Parallel decoding: commit every mask whose probability is at least this, in [0, 1].
        leap_threshold (`float`, *optional*):
            Parallel decoding: also commit the masks near one that reaches `confidence_threshold` whose own probability is
            at least this, which has to be below that threshold (LocalLeap; published: 0.75 beside 0.9).
        leap_radius (`int`, *optional*, defaults to 4):
            How many positions away `leap_threshold` reaches, within the active block.
        confidence_factor (`float`, *optional*):
            Parallel decoding: commit `n` masks as long as `(n + 1) (1 - confidence) <= factor`.
        entropy_bound (`float`, *optional*):
            Parallel decoding: commit the masks whose joint entropy (nats) is bounded by this.
        draft_steps (`int`, *optional*):
            Lossless parallel decoding: guess this many denoising steps ahead and verify them in one forward pass, on as
            many canvases; at least 2 (FreeDave; published: 4). The tokens are those without it.
        block_cache (`str`, *optional*):
            Which positions a step recomputes; the keys and values of the others are as old as the last refresh. The
            active block (`"dual"`), the block and what follows it (`"prefix"`), or the block and 16 positions on both
            sides (`"vicinity"`). By default all of them, which is exact.
        cache_refresh_interval (`int`, *optional*):
            Steps between two refreshes inside a block. By default there is one at the start of each block; 1 is exact.
        suffix_window (`int`, *optional*):
            How many positions behind the active block the model sees. By default all of the canvas.
        logits_eos_inf (`bool`, *optional*, defaults to `False`):
            Never propose EOS (appendix B.4 of the paper).
        confidence_eos_eot_inf (`bool`, *optional*, defaults to `False`):
            Commit EOS and EoT last: their confidence is the lowest (appendix B.4). Without effect on random remasking.
        stop_at_eos (`bool`, *optional*, defaults to `True`):
            End a row at the end of the block that holds its first EOS, and pad what follows that EOS.
        num_return_sequences (`int`, *optional*, defaults to 1):
            Completions for each prompt.
        return_dict_in_generate (`bool`, *optional*, defaults to `False`):
            Return a [`LLaDAGenerationOutput`] instead of the token ids.
        output_trajectory (`bool`, *optional*, defaults to `False`):
            Also return the step and the confidence with which each token was committed.
        disable_compile (`bool`, *optional*):
            Do not record the steps as CUDA graphs, which is the default on CUDA devices where it is possible.
        compile_config (`CompileConfig`, *optional*):
            How `torch.compile` compiles the small operations of a recorded step. With it static shapes are used on other
            devices too. Not saved.
        bos_token_id, pad_token_id, mask_token_id (`int`, *optional*):
            Special tokens; by default those of the model's config.
        eos_token_id, eot_token_id (`int` or `list[int]`, *optional*):
            The tokens that end a completion and a turn; by default those of the model's config.

    Raises:
        `ValueError`: for an unknown option, a value outside its range, or options that contradict each other, such as
            two parallel rules.

    Example:

    ```python
    >>> from modeling_llada import LLaDAGenerationConfig

    >>> config = LLaDAGenerationConfig(max_new_tokens=64, steps=32, block_length=32)
    ```
    """

    def __init__(self, **kwargs):
        # The parent's `__init__` is not called: it would set about fifty autoregressive options that mean nothing here.
        self.max_new_tokens = kwargs.pop("max_new_tokens", None)
        self.steps = kwargs.pop("steps", None)
        self.block_length = kwargs.pop("block_length", None)
        self.temperature = kwargs.pop("temperature", None)
        self.do_sample = kwargs.pop("do_sample", None)
        self.cfg_scale = kwargs.pop("cfg_scale", None)
        self.remasking = kwargs.pop("remasking", None)
        self.confidence_threshold = kwargs.pop("confidence_threshold", None)
        self.leap_threshold = kwargs.pop("leap_threshold", None)
        self.leap_radius = kwargs.pop("leap_radius", None)
        self.confidence_factor = kwargs.pop("confidence_factor", None)
        self.entropy_bound = kwargs.pop("entropy_bound", None)
        self.draft_steps = kwargs.pop("draft_steps", None)
        self.block_cache = kwargs.pop("block_cache", None)
        self.cache_refresh_interval = kwargs.pop("cache_refresh_interval", None)
        self.suffix_window = kwargs.pop("suffix_window", None)
        self.logits_eos_inf = kwargs.pop("logits_eos_inf", None)
        self.confidence_eos_eot_inf = kwargs.pop("confidence_eos_eot_inf", None)
        self.stop_at_eos = kwargs.pop("stop_at_eos", None)
        self.num_return_sequences = kwargs.pop("num_return_sequences", None)
        self.return_dict_in_generate = kwargs.pop("return_dict_in_generate", None)
        self.output_trajectory = kwargs.pop("output_trajectory", None)
        self.disable_compile = kwargs.pop("disable_compile", None)
        self.compile_config = kwargs.pop("compile_config", None)

        self.bos_token_id = kwargs.pop("bos_token_id", None)
        self.pad_token_id = kwargs.pop("pad_token_id", None)
        self.mask_token_id = kwargs.pop("mask_token_id", None)
        self.eos_token_id = kwargs.pop("eos_token_id", None)
        self.eot_token_id = kwargs.pop("eot_token_id", None)

        self.transformers_version = kwargs.pop("transformers_version", None)
        self._from_model_config = kwargs.pop("_from_model_config", None)
        self._commit_hash = kwargs.pop("_commit_hash", None)
        kwargs.pop("_original_object_hash", None)  # of the config that was loaded, which this one need not equal

        if kwargs:
            raise ValueError(
                f"The following options are not used by the model: {sorted(kwargs)}. See `LLaDAGenerationConfig` for "
                "those that are; top-k, top-p, penalties and the like go through `logits_processor`."
            )
        self.validate()

    def validate(self, **kwargs):
        """Checks each option by itself and the options against each other. `None` is unset, and always valid."""
        check_integer("max_new_tokens", self.max_new_tokens, minimum=0)
        check_integer("steps", self.steps, minimum=1)
        check_integer("block_length", self.block_length, minimum=1)
        check_integer("num_return_sequences", self.num_return_sequences, minimum=1)
        check_integer("cache_refresh_interval", self.cache_refresh_interval, minimum=1)
        check_integer("draft_steps", self.draft_steps, minimum=2)
        check_integer("suffix_window", self.suffix_window, minimum=0)
        check_number("temperature", self.temperature, minimum=0.0)
        check_number("cfg_scale", self.cfg_scale, minimum=0.0)
        check_number("confidence_threshold", self.confidence_threshold, minimum=0.0, maximum=1.0)
        check_number("leap_threshold", self.leap_threshold, minimum=0.0, maximum=1.0)
        check_integer("leap_radius", self.leap_radius, minimum=1)
        check_number("confidence_factor", self.confidence_factor, minimum=0.0)
        check_number("entropy_bound", self.entropy_bound, minimum=0.0)
        for name in FLAGS:
            if not isinstance(getattr(self, name), bool | None):
                raise ValueError(f"`{name}` must be `True` or `False`, but got {getattr(self, name)!r}.")
        for name in ("bos_token_id", "pad_token_id", "mask_token_id"):
            check_integer(name, getattr(self, name), minimum=0)
        for name in ("eos_token_id", "eot_token_id"):
            check_token_ids(name, getattr(self, name))
        if self.remasking is not None and self.remasking not in REMASKING_STRATEGIES:
            raise ValueError(
                f"`remasking` must be one of {', '.join(REMASKING_STRATEGIES)}, or a callable given to `generate`, but "
                f"got {self.remasking!r}."
            )
        if self.block_cache is not None and self.block_cache not in BLOCK_CACHES:
            raise ValueError(f"`block_cache` must be one of {', '.join(BLOCK_CACHES)}, but got {self.block_cache!r}.")
        if self.compile_config is not None and not isinstance(self.compile_config, CompileConfig):
            raise ValueError(
                f"`compile_config` must be a `transformers.CompileConfig`, but got {self.compile_config!r}. "
                "`CompileConfig()` has its defaults."
            )
        rules = [name for name in PARALLEL_RULES if getattr(self, name) is not None]
        if len(rules) > 1:
            raise ValueError(
                f"At most one of {', '.join(f'`{name}`' for name in PARALLEL_RULES)} can be set, but got "
                f"{', '.join(f'{name}={getattr(self, name)}' for name in rules)}. Set the others to `None`."
            )
        is_leap = self.leap_threshold is not None and self.confidence_threshold is not None
        if is_leap and self.leap_threshold >= self.confidence_threshold:
            raise ValueError(
                f"`leap_threshold` must be below `confidence_threshold`, but got {self.leap_threshold} and "
                f"{self.confidence_threshold}. Lower it, or set it to `None`."
            )
        if self.do_sample and self.temperature == 0:
            raise ValueError(
                "`do_sample=True` needs a `temperature` above 0, but got 0. Leave `do_sample` out: it follows from the "
                "temperature."
            )

    def check_combinations(self) -> None:
        """
        Checks that no option refines one that is unset, and that drafts can be right. `validate` cannot: another layer of
        options may set or reset them.
        """
        for name, refined in REFINEMENTS.items():
            if getattr(self, name) is not None and getattr(self, refined) is None:
                raise ValueError(
                    f"`{name}` refines `{refined}`, which is not set, but got {name}={getattr(self, name)}. Set "
                    f"`{refined}` as well, or `{name}=None`."
                )
        if self.draft_steps is None:
            return
        if self.sampling_temperature > 0 or self.remasking == "random":
            raise ValueError(
                f"`draft_steps` guesses the next steps, which cannot be guessed where they are random, but got draft_steps="
                f"{self.draft_steps} with temperature={self.sampling_temperature} and remasking={self.remasking!r}. Set "
                "the temperature to 0 and another remasking, or `draft_steps=None`."
            )
        if self.cache_refresh_interval is not None:
            raise ValueError(
                "`draft_steps` and `cache_refresh_interval` do not go together: the rows of a batch come to a refresh in "
                f"different forward passes. Got {self.draft_steps} and {self.cache_refresh_interval}; set one of them to "
                "`None`."
            )

    @property
    def sampling_temperature(self) -> float:
        """The temperature of the Gumbel-max sampling, after `do_sample` had its say."""
        if self.do_sample is False:
            return 0.0
        if self.do_sample and self.temperature is None:
            return 1.0
        return float(self.temperature or 0.0)

    @staticmethod
    def _get_default_generation_params() -> dict:
        return dict(DEFAULTS)

    @classmethod
    def from_model_config(cls, model_config, **kwargs) -> "LLaDAGenerationConfig":
        """The options that a model's config implies: its special tokens."""
        names = ("bos_token_id", "pad_token_id", "mask_token_id", "eos_token_id", "eot_token_id")
        return cls(**{name: getattr(model_config, name, None) for name in names}, _from_model_config=True)

    @classmethod
    def from_generation_config(cls, config: GenerationConfig, strict: bool = True) -> "LLaDAGenerationConfig":
        """
        Reads a plain `GenerationConfig`, as pipelines, TRL and older checkpoints have it.

        Args:
            config (`GenerationConfig`):
                The config; options of ours may be among its extra attributes.
            strict (`bool`, *optional*, defaults to `True`):
                Whether an option that we do not have raises. Otherwise it is dropped with a warning.

        Raises:
            `ValueError`: if an option that we do not have is set to another than its neutral value.
        """
        if isinstance(config, cls):
            return config
        known, foreign = {}, {}
        names = vars(cls())
        for name, value in vars(config).items():
            if name in names and name not in METADATA:
                known[name] = value
            elif name not in METADATA and not is_neutral(name, value):
                foreign[name] = value
        if foreign and strict:
            raise ValueError(
                f"`generation_config` sets options that LLaDA does not have: {foreign}. Unset them; top-k, top-p, "
                "penalties and the like can be passed as a `logits_processor`, guidance as `cfg_scale`."
            )
        if foreign:
            logger.warning(f"Options of generation_config.json that LLaDA does not have are left out: {foreign}.")
        return cls(**known)

    def to_diff_dict(self) -> dict:
        """What generation_config.json holds: the options that are set."""
        config_dict = {name: value for name, value in self.to_dict().items() if value is not None}
        # With this mark in the file, the library would drop the options that it does not have itself.
        config_dict.pop("_from_model_config", None)
        # Always written: text-generation pipelines fill in their own values where these two are absent.
        config_dict["do_sample"] = self.sampling_temperature > 0
        config_dict.setdefault("max_new_tokens", DEFAULTS["max_new_tokens"])
        return config_dict


def as_tensor(token_ids: int | list[int] | None, device: torch.device) -> torch.LongTensor | None:
    """One or several token ids as a 1-D tensor."""
    if token_ids is None:
        return None
    return torch.tensor([token_ids] if isinstance(token_ids, Integral) else list(token_ids), device=device)


def is_neutral(name: str, value) -> bool:
    """Whether an option that we do not have is at a value that changes nothing."""
    if value is None or value in NEUTRAL_VALUES.get(name, ()):
        return True
    library_defaults = GenerationConfig._get_default_generation_params()
    return name not in NEUTRAL_VALUES and name in library_defaults and value == library_defaults[name]


def check_integer(name: str, value, minimum: int) -> None:
    if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value < minimum):
        raise ValueError(f"`{name}` must be an integer of at least {minimum}, but got {value!r}.")


def check_number(name: str, value, minimum: float, maximum: float = float("inf")) -> None:
    # Not `math.isfinite`, which fails on an integer beyond the floats.
    is_number = isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if value is not None and not (is_number and minimum <= value <= maximum):
        bounds = f"of at least {minimum}" if math.isinf(maximum) else f"in [{minimum}, {maximum}]"
        raise ValueError(f"`{name}` must be a finite number {bounds}, but got {value!r}.")


def check_token_ids(name: str, value) -> None:
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError(
                f"`{name}` must be an id or a list of ids, but the list is empty. Use `None` for no token."
            )
        for token_id in value:
            check_integer(name, token_id, minimum=0)
    else:
        check_integer(name, value, minimum=0)


__all__ = ["LLaDAGenerationConfig"]
