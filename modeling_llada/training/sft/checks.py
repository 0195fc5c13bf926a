# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks that run before masked fine-tuning starts. Each error message says how to mend the input."""

import copy
import re
from collections import defaultdict

import numpy as np
from accelerate import Accelerator
from datasets import Dataset
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.utils.generic import is_flash_attention_requested
from trl.chat_template_utils import supports_tool_calling

from ...export.tokenizer import GENERATION_MARK, set_chat_template
from ..data_files import numbered_rows
from ..masking.load_balancing import has_balancing_loss
from ..masking.mask_sources import COMMIT_STEPS
from .configuration import LLaDASFTConfig
from .formats import USES_TOOLS


MODEL_TYPES = ("llada", "illada", "llada_moe", "llada2", "llava_llada")
# All linear layers of a Transformer layer, and not the head.
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def check_model(
    args: LLaDASFTConfig,
    model: PreTrainedModel | PeftModel,
    datasets: dict[str, Dataset],
    peft_config: PeftConfig | None,
) -> None:
    """Raises a `ValueError` unless the model is a mask predictor that fits the datasets and the adapter."""
    check_mask_predictor(model, peft_config)
    config = model.config
    if args.eos_fill == "block" and not model.block_geometry.is_block_causal:
        raise ValueError('`eos_fill="block"` is for models of blocks, such as LLaDA2. Choose "longest" or a number.')
    for name, default in (("complementary_masks", False), ("corruption_rate", 0), ("mask_source", "uniform")):
        if getattr(args, name) != default and config.model_type == "llava_llada":
            raise ValueError(
                f"`{name}` must be left out for a model that sees images, but got {getattr(args, name)!r}: it is for rows of text."
            )
    if args.router_aux_loss_coef and not has_balancing_loss(config):
        raise ValueError(
            f"`router_aux_loss_coef` must be left out for a {type(config).__name__}, which has no load-balancing loss, but got "
            f"{args.router_aux_loss_coef}. LLaDA-MoE has one; LLaDA2 balances its experts by `expert_bias_update_rate`."
        )
    if args.mask_source == "trajectory" and "train_dataset" in datasets:
        columns = datasets["train_dataset"].column_names
        if not {COMMIT_STEPS, "input_ids"} <= set(columns) or "seq_lengths" in columns:
            raise ValueError(
                f'`mask_source="trajectory"` needs a column `{COMMIT_STEPS}` beside `input_ids` and `labels`, with the step that '
                f"committed each token, and rows that are not packed, but `train_dataset` has the columns {', '.join(columns)}. "
                "`examples/self_distill.py` writes such rows."
            )
    if args.packs_documents or any("seq_lengths" in dataset.column_names for dataset in datasets.values()):
        _check_attention(model)


def check_mask_predictor(model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    """Raises a `ValueError` unless the model is a mask predictor with weights to train, and fits the adapter."""
    config = model.config
    if getattr(config, "model_type", None) not in MODEL_TYPES or model.get_output_embeddings() is None:
        raise ValueError(
            f"`model` must be a LLaDA mask predictor (`LLaDAForMaskedLM`), but got {type(model).__name__}. Load it with "
            "`AutoModelForMaskedLM.from_pretrained`, after `import modeling_llada`."
        )
    if config.mask_token_id is None:
        raise ValueError("`model` needs `config.mask_token_id`: set it to the id of the mask token of the tokenizer.")
    if peft_config is None and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "`model` has no weights that would be trained: all of them are frozen, as after loading an adapter folder as a "
            "model. Pass a `peft_config` for a new adapter; continue with an adapter by passing "
            "`PeftModel.from_pretrained(base, folder, is_trainable=True)`; or unfreeze weights with "
            "`model.requires_grad_(True)`."
        )
    if peft_config is not None and getattr(model, "_hf_peft_config_loaded", False):
        raise ValueError(
            "`peft_config` would replace the adapter of `model`, which is one after loading an adapter folder as a model. "
            "Continue with it by passing `PeftModel.from_pretrained(base, folder, is_trainable=True)`, or begin from the "
            "base model."
        )
    _check_adapter(model, peft_config)
    _check_spread_experts(model, peft_config)


def check_prepared_model(model: PreTrainedModel | PeftModel, accelerator: Accelerator) -> None:
    """Raises a `ValueError` unless the model that TRL has prepared can be trained on the processes of the run."""
    _check_parallelism(accelerator.parallelism_config)  # of the arguments, or of `accelerate launch`
    _check_tied_embedding(model)


