# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""No warning of our making: ordinary use raises no FutureWarning or DeprecationWarning, and transformers logs nothing.

One new process runs all steps, because transformers logs most of its warnings only once.
"""

import json
import subprocess
import sys

import pytest
from support.tiny_poet import save_tiny_poet


STEPS = {
    "first use": """
from modeling_llada import LLaDAForMaskedLM
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder)
inputs = tokenizer(["床前明月光，", "白日"], return_tensors="pt", padding=True, padding_side="left")
model(**inputs)
""",
    "generate, padded": """
model.generate(**inputs)
""",
    "generate, padded, with a cache": """
model.generate(**inputs, max_new_tokens=8, block_length=4, block_cache="dual")
""",
    "a cache by its new name": """
from modeling_llada.models.cache_llada import LLaDACache
model(**inputs, cache=LLaDACache(2))
""",
    "a cache by its old name": """
model(**inputs, past_key_values=LLaDACache(2))
""",
    "a training step": """
model.train().activation_checkpointing_enable()
model(**inputs, labels=inputs.input_ids.masked_fill(inputs.attention_mask == 0, -100)).loss.backward()
model.eval()
""",
    "score": """
ids = tokenizer("床前明月光", return_tensors="pt").input_ids
model.log_likelihood(ids, ids, num_samples=2)
model.perplexity(ids, num_samples=2)
""",
    "save and reload": """
model.save_pretrained(folder + "/again")
tokenizer.save_pretrained(folder + "/again")
AutoModel.from_pretrained(folder + "/again").generate(**inputs)
""",
    "llada generate": """
import llada_cli
assert not llada_cli.main(["generate", "床前明月光，", "--model", folder, "--device", "cpu"])
""",
    "llada score": """
assert not llada_cli.main(["score", "床前明月光", "白日", "--model", folder, "--device", "cpu", "--num-samples", "2"])
""",
}
ALL_STEPS = """
import json, logging, sys, traceback
from transformers import AutoModel, AutoTokenizer

class Keep(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())

logging.getLogger("transformers").addHandler(Keep())
folder, steps = sys.argv[1], json.loads(sys.argv[2])
for name, step in steps.items():
    messages = []
    try:
        exec(step)
    except Exception:
        messages.append(traceback.format_exc())
    print(json.dumps({name: messages}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """The warnings, log messages and errors of each step."""
    folder = save_tiny_poet(tmp_path_factory.mktemp("poet"))
    command = [sys.executable, "-W", "error::FutureWarning", "-W", "error::DeprecationWarning", "-c", ALL_STEPS]
    process = subprocess.run([*command, str(folder), json.dumps(STEPS)], capture_output=True, text=True, timeout=300)
    lines = [line for line in process.stderr.splitlines() if line.startswith("{")]
    assert process.returncode == 0 and len(lines) == len(STEPS), process.stderr
    return {name: said for line in lines for name, said in json.loads(line).items()}


@pytest.mark.parametrize("step", STEPS)
def test_says_nothing(messages, step):
    assert messages[step] == []
