# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDAConfig: official names on disk, canonical names inside, and no field that is silently ignored."""

import copy
import json
import pickle

import pytest
from transformers import AutoConfig

from modeling_llada import LLaDAConfig, LLaDAMoeConfig, LLaDAVConfig
from modeling_llada.models.conversion_llada import OFFICIAL_TO_CANONICAL_FIELD


# The fields of LLaDA-8B-Instruct's config.json that describe the network.
LLADA_8B = {
    "activation_type": "silu",
    "alibi": False,
    "alibi_bias_max": 8.0,
    "architectures": ["LLaDAModelLM"],
    "attention_dropout": 0.0,
    "attention_layer_norm": False,
    "attention_layer_norm_with_affine": True,
    "auto_map": {
        "AutoConfig": "configuration_llada.LLaDAConfig",
        "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
        "AutoModel": "modeling_llada.LLaDAModelLM",
    },
    "bias_for_layer_norm": False,
    "block_group_size": 1,
    "block_type": "llama",
    "d_model": 4096,
    "embedding_dropout": 0.0,
    "embedding_size": 126464,
    "eos_token_id": 126081,
    "flash_attention": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "init_cutoff_factor": None,
    "init_device": "meta",
    "init_fn": "mitchell",
    "init_std": 0.02,
    "input_emb_norm": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "mask_token_id": 126336,
    "max_sequence_length": 4096,
    "mlp_hidden_size": 12288,
    "mlp_ratio": 4,
    "model_type": "llada",
    "multi_query_attention": None,
    "n_heads": 32,
    "n_kv_heads": 32,
    "n_layers": 32,
    "pad_token_id": 126081,
    "precision": "amp_bf16",
    "residual_dropout": 0.0,
    "rms_norm_eps": 1e-05,
    "rope": True,
    "rope_full_precision": True,
    "rope_theta": 500000.0,
    "scale_logits": False,
    "transformers_version": "4.46.3",
    "use_cache": False,
    "vocab_size": 126464,
    "weight_tying": False,
}

UNSUPPORTED = {
    "activation_type": "swiglu",
    "alibi": True,
    "attention_layer_norm": True,
    "bias_for_layer_norm": True,
    "block_group_size": 2,
    "block_type": "sequential",
    "clip_qkv": 0.01,
    "embedding_dropout": 0.1,
    "embedding_layer_norm": True,
    "hidden_act": "gelu",
    "include_bias": True,
    "input_emb_norm": True,
    "is_causal": True,
    "layer_norm_type": "default",
    "layer_norm_with_affine": False,
    "mlp_bias": True,
    "multi_query_attention": True,
    "norm_after": True,
    "partial_rotary_factor": 0.5,
    "per_layer_config": {"0": {"hidden_size": 32}},
    "qk_layernorm": True,
    "residual_dropout": 0.1,
    "rope": False,
    "rope_full_precision": False,
    "scale_logits": True,
    "sliding_window": 32,
}

