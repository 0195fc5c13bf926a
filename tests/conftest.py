# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fixtures that several test files share: a tiny random model, and the golden checkpoint of the reference."""
# ruff: noqa: E402  (the environment is set before transformers is imported)

import gc
import json
import logging
import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace


# Set before transformers is imported: no test may use the Hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# For the processes that tests start: with a thread for each core they would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# torchao logs when it is imported, and pytest would repeat that below its closing line.
os.environ.setdefault("TORCH_LOGS", "-torch.utils._pytree")
logging.getLogger("torchao").setLevel(logging.ERROR)

import hypothesis
import pytest
import torch
import torch.utils.collect_env
from safetensors.torch import load_file
from transformers import AutoTokenizer

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM


# A number of cases that CI has time for, always the same ones; and `--hypothesis-profile=thorough` for new ones by hand.
hypothesis.settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("default"), max_examples=1000, derandomize=False
)
hypothesis.settings.load_profile("default")

GOLDEN = Path(__file__).parent / "golden" / "llada-mha"

TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "mask_token_id": 98,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    # Larger than in training: the logits of a random model should differ clearly from position to position.
    "initializer_range": 0.3,
}


@pytest.fixture(scope="session", autouse=True)
def few_threads():
    """Tiny tensors are faster without threads, and pytest-xdist has the other cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def not_deaf_to_ctrl_c():
    """A shell starts background jobs with Ctrl-C ignored, and the processes that tests start would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_list_of_packages():
    """After each evaluation, lm-evaluation-harness asks torch for the environment, which lists all packages with pip."""
    torch.utils.collect_env.get_pip_packages = lambda run, patterns=None: ("pip", "")


def pytest_collection_finish():
    """Trainer collects garbage at each start, and would look through all that the imports have made."""
    gc.freeze()


@pytest.fixture
def tiny_config():
    """Makes a tiny config; keyword arguments change fields."""
    return lambda **changes: LLaDAConfig(**(TINY | changes))


@pytest.fixture
def tiny_model(tiny_config):
    """Makes a tiny random model in evaluation mode, always the same one; keyword arguments change config fields."""

    def make(model_class=LLaDAForMaskedLM, **changes):
        torch.manual_seed(0)
        return model_class(tiny_config(**changes)).eval()

    return make


@pytest.fixture
def random_ids():
    """Makes random token ids of a shape, without special tokens."""

    def make(*shape, seed=0, low=2, high=98):
        return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def prompt(random_ids):
    """Prompts for the tiny model with masks inside, padded on the left."""
    input_ids = random_ids(4, 12)
    input_ids[0, 8] = input_ids[2, 3:9] = input_ids[3, 5:7] = TINY["mask_token_id"]
    padding = torch.tensor([0, 3, 1, 4])
    attention_mask = (torch.arange(12) >= padding[:, None]).long()
    return {
        "input_ids": input_ids.masked_fill(attention_mask == 0, TINY["pad_token_id"]),
        "attention_mask": attention_mask,
    }


@pytest.fixture(scope="session")
def poet_folder(tmp_path_factory):
    """A tiny random checkpoint with the tokenizer of the shipped one. Shared by the tests of a session: do not change it."""
    from support.tiny_poet import save_tiny_poet

    return save_tiny_poet(tmp_path_factory.mktemp("checkpoints") / "tiny-poet")


@pytest.fixture(scope="session")
def tiny_poet(poet_folder):
    """The model and the tokenizer of this checkpoint. Shared by the tests of a session: do not change them."""
    model = LLaDAForMaskedLM.from_pretrained(poet_folder).eval()
    return model, AutoTokenizer.from_pretrained(poet_folder)


@pytest.fixture
def tiny_poet_by_default(poet_folder, monkeypatch):
    """The commands of a test use the tiny poet, unless they name another checkpoint."""
    monkeypatch.setenv("LLADA_MODEL", str(poet_folder))
    monkeypatch.delenv("LLADA_DEBUG", raising=False)


@pytest.fixture(scope="session")
def golden_path():
    """The folder of the golden checkpoint, in the official layout."""
    return GOLDEN


@pytest.fixture(scope="session")
def golden():
    """What the reference returned: tensors by name, the generation cases, and the cached cases of Fast-dLLM."""
    values = json.loads((GOLDEN / "golden.json").read_text())
    return SimpleNamespace(
        tensors=load_file(GOLDEN / "golden.safetensors") | load_file(GOLDEN / "golden_cached.safetensors"),
        cases=values["cases"],
        likelihood=values["likelihood"],
        cached_cases=json.loads((GOLDEN / "golden_cached.json").read_text()),
    )


@pytest.fixture(scope="session")
def golden_model():
    """The golden checkpoint, loaded. Shared by the tests of a session: do not change it."""
    return LLaDAForMaskedLM.from_pretrained(GOLDEN, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def llada_v():
    """The golden LLaDA-V and its processor. Shared by the tests of a session: do not change them."""
    from support.golden_v import FOLDER

    from modeling_llada.loading import load_with_processor

    return load_with_processor(FOLDER, "cpu")


@pytest.fixture(scope="session")
def corpus():
    """A small made-up corpus. Shared by the tests of a session: do not change it."""
    from support.made_up_corpus import made_up_corpus

    return made_up_corpus()


@pytest.fixture(scope="session")
def mixture(corpus):
    """All kinds of rows of that corpus."""
    from support.made_up_corpus import PHASES

    from modeling_llada.training import RowMixture

    return RowMixture(corpus, PHASES)


@pytest.fixture(scope="session")
def twin_folder(poet_folder, tmp_path_factory):
    """A tiny random autoregressive model with the tokenizer of the poet. Shared as well: do not change it."""
    from transformers import AutoTokenizer

    from modeling_llada.training import autoregressive_twin

    folder = tmp_path_factory.mktemp("twin")
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    config = LLaDAForMaskedLM.from_pretrained(poet_folder).config
    config.bos_token_id = tokenizer.bos_token_id
    torch.manual_seed(0)
    autoregressive_twin(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def pretraining_settings(tmp_path):
    """Arguments of a pre-training run of a few steps on the made-up corpus."""
    return {
        "output_dir": str(tmp_path / "run"),
        "max_steps": 6,
        "tokens_per_step": 768,
        "learning_rate": 3e-3,
        "warmup_steps": 1,
        "seed": 5,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }


@pytest.fixture
def small_files():
    """A context in which no file can grow beyond 1000 bytes, as on a disk that is full."""

    @contextmanager
    def limit():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit
