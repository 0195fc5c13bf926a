# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The options of a call of `generate`: how they are read, checked, completed and saved."""

import textwrap
from numbers import Integral

import torch
from transformers import CompileConfig, GenerationConfig
from transformers.utils import logging

from .foreign_options_llada import explain, is_neutral
from .options_llada import DEFAULTS, EXCLUSIONS, OPTIONS, PARALLEL_RULES, SPECIAL_TOKENS, Option


logger = logging.get_logger(__name__)

METADATA = ("transformers_version", "_from_model_config", "_commit_hash", "_original_object_hash")
TYPES = {
    "int": "`int`",
    "float": "`float`",
    "bool": "`bool`",
    "choice": "`str`",
    "token": "`int`",
    "tokens": "`int` or `list[int]`",
    "strings": "`str` or `list[str]`",
}


def describe(option: Option) -> str:
    """An option as the docstring of [`LLaDAGenerationConfig`] has it."""
    default = f'"{option.default}"' if option.kind == "choice" else option.default
    default = "" if option.default is None else f", defaults to `{default}`"
    kind = TYPES.get(option.kind, f"`{option.kind}`")
    text = option.help
    if option.choices:
        choices = ", ".join(f'`"{choice}"`' for choice in option.choices)
        text += f" One of {choices}{f', or {option.also}' if option.also else ''}."
    if option.default is None and option.unset != "off":
        text += f" By default: {option.unset}."
    wrapped = textwrap.fill(text, width=119, initial_indent=" " * 12, subsequent_indent=" " * 12)
    return f"        {option.name} ({kind}, *optional*{default}):\n{wrapped}"


def with_options(cls: type) -> type:
    """Writes the options into the docstring of a class."""
    if cls.__doc__ is not None:  # `python -OO` drops docstrings
        cls.__doc__ = cls.__doc__.replace("        {options}", "\n".join(map(describe, OPTIONS)))
    return cls


@with_options
class LLaDAGenerationConfig(GenerationConfig):
    r"""
    The options of [`~LLaDAForMaskedLM.generate`], which are those of the table in `options_llada.py`. Names are those of
    the official `generate.py`, whose `gen_length` is `max_new_tokens` here. An option that is `None` is unset: `generate`
    then takes the value of the model's own generation config, or else the default given here.

    Args:
        {options}

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
        for option in OPTIONS:
            setattr(self, option.name, kwargs.pop(option.name, None))
        self.transformers_version = kwargs.pop("transformers_version", None)
        self._from_model_config = kwargs.pop("_from_model_config", None)
        self._commit_hash = kwargs.pop("_commit_hash", None)
        kwargs.pop("_original_object_hash", None)  # a loaded config may differ from the file

        foreign = {name: value for name, value in kwargs.items() if not is_neutral(name, value)}
        if foreign:
            raise ValueError(f"The following options are not used by the model: {explain(foreign)}")
        self.validate()

    def validate(self, **kwargs):
        """Checks each option by itself and the options against each other. `None` is unset, and always valid."""
        for option in OPTIONS:
            option.check(getattr(self, option.name))
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
        for option in OPTIONS:
            self._check_below(option)
        if self.do_sample and self.temperature == 0:
            raise ValueError(
                "`do_sample=True` needs a `temperature` above 0, but got 0. Leave `do_sample` out: it follows from the "
                "temperature."
            )

    def check_combinations(self) -> None:
        """
        Checks what options need of each other and exclude. Unlike `validate`, it is called on the options of a whole call:
        one layer of options may set what another one refines.
        """
        for option in OPTIONS:
            value = getattr(self, option.name)
            if option.is_set(value) and option.refines is not None and getattr(self, option.refines) is None:
                raise ValueError(
                    f"`{option.name}` refines `{option.refines}`, which is not set, but got {option.name}={value}. Set "
                    f"`{option.refines}` as well, or `{option.name}=None`."
                )
        for first, second, reason in EXCLUSIONS:
            values = getattr(self, first), getattr(self, second)
            if None not in values:
                raise ValueError(
                    f"`{first}` and `{second}` do not go together: {reason}. Got {values[0]} and {values[1]}; set one of "
                    "them to `None`."
                )
        if self.sampling_limits and self.sampling_temperature == 0:
            logger.warning_once(
                "At temperature 0 nothing is sampled, and so nothing is narrowed by "
                f"{' and '.join(f'`{name}`' for name in self.sampling_limits)}. Set a `temperature`, or `do_sample=True`."
            )
        if self.draft_steps is not None and self.is_random:
            raise ValueError(
                f"`draft_steps` guesses the next steps, which is impossible where they are random, but got draft_steps="
                f"{self.draft_steps} with temperature={self.sampling_temperature} and remasking={self.remasking!r}. Set "
                "the temperature to 0 and another remasking, or `draft_steps=None`."
            )

    def _check_below(self, option: Option) -> None:
        value = getattr(self, option.name)
        bound = None if option.below is None else getattr(self, option.below)
        if value is not None and bound is not None and value >= bound:
            raise ValueError(
                f"`{option.name}` must be below `{option.below}`, but got {value} and {bound}. Lower it, or set it to "
                "`None`."
            )

    @property
    def sampling_temperature(self) -> float:
        """The temperature of the Gumbel-max sampling; `do_sample` may overrule `temperature`."""
        if self.do_sample is False:
            return 0.0
        if self.do_sample and self.temperature is None:
            return 1.0
        return float(self.temperature or 0.0)

    @property
    def is_final(self) -> bool:
        """Whether a committed token never changes."""
        return self.edit_threshold is None and self.reopen_threshold is None

    @property
    def is_random(self) -> bool:
        """Whether the tokens depend on random numbers."""
        return self.sampling_temperature > 0 or self.remasking == "random"

    @property
    def sampling_limits(self) -> dict[str, int | float]:
        """Those of `top_k`, `top_p` and `min_p` that narrow what sampling proposes."""
        neutral = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
        values = {name: getattr(self, name) for name in neutral}
        return {name: type(off)(values[name]) for name, off in neutral.items() if values[name] not in (None, off)}

    @staticmethod
    def _get_default_generation_params() -> dict:
        return dict(DEFAULTS)

    @classmethod
    def from_model_config(cls, model_config, **kwargs) -> "LLaDAGenerationConfig":
        """The options that a model's config implies: its special tokens, and what a config has as `generation_defaults`."""
        tokens = {name: getattr(model_config, name, None) for name in SPECIAL_TOKENS}
        return cls(**tokens | getattr(model_config, "generation_defaults", {}), _from_model_config=True)

    @classmethod
    def from_generation_config(cls, config: GenerationConfig, strict: bool = True) -> "LLaDAGenerationConfig":
        """
        Reads a plain `GenerationConfig`, as pipelines, TRL and older checkpoints have it.

        Args:
            config (`GenerationConfig`):
                The config. Options of LLaDA may be among its extra attributes.
            strict (`bool`, *optional*, defaults to `True`):
                Whether an option that LLaDA does not have is an error. Otherwise it is dropped with a warning.

        Raises:
            `ValueError`: if an option that LLaDA does not have is set to anything but a neutral value.
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
            raise ValueError(f"`generation_config` sets options that LLaDA does not have: {explain(foreign)}")
        if foreign:
            logger.warning(f"Options of generation_config.json that LLaDA does not have are left out: {foreign}.")
        return cls(**known)

    def to_diff_dict(self) -> dict:
        """The content of generation_config.json: the options that are set."""
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


__all__ = ["LLaDAGenerationConfig"]