def check_arguments(args: LLaDASFTConfig, **unsupported) -> None:
    """Raises a `ValueError` for arguments that would not do what they say, such as those in `unsupported`."""
    if not isinstance(args, LLaDASFTConfig):
        raise ValueError(
            f"`args` must be a `LLaDASFTConfig`, but got {type(args).__name__}. It accepts the arguments of `SFTConfig`."
        )
    for name, value in unsupported.items():
        if value is not None:
            raise ValueError(
                f"`{name}` is not supported: {REASONS[name]}. Leave it out, or subclass `LLaDASFTTrainer`."
            )
    for name, wrong, reason in (
        ("use_liger_kernel", args.use_liger_kernel, "it would replace the loss by that of next tokens"),
        ("label_smoothing_factor", args.label_smoothing_factor, "the loss is eq. 5 of the paper"),
        ("loss_type", args.loss_type != "nll", "the loss is eq. 5 of the paper"),
    ):
        if wrong:
            raise _unsupported(args, name, reason)
    _check_packing(args)
    check_batches(args)


def check_batches(args: TrainingArguments) -> None:
    """Raises a `ValueError` for ways to make or to split batches that do not go with noise that belongs to rows."""
    for name, wrong, reason in (
        (
            "train_sampling_strategy",
            args.train_sampling_strategy == "batch_rebalance",
            "the noise depends on the order of the rows",
        ),
        (
            "activation_offloading",
            getattr(args, "activation_offloading", False) and args.device.type == "cpu",
            "the activations are in the memory of the CPU already",
        ),
        ("dispatch_batches", args.accelerator_config.dispatch_batches, "masked batches cannot be split"),
    ):
        if wrong:
            raise _unsupported(args, name, reason)
    _check_parallelism(args.parallelism_config)


def _unsupported(args: TrainingArguments, name: str, reason: str) -> ValueError:
    value = getattr(args, name, True)
    return ValueError(f"`{name}={value!r}` is not supported: {reason}. Leave it at its default.")


REASONS = {
    "data_collator": "the collator draws the noise",
    "compute_loss_func": "the loss is eq. 5 of the paper",
    "compute_metrics": "it would need logits for every position",
    "preprocess_logits_for_metrics": "it would need logits for every position",
}


def _check_packing(args: LLaDASFTConfig) -> None:
    if args.padding_free:
        raise ValueError(
            "`padding_free=True` is not supported: the collator pads the rows of a batch. Leave it out, and avoid padding "
            "with `packing=True`, where documents that share a row do not see each other."
        )
    if not (args.packing or args.eval_packing):
        return
    if args.max_length is None:
        raise ValueError("`packing=True` needs `max_length`, the length of a packed row, but got `None`.")
    if args.eos_fill is not None:
        raise ValueError(
            f"`packing=True` is not supported with `eos_fill={args.eos_fill!r}`: the next document follows a response, "
            "not EOS. Leave one of them out."
        )
    if (args.dataset_kwargs or {}).get("skip_prepare_dataset"):
        raise ValueError(
            '`packing=True` has no effect with `dataset_kwargs={"skip_prepare_dataset": True}`. Leave it out: packed rows '
            "of `trl.pack_dataset` are recognized by their `seq_lengths`."
        )


def _check_attention(model: PreTrainedModel) -> None:
    """The attention must be able to separate the documents of a packed row."""
    implementation = model.config._attn_implementation
    if implementation not in ALL_MASK_ATTENTION_FUNCTIONS and not is_flash_attention_requested(model.config):
        raise ValueError(
            f'Documents that share a row would attend to each other with `attn_implementation="{implementation}"`, which '
            'has no mask. Load `model` with `attn_implementation="sdpa"`, "eager", "flex_attention" or '
            '"flash_attention_2", or leave `packing` out.'
        )


def _check_parallelism(config: "ParallelismConfig | None") -> None:  # noqa: F821
    """Each process must get whole rows. Rows, weights and attention heads may be distributed."""
    for name in ("cp_size", "sp_size"):
        size = getattr(config, name, None)
        if size is not None and size > 1:
            raise ValueError(
                f"`parallelism_config` with `{name}={size}` is not supported: it splits rows, and the loss needs the masked "
                "positions of whole rows. For long rows use `gradient_checkpointing=True`, `tp_size` or FSDP."
            )


