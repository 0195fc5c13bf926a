# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The model card that a trainer writes: right fields, and a snippet that runs."""

import huggingface_hub
import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import LoraConfig
from support.sft_runs import sft_trainer
from transformers import AutoTokenizer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig


@pytest.fixture
def base(poet_folder, tmp_path):
    """The tiny poet with a licence."""
    model = LLaDAForMaskedLM.from_pretrained(poet_folder)
    model.generation_config.max_new_tokens = 4
    model.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(poet_folder).save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path / "base"


def read_card(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "None" not in text and "More Information Needed" not in text
    return huggingface_hub.ModelCard(text)


def run_snippet(card):
    exec(card.text.split("```python\n")[1].split("```")[0], {})


@pytest.mark.parametrize(
    "peft_config", [pytest.param(None, marks=pytest.mark.slow, id="full"), pytest.param(LoraConfig(r=2), id="adapter")]
)
def test_of_what_is_saved(base, tmp_path, capsys, peft_config):
    trainer = sft_trainer(base, tmp_path / "run", peft_config=peft_config)
    trainer.save_model(str(tmp_path / "saved"))
    card = read_card(tmp_path / "saved")
    data = card.data.to_dict()
    assert {"llada", "masked-diffusion", "sft"} < set(data.pop("tags"))
    library = "transformers" if peft_config is None else "peft"
    assert data == {"library_name": library, "pipeline_tag": "text-generation", "license": "mit"}
    assert "# saved" in card.text and "`LLaDASFTTrainer`" in card.text and "from base." in card.text
    capsys.readouterr()
    run_snippet(card)
    assert capsys.readouterr().out.strip()


def test_of_a_repository(base, tmp_path):
    trainer = sft_trainer(base, tmp_path / "run", peft_config=LoraConfig(r=2))
    trainer.hub_model_id = "me/my-chat"  # as `push_to_hub` sets it
    trainer.model.config._name_or_path = "GSAI-ML/LLaDA-8B-Instruct"
    trainer.create_model_card(model_name="My chat", dataset_name="HuggingFaceTB/smoltalk", tags="chat", license="mit")
    card = read_card(tmp_path / "run")
    assert card.data.base_model == "GSAI-ML/LLaDA-8B-Instruct" and card.data.datasets == "HuggingFaceTB/smoltalk"
    assert {"llada", "lora", "chat"} < set(card.data.tags) and card.data.license == "mit"
    assert "# My chat" in card.text and 'AutoPeftModelForCausalLM.from_pretrained("me/my-chat"' in card.text
    assert 'pipeline("text-generation", model="me/my-chat", tokenizer="me/my-chat")' in card.text

    trainer.create_model_card(dataset_name=str(base))
    assert read_card(tmp_path / "run").data.datasets is None, "the folder of a user is no dataset of the Hub"


def test_of_pretraining(tiny_model, tmp_path):
    args = LLaDAPretrainingConfig(
        str(tmp_path / "run"), max_steps=1, tokens_per_step=16, use_cpu=True, report_to="none", compile_loss=False
    )
    trainer = LLaDAPretrainer(tiny_model(), args, train_dataset=torch.arange(2, 18)[None])
    trainer.save_model()
    card = read_card(tmp_path / "run")
    assert card.data.library_name == "transformers" and card.data.base_model is None and card.data.license is None
    assert "`LLaDAPretrainer`" in card.text and "from random weights" in card.text