NAN, INFINITY = float("nan"), float("inf")
BAD_SIZES = (0, -1, 1.5, 16.0, True, "16", [16], {}, NAN, INFINITY, 2**70)
BAD_IDS = (-1, 126464, 1.5, True, "1", {}, NAN, 2**70)
# By official names, if there are any. The canonical ones are tried too.
BAD_VALUES = {
    "architectures": ("LLaDAModelLM", 3, [3]),
    "attention_dropout": (-0.1, 1.5, NAN, "0.1", True),
    "auto_map": ("x", []),
    "bos_token_id": BAD_IDS,
    "d_model": BAD_SIZES,
    "dtype": ("nope", "int8", 3),
    "embedding_size": BAD_SIZES,
    "eos_token_id": (*BAD_IDS, [], [1, -1], [1, 126464], ["1"]),
    "eot_token_id": BAD_IDS,
    "head_dim": (*BAD_SIZES, 63),
    "include_qkv_bias": (2, NAN, "yes", []),
    "init_std": (-1.0, NAN, INFINITY, "0.1", True),
    "mask_token_id": BAD_IDS,
    "max_sequence_length": (*BAD_SIZES[:-1], -5),
    "mlp_hidden_size": BAD_SIZES,
    "mlp_ratio": (0, 2.5, "4", True),
    "n_heads": BAD_SIZES,
    "n_kv_heads": BAD_SIZES,
    "n_layers": (*BAD_SIZES, 10**9),
    "pad_token_id": BAD_IDS,
    "quantization_config": ("int8", {}, {"bits": 4}, {"quant_method": "nope"}, {"quant_method": [3]}),
    "rms_norm_eps": (-1.0, NAN, INFINITY, "x", True),
    "rope_parameters": (
        "linear",
        {"rope_type": "nope"},
        {"rope_type": [3]},
        {"rope_theta": NAN},
        {"rope_type": "linear"},
        {"rope_type": "linear", "factor": NAN},
        {"rope_type": "linear", "factor": "2"},
        {"rope_type": "yarn", "factor": 0},
        {"rope_type": "llama3", "factor": 2.0},
    ),
    "rope_theta": (0, -1, NAN, INFINITY, True, "10000", []),
    "use_cache": ("no", 2),
    "use_qk_norm": ("no", 2),
    "vocab_size": BAD_SIZES,
    "weight_tying": ("false", 2, NAN, []),
}
BAD_FIELDS = [(name, value) for name, values in BAD_VALUES.items() for value in values]


def write_config(folder, fields):
    (folder / "config.json").write_text(json.dumps(fields))
    return folder


def saved_json(config, folder):
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


class TestOfficialNames:
    def test_official_config_loads_under_canonical_names(self, tmp_path):
        config = AutoConfig.from_pretrained(write_config(tmp_path, LLADA_8B))
        assert type(config) is LLaDAConfig
        for official, canonical in OFFICIAL_TO_CANONICAL_FIELD.items():
            assert getattr(config, canonical) == LLADA_8B[official], canonical
            assert getattr(config, official) == LLADA_8B[official], official
        assert config.vocab_size == 126464
        assert config.head_dim == 128
        assert config.rope_parameters == {"rope_type": "default", "rope_theta": 500000.0}
        assert config.mask_token_id == 126336

    def test_official_config_is_written_back_field_for_field(self, tmp_path):
        config = AutoConfig.from_pretrained(write_config(tmp_path, LLADA_8B))
        written = saved_json(config, tmp_path / "again")
        for name, value in LLADA_8B.items():
            # The `auto_map` of the official remote code would name files that our folders do not have.
            if name not in ("auto_map", "transformers_version"):
                assert written[name] == value, name
        assert written["auto_map"] == {"AutoConfig": "configuration_llada.LLaDAConfig"}

    def test_each_field_is_written_once(self, tmp_path, tiny_config):
        written = saved_json(tiny_config(), tmp_path)
        for official, canonical in OFFICIAL_TO_CANONICAL_FIELD.items():
            assert official in written
            assert canonical not in written
        assert "head_dim" not in written and "rope_parameters" not in written
        assert "tokenizer_vocab_size" not in written

    def test_fields_at_their_defaults_are_written_too(self, tmp_path):
        """The official code has other defaults, which a field that is left out would get."""
        written = saved_json(LLaDAConfig(), tmp_path)
        assert {"d_model", "n_layers", "n_heads", "vocab_size", "rope_theta", "weight_tying"} <= set(written)
        assert saved_json(LLaDAConfig(weight_tying=True), tmp_path)["weight_tying"] is True
        assert written["block_type"] == "llama" and written["layer_norm_type"] == "rms" and written["rope"] is True

    @pytest.mark.parametrize("names", ["official", "canonical"])
    def test_both_namings_make_the_same_config(self, names):
        fields = {"d_model": 64, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "mlp_hidden_size": 160}
        fields |= {"max_sequence_length": 256, "weight_tying": True, "init_std": 0.1, "activation_type": "silu"}
        expected = LLaDAConfig(**{OFFICIAL_TO_CANONICAL_FIELD[name]: value for name, value in fields.items()})
        if names == "canonical":
            fields = {OFFICIAL_TO_CANONICAL_FIELD[name]: value for name, value in fields.items()}
        assert LLaDAConfig(**fields).to_dict() == expected.to_dict()

    def test_both_names_with_the_same_value_are_accepted(self):
        assert LLaDAConfig(d_model=64, hidden_size=64, n_heads=4).hidden_size == 64

    @pytest.mark.parametrize(
        "fields",
        [
            {"d_model": 64, "hidden_size": 128},
            {"n_layers": 3, "num_hidden_layers": 4},
            {"weight_tying": True, "tie_word_embeddings": False},
            # Here the canonical value is the default of the class. It was given all the same.
            {"d_model": 64, "hidden_size": 4096},
            {"n_heads": 4, "num_attention_heads": 32},
            {"max_sequence_length": 64, "max_position_embeddings": 4096},
        ],
        ids=str,
    )
    def test_two_different_values_for_a_field_are_refused(self, fields, tmp_path):
        official, canonical = fields
        with pytest.raises(ValueError, match=f"`{official}` and `{canonical}`"):
            LLaDAConfig(**fields)
        with pytest.raises(ValueError, match=f"`{official}` and `{canonical}`"):
            AutoConfig.from_pretrained(write_config(tmp_path, LLADA_8B | fields))

    def test_a_field_can_be_set_by_either_name(self, tiny_config):
        config = tiny_config()
        config.d_model = 64
        assert config.hidden_size == 64
        config.num_hidden_layers = 5
        assert config.n_layers == 5