def _check_spread_experts(model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    """PEFT cannot add an adapter to experts of which each process has some."""
    size = getattr(getattr(model.config, "distributed_config", None), "ep_size", None) or 1
    targets = getattr(peft_config, "target_parameters", None)
    if size > 1 and targets:
        raise ValueError(
            f"`target_parameters` must be left out with experts that are spread over `ep_size={size}` processes, but got "
            f"{targets}. Shard the model by FSDP2 instead, as examples/accelerate/fsdp2.yaml does, or adapt the attention."
        )


def _check_adapter(model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    """
    The adapters of a model and a new one must name modules and tokens that the model has. PEFT silently ignores unknown
    ones, as long as it finds any.
    """
    names = [name for name, _ in model.named_modules()]
    given = model.peft_config.values() if isinstance(model, PeftModel) else []
    for argument, config in [*(("model", config) for config in given), ("peft_config", peft_config)]:
        if getattr(config, "is_prompt_learning", False):
            raise ValueError(
                f"`{argument}` must not have an adapter of prompt learning, but got {type(config).__name__}: virtual "
                "tokens would shift the masked positions. Use a `LoraConfig`."
            )
        _check_names(config, names)
        _check_token_indices(config, model)
        targets = getattr(config, "target_modules", None)
        if not targets or isinstance(targets, str):
            continue
        unknown = sorted(target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names))
        if unknown:
            raise ValueError(
                f"`target_modules` must name modules of the model, which has no {', '.join(unknown)}. Its projections are "
                f"{', '.join(PROJECTIONS)}; the official attn_out, ff_proj and ff_out are o_proj, gate_proj and down_proj. "
                "An adapter that was trained on the official modules is renamed by `llada convert-adapter`."
            )


def _check_names(config: PeftConfig | None, names: list[str]) -> None:
    """Finds modules as PEFT does: by the end of their name, or by a regular expression."""
    tokens = getattr(config, "trainable_token_indices", None)
    for argument, given, matches in (
        ("modules_to_save", getattr(config, "modules_to_save", None), str.endswith),
        ("trainable_token_indices", tokens if isinstance(tokens, dict) else None, str.endswith),
        ("rank_pattern", getattr(config, "rank_pattern", None), _matches_expression),
        ("alpha_pattern", getattr(config, "alpha_pattern", None), _matches_expression),
    ):
        unknown = sorted(wanted for wanted in given or () if not any(matches(name, wanted) for name in names))
        if unknown:
            raise ValueError(
                f"`{argument}` must name modules of the model, which has no {', '.join(unknown)}. See "
                "`model.named_modules()`, or leave these out."
            )


def _matches_expression(name: str, pattern: str) -> bool:
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def _check_token_indices(config: PeftConfig | None, model: PreTrainedModel | PeftModel) -> None:
    tokens = getattr(config, "trainable_token_indices", None) or []
    rows = model.get_input_embeddings().weight.shape[0]
    lists = tokens.values() if isinstance(tokens, dict) else [tokens]
    outside = sorted({token for indices in lists for token in indices if not 0 <= token < rows})
    if outside:
        raise ValueError(
            f"`trainable_token_indices` must be token ids from 0 to {rows - 1}, the rows of the embedding, but "
            f"{', '.join(map(str, outside[:10]))} are not."
        )


def _check_tied_embedding(model: PreTrainedModel | PeftModel) -> None:
    """Merging an adapter of the embedding would also change a head that is tied to it."""
    embedding = model.get_input_embeddings()
    if not model.config.tie_word_embeddings or not isinstance(embedding, BaseTunerLayer):
        return
    if not isinstance(embedding, TrainableTokensLayer):
        raise ValueError(
            "`target_modules` must leave out the embedding of a model that ties it to the head (`tie_word_embeddings`): "
            "merged, the adapter would change both. Train the tokens that you need with `trainable_token_indices`, or "
            'all of them with `modules_to_save=["embed_tokens"]` and `ensure_weight_tying=True`.'
        )


def keep_gradients(model: PreTrainedModel | PeftModel) -> None:
    """
    Keeps gradients flowing through 4-bit weights on a CPU with AVX-512 BF16.

    There, bitsandbytes repacks the weights at the first call in evaluation mode, and its product with repacked weights has
    no gradient. Training after an evaluation would then reach only a part of the adapter.

    Raises:
        `ValueError`: if the weights are repacked already, which bitsandbytes cannot undo.
    """
    for name, module in model.named_modules():
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
            raise ValueError(
                f"`model` was called before training, and bitsandbytes has repacked its weights ({name}), so that they "
                "pass no gradients. Load it again, and pass it to the trainer before calling it."
            )
        module.support_avx512bf16_for_cpu = False


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, args: LLaDASFTConfig) -> None:
    """Raises a `ValueError` unless the tokenizer has the special tokens of the model, or gets them by the arguments."""
    config, rows = model.config, model.get_input_embeddings().weight.shape[0]
    num_ids = getattr(config, "num_input_ids", rows)  # with placeholders of images behind the embedding
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(f"`processing_class` must be a tokenizer, but got {type(tokenizer).__name__}.")
    if len(tokenizer) > num_ids:
        raise ValueError(
            f"`processing_class` must fit the embedding, but it has {len(tokenizer)} tokens and the embedding {rows} rows. "
            "Pass the tokenizer that the model was trained with, or call `model.resize_token_embeddings`."
        )
    token = tokenizer.convert_ids_to_tokens(config.mask_token_id) if config.mask_token_id < len(tokenizer) else None
    if tokenizer.mask_token_id is None:
        raise ValueError(
            "`processing_class` must have a mask token, but its `mask_token` is not set. "
            + (
                f"If it belongs to this model, `tokenizer.mask_token = {token!r}` says so: that is the token of "
                f"`config.mask_token_id={config.mask_token_id}`."
                if token is not None
                else "Pass the tokenizer that the model was trained with."
            )
        )
    if tokenizer.mask_token_id != config.mask_token_id:
        raise ValueError(
            f"`processing_class` must have the mask token of the model, `config.mask_token_id={config.mask_token_id}`, but "
            f"its mask token {tokenizer.mask_token!r} is {tokenizer.mask_token_id}. Pass the tokenizer that the model was "
            "trained with."
        )
    # TRL sets what the arguments say. It will lose them in version 2.
    eos_token, pad_token = (
        getattr(args, name, None) or getattr(tokenizer, name) for name in ("eos_token", "pad_token")
    )
    if eos_token in (None, tokenizer.mask_token):
        raise ValueError(
            f"`processing_class` must have an EOS token, which ends responses, but it is {eos_token}. Set `eos_token` to another."
        )
    if pad_token == tokenizer.mask_token:
        raise ValueError("`processing_class` must not pad with the mask token. Set `pad_token` to the EOS token.")


