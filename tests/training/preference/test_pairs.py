# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What pairs look like, how they are tokenized, ended, cut and filled with EOS, and their batches with noise."""

import pytest
import torch
from transformers import AutoTokenizer


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from support.vrpo_runs import PAIRS, vrpo_trainer

from modeling_llada.training.preference.collator import PairCollator
from modeling_llada.training.preference.ordered_pairs import FilledSampler, NumberedPair


QUESTION, ANSWER, OTHER = (
    {"role": role, "content": text} for role, text in (("user", "明"), ("assistant", "月"), ("assistant", "日日"))
)
END = "<|endoftext|>"


@pytest.fixture
def read(poet_folder, tmp_path):
    """The texts of the prompt, the chosen and the rejected response of a prepared row, special tokens included."""
    decode = AutoTokenizer.from_pretrained(poet_folder).decode

    def read(dataset, row=0, **settings):
        pair = vrpo_trainer(poet_folder, tmp_path, dataset, **settings).train_dataset[row]
        return tuple(decode(pair[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids"))

    return read


class TestRows:
    def test_texts(self, read):
        expected = ("床前明月光，", "疑是地上霜。" + END, "处处闻啼鸟。夜来风雨声，花落知多少。" + END)
        assert read(PAIRS.with_format("torch")) == expected

    def test_messages(self, read):
        row = {"prompt": [QUESTION], "chosen": [ANSWER], "rejected": [OTHER]}
        assert read(Dataset.from_list([row])) == ("明", "月" + END, "日日" + END)

    def test_without_a_prompt(self, read):
        talk = Dataset.from_list([{"chosen": [QUESTION, ANSWER], "rejected": [QUESTION, OTHER]}])
        assert read(talk) == ("明", "月" + END, "日日" + END)
        assert read(Dataset.from_dict({"chosen": ["明月"], "rejected": ["明日"]})) == ("明", "月" + END, "日" + END)

    def test_names_of_other_tools(self, read):
        talks = [[{"from": "human", "value": "明"}, {"from": "gpt", "value": text}] for text in ("月", "日日")]
        rows = Dataset.from_list([{"chosen": talks[0], "rejected": talks[1]}])
        assert read(rows) == ("明", "月" + END, "日日" + END)

    def test_tokens(self, read, poet_folder, tmp_path):
        rows = vrpo_trainer(poet_folder, tmp_path, PAIRS).train_dataset
        assert rows.column_names == ["prompt_ids", "chosen_ids", "rejected_ids"]
        assert read(rows)[:2] == ("床前明月光，", "疑是地上霜。" + END), "one EOS, also the second time"

    def test_cut(self, read, caplog):
        pair = read(PAIRS.select([0, 2]), max_length=12)
        assert pair == ("床前明月光，", "疑是地上霜。", "处处闻啼鸟。"), "neither ends: both lost their EOS"
        assert 'of `train_dataset["rejected"]` are longer than `max_length=12` and are cut' in caplog.text


class TestBatch:
    def pair(self, chosen, rejected, seed=0):
        return NumberedPair([5, 6, 7], chosen, rejected, torch.Generator().manual_seed(seed))

    def batch(self, *pairs, **options):
        options = {"eos_token_id": 0, "pad_token_id": 1, "num_samples": 4, "antithetic": True} | options
        return PairCollator(**options)([self.pair(*pair) for pair in pairs])

    def test_chosen_then_rejected(self):
        batch = self.batch(([8, 0], [9, 10, 0]), ([11, 12, 13, 0], [14, 0]))
        assert batch["input_ids"].tolist() == [
            [5, 6, 7, 8, 0, 1, 1],
            [5, 6, 7, 11, 12, 13, 0],
            [5, 6, 7, 9, 10, 0, 1],
            [5, 6, 7, 14, 0, 1, 1],
        ]
        assert batch["completion_mask"].sum(-1).tolist() == [2, 4, 3, 2]
        assert batch["attention_mask"].sum(-1).tolist() == [5, 7, 6, 5]
        assert not (batch["weights"] * (1 - batch["completion_mask"])[:, None]).any()
        assert (batch["weights"] > 0).any(-1).all(), "each noise sample masks something"
        positions = batch["masked_positions"]
        assert torch.equal(positions[positions >= 0], batch["weights"].flatten().nonzero().flatten())

    def test_filled_with_eos(self):
        """Up to the longer response of the pair, or to a length; not where a response was cut off."""
        rows = ([8, 0], [9, 10, 11, 0]), ([12, 0], [13, 14])
        ids = self.batch(*rows, eos_fill="longest")["input_ids"]
        assert ids.tolist() == [
            [5, 6, 7, 8, 0, 0, 0],
            [5, 6, 7, 12, 0, 1, 1],
            [5, 6, 7, 9, 10, 11, 0],
            [5, 6, 7, 13, 14, 1, 1],
        ]
        lengths = self.batch(*rows, eos_fill=9)["completion_mask"].sum(-1)
        assert lengths.tolist() == [6, 6, 6, 2]

    def test_noise_of_the_reference(self):
        shared, apart = (self.batch(([8, 9, 0], [9, 10, 11, 0]), shared_noise=shared) for shared in (True, False))
        assert "reference_weights" not in shared and torch.equal(shared["weights"], apart["weights"])
        assert not torch.equal(apart["reference_weights"], apart["weights"])

    def test_padding(self):
        batch = self.batch(([8, 0], [9, 10, 0]), pad_to_multiple_of=8)
        assert batch["input_ids"].shape == (2, 8) and batch["weights"].shape == (2, 4, 8)
        assert torch.equal(batch["weights"][..., :6], self.batch(([8, 0], [9, 10, 0]))["weights"])


def test_the_last_step_of_an_epoch_is_filled_up():
    keys = list(FilledSampler(5, seed=1, multiple=4))
    assert len(keys) == 8 and [key.index for key in keys[5:]] == [key.index for key in keys[:3]]
    assert sorted(key.index for key in keys[:5]) == [0, 1, 2, 3, 4]
    few = [key.index for key in FilledSampler(2, shuffle=False, multiple=5)]
    assert few == [0, 1, 0, 1, 0], "fewer pairs than a step has"