class TestDerivedFields:
    def test_null_fields_are_derived(self, tmp_path):
        """`null` in an official config means the same as an absent field: the value is derived."""
        fields = LLADA_8B | {"n_kv_heads": None, "mlp_hidden_size": None, "embedding_size": None, "init_std": None}
        config = AutoConfig.from_pretrained(write_config(tmp_path, fields))
        assert config.num_key_value_heads == 32
        assert config.intermediate_size == 4 * 4096
        assert config.vocab_size == 126464
        assert config.initializer_range == 0.02

    def test_mlp_ratio_gives_the_width_where_mlp_hidden_size_does_not(self):
        assert LLaDAConfig(d_model=64, n_heads=4, mlp_ratio=3).intermediate_size == 192
        assert LLaDAConfig(d_model=64, n_heads=4, mlp_ratio=3, mlp_hidden_size=100).intermediate_size == 100

    def test_official_ids_that_a_small_vocabulary_does_not_have_are_absent(self, tmp_path):
        config = LLaDAConfig(vocab_size=128, mask_token_id=127)
        assert config.eos_token_id is None and config.pad_token_id is None
        config.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path).to_dict().items() >= {"eos_token_id": None}.items()
        # As earlier versions wrote them.
        official = {name: LLADA_8B[name] for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
        config = LLaDAConfig(vocab_size=128, **official, eot_token_id=126348)
        assert {getattr(config, name) for name in (*official, "eot_token_id")} == {None}

    def test_grouped_query_attention(self, tmp_path):
        config = LLaDAConfig(d_model=64, n_heads=8, n_kv_heads=2)
        assert config.num_key_value_heads == 2
        assert saved_json(config, tmp_path)["n_kv_heads"] == 2

    def test_key_value_heads_follow_the_official_number_of_heads(self):
        assert LLaDAConfig(d_model=64, n_heads=8).num_key_value_heads == 8

    def test_heads_of_a_width_of_their_own_survive(self, tmp_path):
        """As in Qwen3. The hidden size need not be a multiple of the heads then."""
        config = LLaDAConfig(hidden_size=100, num_attention_heads=3, num_key_value_heads=3, head_dim=16)
        config.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path).head_dim == 16
        with pytest.raises(
            ValueError, match="`hidden_size` must be a multiple of `num_attention_heads` where there is no"
        ):
            LLaDAConfig(hidden_size=100, num_attention_heads=3)

    def test_rope_theta_alone(self, tmp_path):
        config = LLaDAConfig(rope_theta=10000.0)
        assert config.rope_parameters["rope_theta"] == 10000.0
        assert saved_json(config, tmp_path)["rope_theta"] == 10000.0
        assert AutoConfig.from_pretrained(tmp_path).rope_parameters == config.rope_parameters

    def test_two_values_of_rope_theta_are_refused(self):
        with pytest.raises(ValueError, match="`rope_theta` and `rope_parameters"):
            LLaDAConfig(rope_theta=10000.0, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
        same = LLaDAConfig(rope_theta=10000.0, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
        assert same.rope_parameters["rope_theta"] == 10000.0

    def test_scaled_rope_survives(self, tmp_path):
        rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
        config = LLaDAConfig(rope_parameters=rope_parameters)
        config.save_pretrained(tmp_path)
        assert AutoConfig.from_pretrained(tmp_path).rope_parameters == rope_parameters

    def test_eot_is_known_beside_the_official_mask_token_only(self):
        """The official config.json does not have EoT, and in another vocabulary its id is another token."""
        assert LLaDAConfig().eot_token_id == 126348
        assert LLaDAConfig(mask_token_id=5).eot_token_id is None
        assert LLaDAConfig(mask_token_id=5, eot_token_id=7).eot_token_id == 7

    def test_pad_is_known_beside_the_official_mask_token_only(self):
        assert LLaDAConfig().pad_token_id == 126081
        assert LLaDAConfig(mask_token_id=5).pad_token_id is None
        assert LLaDAConfig(mask_token_id=5, pad_token_id=7).pad_token_id == 7


class TestEmbeddingSize:
    """The official `vocab_size` counts the tokenizer's entries, `embedding_size` the rows of the embedding."""

    def test_embedding_size_wins(self, tiny_config):
        config = tiny_config(vocab_size=90, embedding_size=128)
        assert config.vocab_size == 128
        assert config.embedding_size == 128

    def test_both_are_written_back(self, tmp_path, tiny_config):
        written = saved_json(tiny_config(vocab_size=90, embedding_size=128), tmp_path)
        assert (written["vocab_size"], written["embedding_size"]) == (90, 128)
        again = AutoConfig.from_pretrained(tmp_path)
        assert again.vocab_size == 128
        assert saved_json(again, tmp_path / "again") == written

    def test_an_embedding_cut_below_the_official_vocabulary_reloads(self, tmp_path, tiny_config):
        config = tiny_config(vocab_size=90, embedding_size=99, mask_token_id=2)
        config.vocab_size = 80
        assert {"vocab_size": 80, "embedding_size": 80}.items() <= saved_json(config, tmp_path).items()
        assert AutoConfig.from_pretrained(tmp_path).vocab_size == 80

    def test_a_smaller_embedding_than_vocabulary_is_refused(self, tiny_config):
        with pytest.raises(ValueError, match="`embedding_size`"):
            tiny_config(vocab_size=90, embedding_size=80)


class TestRefused:
    @pytest.mark.parametrize("config_class", (LLaDAConfig, LLaDAMoeConfig, LLaDAVConfig))
    def test_a_folder_without_a_config(self, config_class, tmp_path):
        """The library would give the sizes of an 8B model to an empty folder."""
        with pytest.raises(ValueError, match=r"`pretrained_model_name_or_path` must be .* with a config.json"):
            config_class.from_pretrained(tmp_path)

    @pytest.mark.parametrize("name, value", BAD_FIELDS, ids=str)
    def test_value_that_cannot_be(self, name, value, tmp_path):
        """Before any layer is made, whichever way the value comes in."""
        fields = {field: LLADA_8B[field] for field in LLADA_8B if not (name == "rope_parameters" and "rope" in field)}
        canonical = OFFICIAL_TO_CANONICAL_FIELD.get(name, name)
        with pytest.raises(ValueError, match=f"`{name}"):
            LLaDAConfig(**(fields | {name: value}))
        with pytest.raises(ValueError, match=f"`{canonical}"):
            LLaDAConfig(**(fields | {canonical: value}))
        with pytest.raises(ValueError, match=f"`{name}"):
            AutoConfig.from_pretrained(write_config(tmp_path, fields | {name: value}))

    @pytest.mark.parametrize("name", ["n_layers", "num_hidden_layers"])
    def test_a_field_that_is_set_later_is_checked_too(self, name, tiny_config):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
            setattr(tiny_config(), name, -1)

    @pytest.mark.parametrize("name", UNSUPPORTED)
    def test_switch_that_is_not_implemented(self, name, tmp_path):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            LLaDAConfig(**{name: UNSUPPORTED[name]})
        # "one field": an official file already has the activation under its official name.
        with pytest.raises(ValueError, match="is not implemented|one field"):
            AutoConfig.from_pretrained(write_config(tmp_path, LLADA_8B | {name: UNSUPPORTED[name]}))

    def test_null_switches_pass(self):
        LLaDAConfig(**dict.fromkeys(UNSUPPORTED.keys() - {"hidden_act"}))

    @pytest.mark.parametrize(
        "fields, name",
        [
            ({"hidden_size": 33}, "hidden_size"),
            ({"num_key_value_heads": 3}, "num_key_value_heads"),
            ({"hidden_size": 12}, "hidden_size / num_attention_heads"),
        ],
        ids=str,
    )
    def test_heads_that_do_not_divide(self, tiny_config, fields, name):
        with pytest.raises(ValueError, match=f"`{name}`"):
            tiny_config(**fields)


class TestCopies:
    """Trainers, PEFT and multiprocessing copy a config in these ways."""

    @pytest.mark.parametrize(
        "duplicate",
        [
            copy.deepcopy,
            copy.copy,
            lambda config: LLaDAConfig.from_dict(config.to_dict()),
            lambda config: LLaDAConfig.from_dict(config.to_diff_dict()),
            lambda config: LLaDAConfig(**config.to_dict()),
            lambda config: pickle.loads(pickle.dumps(config)),
        ],
        ids=["deepcopy", "copy", "to_dict", "to_diff_dict", "init", "pickle"],
    )
    def test_a_copy_is_equal(self, duplicate, tiny_config):
        config = tiny_config(vocab_size=90, embedding_size=99, tie_word_embeddings=True, rope_theta=1000.0)
        again = duplicate(config)
        assert type(again) is LLaDAConfig
        assert again.to_diff_dict() == config.to_diff_dict()
        assert (again.vocab_size, again.tokenizer_vocab_size) == (99, 90)

    def test_save_and_reload(self, tmp_path, tiny_config):
        config = tiny_config(tie_word_embeddings=True, eos_token_id=[1, 2], eot_token_id=3)
        config.save_pretrained(tmp_path)
        again = LLaDAConfig.from_pretrained(tmp_path)
        assert again.to_diff_dict() == config.to_diff_dict()
        assert again.eos_token_id == [1, 2]

    def test_keyword_arguments_override_the_file(self, tmp_path, tiny_config):
        tiny_config().save_pretrained(tmp_path)
        assert LLaDAConfig.from_pretrained(tmp_path, max_position_embeddings=128).max_sequence_length == 128
        assert LLaDAConfig.from_pretrained(tmp_path, max_sequence_length=128).max_position_embeddings == 128

    def test_labels_of_a_classifier_do_not_disturb(self):
        assert LLaDAConfig(num_labels=3).num_labels == 3

    def test_the_json_is_sorted_as_the_official_ones_are(self, tmp_path, tiny_config):
        written = saved_json(tiny_config(), tmp_path)
        assert list(written) == sorted(written)