def check_chat_template(tokenizer: PreTrainedTokenizerBase, row: dict, assistant_only_loss: bool) -> None:
    """
    Raises a `ValueError` unless messages, as in the first row of a dataset, can be rendered and, with
    `assistant_only_loss`, answers be found in them.

    A template without marks of the answers is replaced by ours if both render the same prompts.
    """
    messages = row.get("messages", row.get("prompt"))
    if not isinstance(messages, list):
        return
    if tokenizer.chat_template is None:
        raise ValueError(
            "`processing_class` must have a chat template to train on messages, but its `chat_template` is not set. Pass "
            "one as `chat_template_path`, or train on columns `prompt` and `completion` that hold texts."
        )
    if not assistant_only_loss:
        return
    set_chat_template(tokenizer)
    if not GENERATION_MARK.search(str(tokenizer.chat_template)):
        raise ValueError(
            "`assistant_only_loss=True` needs a chat template that marks what the assistant says with `{% generation %}` "
            "and `{% endgeneration %}`, but that of `processing_class` does not. Add the marks, or leave the argument out "
            "to train on the last answer alone."
        )


def check_tools(dataset: Dataset, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises a `ValueError` if rows have tools or calls of tools, and the chat template would leave them out."""
    rows = np.flatnonzero(dataset[USES_TOOLS]).tolist()
    if rows and not supports_tool_calling(tokenizer):
        raise ValueError(
            f"`{name}` has `tools` or `tool_calls` in {numbered_rows(rows, dataset)}, but the chat template of "
            " `processing_class` does not write them. Pass one that does as `chat_template_path`, or drop these rows."
        )


def check_rendering(
    dataset: Dataset, name: str, tokenizer: PreTrainedTokenizerBase, assistant_only_loss: bool, error: Exception
) -> None:
    """Raises a `ValueError` from an error of TRL if the chat template refuses rows, or leaves out what is trained on."""
    refused = defaultdict(list)
    for number, row in enumerate(dataset):
        messages = row.get("messages") or row.get("prompt")
        if not isinstance(messages, list):
            return
        options = {"tools": row.get("tools"), "return_dict": True} | (row.get("chat_template_kwargs") or {})
        try:
            tokenizer.apply_chat_template(messages, **options)
            messages = messages + (row.get("completion") or [])
            whole = tokenizer.apply_chat_template(
                messages, return_assistant_tokens_mask=assistant_only_loss, **options
            )
        except Exception as reason:  # a template may raise any error to refuse a message
            refused[f"it refuses ROWS: {reason}"].append(number)
            continue
        if assistant_only_loss and 1 not in whole["assistant_masks"]:
            refused["it marks no answer of the assistant in ROWS"].append(number)
    for reason, rows in refused.items():
        raise ValueError(
            f"`{name}` must have messages that the chat template of `processing_class` can write, but "
            f"{reason.replace('ROWS', numbered_rows(rows, dataset), 1)}. Change or drop these rows, or pass another template as "
            "`chat_template_path`."
        ) from error


def with_default_targets(peft_config: PeftConfig | None) -> PeftConfig | None:
    """Puts LoRA without target modules on all seven projections, not on the head."""
    if not isinstance(peft_config, LoraConfig) or peft_config.target_modules is not None:
        return peft_config
    if getattr(peft_config, "target_parameters", None):
        return peft_config
    peft_config = copy.copy(peft_config)
    peft_config.target_modules = set(PROJECTIONS)
    return peft_config
