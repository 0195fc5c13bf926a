# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`torch_compile=True`: the same losses, and no graph for each shape of a batch."""

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from accelerate.state import AcceleratorState
from peft import LoraConfig
from support.sft_runs import MESSAGES, largest_difference, losses_of, sft_trainer, weights_of
from transformers import TrainerCallback

from modeling_llada import LLaDAForMaskedLM


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


class GraphCounter(TrainerCallback):
    """How many graphs there are after each step."""

    def __init__(self):
        self.numbers = []

    def on_step_end(self, args, state, control, **kwargs):
        self.numbers.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"peft_config": LoraConfig(r=4)},
        {"bf16": True, "gradient_checkpointing": True},
        pytest.param({"torch_compile_backend": "inductor"}, marks=pytest.mark.slow),  # C++ compilation takes minutes
    ],
    ids=["all weights", "LoRA", "bfloat16", "inductor"],
)
def test_same_losses_in_few_graphs(poet_folder, tmp_path, settings):
    """Layers share a graph: one for the first shape, and one for all others, however many layers there are."""
    options = {"max_steps": 10, "per_device_train_batch_size": 1, "learning_rate": 1e-3}
    # Traces as the default backend does, without the minutes of C++ compilation.
    compiled = {"torch_compile": True, "torch_compile_backend": "aot_eager"} | settings
    plain = {name: value for name, value in settings.items() if name != "torch_compile_backend"}
    # Before the other one is there: trainers of a process share the state in which accelerate keeps what to compile.
    expected = sft_trainer(poet_folder, tmp_path / "run", MESSAGES, **options, **plain)
    expected.train()
    assert not torch._dynamo.utils.counters["stats"]

    trainer = sft_trainer(poet_folder, tmp_path / "run", MESSAGES, **options, **compiled)
    assert len({batch["input_ids"].shape for batch in trainer.get_train_dataloader()}) > 2
    counter = GraphCounter()
    trainer.add_callback(counter)
    trainer.train()
    assert losses_of(trainer) == pytest.approx(losses_of(expected), rel=1e-2 if "bf16" in settings else 1e-4)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert 0 < counter.numbers[0] < counter.numbers[4] == counter.numbers[-1]
    # The embedding, the rotary embedding, a layer, the last norm and the head; none has more than one for other shapes.
    assert counter.numbers[0] <= 7 and counter.numbers[-1] <= 12
    if "peft_config" not in settings:
        trainer.save_model(str(tmp_path / "saved"))
        saved = dict(LLaDAForMaskedLM.from_pretrained(tmp_path / "saved").named_parameters())
        assert largest_difference(weights_of(trainer), saved) == 0
