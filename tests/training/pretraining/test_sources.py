# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-training on a folder of token shards and on an `IterableDataset`: epochs, several processes, resuming, and what is refused."""

import json

import numpy as np
import pytest
import torch
from packaging.version import Version
from support.made_up_corpus import BOS, EOS
from support.pretraining_runs import losses_of, stream_of, train_on, train_on_and_write
from support.processes import run_together
from support.token_folder import made_up_documents, made_up_tokenizer, write_token_folder

from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig, RowEntry
from modeling_llada.training.pretraining.stream_rows import StreamRows


datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")

DOCUMENTS = made_up_documents(200)
WINDOWS = RowEntry("windows", 16, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_token_folder(tmp_path_factory.mktemp("corpus") / "tokens", train=DOCUMENTS, validation=DOCUMENTS[:9])


@pytest.fixture
def trainer_of(tiny_model, tmp_path):
    """Makes a trainer of a tiny model; keyword arguments change the training arguments."""

    def make(train_dataset, eval_dataset=None, processing_class=None, **changes):
        settings = {"max_steps": 4, "tokens_per_step": 256, "row_length": 16, "use_cpu": True, "disable_tqdm": True}
        settings |= {"save_strategy": "no", "logging_steps": 1, "output_dir": str(tmp_path / "run")}
        args = LLaDAPretrainingConfig(**(settings | changes))
        model = tiny_model(bos_token_id=BOS, eos_token_id=EOS)
        return LLaDAPretrainer(model, args, train_dataset, eval_dataset, processing_class=processing_class)

    return make


@pytest.fixture
def model_folder(tiny_model, tmp_path):
    tiny_model(bos_token_id=BOS, eos_token_id=EOS, initializer_range=0.05).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


class TestProcesses:
    @pytest.mark.parametrize(
        ("kind", "change"),
        [
            ("shards", (1, 2)),
            pytest.param("shards", (2, 1), marks=pytest.mark.slow),
            ("stream", (2, 1)),
            pytest.param("stream", (1, 2), marks=pytest.mark.slow),
        ],
        ids=["shards, one and two", "shards, two and one", "stream, two and one", "stream, one and two"],
    )
    def test_a_run_goes_on_with_another_number_of_processes(self, folder, model_folder, tmp_path, kind, change):
        straight = losses_of(train_on(kind, folder, model_folder, tmp_path / "straight"))
        assert len(straight) == 7, "six steps, and the evaluation"
        for num_processes, stop_at in zip(change, (3, None), strict=True):
            arguments = (kind, folder, model_folder, tmp_path / "run", stop_at)
            if num_processes == 1:
                losses = losses_of(train_on(*arguments))
            else:
                run_together(train_on_and_write, *arguments, num_processes=2)
                losses = json.loads((tmp_path / "run" / "losses.json").read_text())
        assert (tmp_path / "run" / "checkpoint-3").is_dir()
        assert list(losses.values()) == pytest.approx(list(straight.values()), rel=1e-5)


class TestShards:
    def test_trains_and_evaluates(self, trainer_of, folder):
        trainer = trainer_of(folder, folder, eval_num_samples=2)
        trainer.train()
        assert trainer.evaluate()["eval_loss"] > 0

    @pytest.mark.parametrize("kind", ["documents", "windows"])
    def test_epochs(self, trainer_of, folder, kind):
        trainer = trainer_of(str(folder), max_steps=-1, num_train_epochs=1.5, row_kind=kind)
        rows = trainer.train_dataset.num_rows(trainer.train_dataset.entries[0])
        trainer.train()
        assert trainer.state.global_step == -(-rows * 16 * 3 // 2 // 256)
        assert trainer.state.log_history[-1]["epoch"] == 1.5

    def test_epochs_of_rows_that_are_ready(self, trainer_of, random_ids):
        rows = random_ids(48, 16)
        batches = trainer_of(rows, max_steps=-1, num_train_epochs=2).get_train_dataloader()
        drawn = torch.cat([batch["labels"] for batch in batches])
        assert len(drawn) == 96
        for epoch in drawn.split(48):
            assert sorted(epoch.tolist()) == sorted(rows.tolist())

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"vocab_size": 500}, "`model` must have all tokens of the corpus, 500 in .*tokens, but has "),
            ({"eos": 7}, "`model` must have the `eos_token_id` of the corpus, 1 in .*, but has 7"),
        ],
        ids=["vocabulary", "EOS"],
    )
    def test_a_folder_of_another_tokenizer(self, tiny_model, tmp_path, change, message):
        folder = write_token_folder(tmp_path / "tokens", train=DOCUMENTS, vocab_size=change.get("vocab_size", 99))
        model = tiny_model(bos_token_id=BOS, eos_token_id=change.get("eos", EOS))
        args = LLaDAPretrainingConfig(str(tmp_path), max_steps=1, use_cpu=True)
        with pytest.raises(ValueError, match=message):
            LLaDAPretrainer(model, args, folder)

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ({"input_ids": [[5, 6], [7]]}, "But got Dataset: .* are packed if they come from `dataset.to_iterable"),
            ({"text": ["a"]}, "must be rows: .* But got Dataset: .*input_ids"),
        ],
        ids=["several lengths", "no ids"],
    )
    def test_a_dataset_that_is_no_rows(self, trainer_of, rows, message):
        with pytest.raises(ValueError, match=message):
            trainer_of(datasets.Dataset.from_dict(rows))

    def test_errors_before_any_work(self, trainer_of, folder, mixture, tmp_path):
        with pytest.raises(ValueError, match="`width` must be at most"):
            trainer_of(folder, row_length=100_000)
        with pytest.raises(ValueError, match="`row_length`, the width of rows, must be at most the positions"):
            trainer_of(folder, row_length=1000)
        with pytest.raises(ValueError, match="has no manifest.json"):
            trainer_of(tmp_path)
        with pytest.raises(ValueError, match="One of `max_steps` and `num_train_epochs`"):
            trainer_of(folder, num_train_epochs=2)
        with pytest.raises(ValueError, match="`num_train_epochs` needs rows of one kind"):
            trainer_of(mixture, max_steps=-1, num_train_epochs=2)
        with pytest.raises(ValueError, match="`tokens_per_step` must be a multiple"):
            trainer_of(folder, tokens_per_step=100).train()
        with pytest.raises(ValueError, match="`tokens_per_step` must be a positive integer"):
            trainer_of(folder, tokens_per_step=0, max_steps=-1, num_train_epochs=1)
        with pytest.raises(ValueError, match="`row_length` must be an integer of at least 2"):
            trainer_of(folder, row_length=1)
        with pytest.raises(ValueError, match="`row_kind` must be windows or documents, but got 'spans'"):
            trainer_of(folder, row_kind="spans")

    def test_an_evaluation_that_does_not_fit(self, trainer_of, tmp_path, random_ids):
        """It is said before training, not at the first evaluation."""
        other = write_token_folder(tmp_path / "other", vocab_size=500, validation=DOCUMENTS)
        with pytest.raises(ValueError, match="`model` must have all tokens of the corpus, 500"):
            trainer_of(random_ids(8, 16), other)
        alone = write_token_folder(tmp_path / "alone", train=DOCUMENTS)
        with pytest.raises(ValueError, match="`split` must be a split of the corpus, train, but got 'validation'"):
            trainer_of(alone, {"a folder": alone})

    def test_rows_that_are_ready_but_do_not_fit(self, trainer_of):
        with pytest.raises(
            ValueError, match="`input_ids` of `train_dataset` must be ids below .*, 99, .* from 5 to 99"
        ):
            trainer_of(torch.tensor([[5, 99]]))
        with pytest.raises(ValueError, match=r"`train_dataset` must hold rows .* but has shape \(0, 16\)"):
            trainer_of(torch.zeros(0, 16, dtype=torch.long))


class TestStreams:
    def rows(self, dataset, entry=WINDOWS, tokenizer=None):
        return StreamRows(dataset, entry, bos_token_id=BOS, eos_token_id=EOS, vocab_size=99, tokenizer=tokenizer)

    def test_each_shard_fills_the_same_rows(self, folder):
        streams = [[token for document in DOCUMENTS[part::4] for token in [BOS, *document, EOS]] for part in range(4)]
        rows = self.rows(stream_of(folder))
        for step in range(3):
            expected = [stream[(2 * step + row) * 16 :][:16] for stream in streams for row in range(2)]
            assert rows.read(WINDOWS, step, 8, slice(0, 8)).tolist() == expected

    @pytest.mark.parametrize("processes", [2, 4, 8])
    def test_processes_read_parts_of_the_same_rows(self, folder, processes):
        whole, part = self.rows(stream_of(folder)), 8 // processes
        readers = [self.rows(stream_of(folder)) for _ in range(processes)]
        for step in range(3):
            parts = [
                reader.read(WINDOWS, step, 8, slice(rank * part, (rank + 1) * part))
                for rank, reader in enumerate(readers)
            ]
            np.testing.assert_array_equal(np.concatenate(parts), whole.read(WINDOWS, step, 8, slice(0, 8)))
        assert all(len(reader.streams) == max(1, 4 // processes) for reader in readers), "the others are not read"

    @pytest.mark.parametrize("saved", [True, False], ids=["from the state", "from the beginning"])
    def test_goes_on_where_it_was(self, folder, tmp_path, caplog, saved):
        straight = self.rows(stream_of(folder))
        steps = [straight.read(WINDOWS, step, 8, slice(0, 8)) for step in range(9)]
        if saved:
            straight.save(tmp_path, 5)
            assert len(list(tmp_path.glob("streams/*.json"))) == 4
        caplog.set_level("WARNING")
        resumed = self.rows(stream_of(folder))
        resumed.resume(tmp_path)
        for step in range(5, 9):
            np.testing.assert_array_equal(resumed.read(WINDOWS, step, 8, slice(0, 8)), steps[step])
        assert ("its first 5 steps are read again" in caplog.text) is not saved
        np.testing.assert_array_equal(resumed.read(WINDOWS, 0, 8, slice(0, 8)), steps[0], "another training")

    def test_goes_on_in_a_repeated_dataset(self, tmp_path):
        documents = datasets.Dataset.from_dict({"input_ids": [[5] * 30, [6] * 9]})

        def make():
            return self.rows(documents.to_iterable_dataset().repeat(None))

        straight = make()
        steps = [straight.read(WINDOWS, step, 2, slice(0, 2)) for step in range(9)]
        straight.save(tmp_path, 6)
        resumed = make()
        resumed.resume(tmp_path)
        for step in range(6, 9):
            np.testing.assert_array_equal(resumed.read(WINDOWS, step, 2, slice(0, 2)), steps[step])

    def test_resumed_with_other_steps(self, folder, tmp_path):
        rows = self.rows(stream_of(folder))
        rows.read(WINDOWS, 0, 8, slice(0, 8))
        rows.save(tmp_path, 1)
        resumed = self.rows(stream_of(folder))
        resumed.resume(tmp_path)
        with pytest.raises(ValueError, match="`tokens_per_step` and .* came from 4 streams, but they make 2"):
            resumed.read(WINDOWS, 1, 6, slice(0, 6))

    def test_texts_and_a_tokenizer(self, tmp_path):
        texts = datasets.Dataset.from_dict({"text": ["w7 w8 w9", "w10 w11", "w12"] * 20, "number": list(range(60))})
        straight = self.rows(texts.to_iterable_dataset(), tokenizer=made_up_tokenizer())
        steps = [straight.read(WINDOWS, step, 1, slice(0, 1)) for step in range(6)]
        assert steps[0][0].tolist() == [BOS, 7, 8, 9, EOS, BOS, 10, 11, EOS, BOS, 12, EOS, BOS, 7, 8, 9]
        straight.save(tmp_path, 4)
        resumed = self.rows(texts.to_iterable_dataset(), tokenizer=made_up_tokenizer())
        resumed.resume(tmp_path)
        np.testing.assert_array_equal(resumed.read(WINDOWS, 4, 1, slice(0, 1)), steps[4])
        np.testing.assert_array_equal(resumed.read(WINDOWS, 0, 1, slice(0, 1)), steps[0], "another training")

    def test_documents_do_not_share_rows(self):
        dataset = datasets.Dataset.from_dict({"input_ids": [[5] * 17, [6] * 3, []] * 4}).to_iterable_dataset()
        rows = self.rows(dataset, RowEntry("documents", 16, 1.0)).read(WINDOWS, 0, 4, slice(0, 4))
        assert rows.tolist() == [[5] * 16, [5] + [EOS] * 15, [6] * 3 + [EOS] * 13, [EOS] * 16]

    def test_an_end_before_the_last_step(self, trainer_of):
        dataset = datasets.Dataset.from_dict({"input_ids": [[5] * 30] * 20}).to_iterable_dataset()
        with pytest.raises(ValueError, match=r"ended in step 3, before `max_steps`.*repeat\(None\)"):
            trainer_of(dataset).train()
        trainer_of(dataset.repeat(None)).train()

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"text": ["a"]}, "`processing_class` must be the tokenizer"),
            ({"body": ["a"]}, "must have a column `input_ids` or `text`, but has body"),
            ({"input_ids": [[3, 99]]}, "must be ids below the vocabulary of the model, 99, .* from 3 to 99"),
            ({"input_ids": [None]}, "must be the list of the ids of a document, but got None"),
            ({"input_ids": [[[3]]]}, r"must be the list of the ids of a document, but got \[\[3\]\]"),
        ],
        ids=["no tokenizer", "no column", "ids", "no ids", "nested ids"],
    )
    def test_a_dataset_that_does_not_fit(self, columns, message):
        dataset = datasets.Dataset.from_dict(columns).to_iterable_dataset()
        with pytest.raises(ValueError, match=message):
            self.rows(dataset).read(WINDOWS, 0, 1, slice(0, 1))

    def test_a_text_that_is_none(self):
        dataset = datasets.Dataset.from_dict({"text": ["w7", None]}).to_iterable_dataset()
        with pytest.raises(ValueError, match="`text` of `train_dataset` must be a text in each row, but got None"):
            self.rows(dataset, tokenizer=made_up_tokenizer()).read(WINDOWS, 0, 1, slice(0, 1))

    def test_an_error_while_reading_ahead(self, trainer_of):
        """It comes in its turn, and nothing is read again."""
        read = []

        def documents():
            for number in range(100):
                if number == 40:
                    raise RuntimeError("a broken file")
                read.append(number)
                yield {"input_ids": [5] * 30}

        trainer = trainer_of(datasets.IterableDataset.from_generator(documents), max_steps=9)
        read.clear()
        with pytest.raises(RuntimeError, match="a broken file"):
            trainer.train()
        assert trainer.state.global_step == 5 and read == list(range(40))

    @pytest.mark.parametrize("is_repeated", (False, True))
    def test_a_shard_without_documents(self, is_repeated):
        if is_repeated and Version(datasets.__version__) < Version("5"):
            pytest.skip("older releases of datasets repeat a shard without documents for ever")

        def documents(parts):
            yield from ({"input_ids": [part] * 30} for part in parts)

        both = datasets.IterableDataset.from_generator(documents, gen_kwargs={"parts": [5, 6]})
        alone = both.filter(lambda row: row["input_ids"][0] == 5)
        dataset = alone.repeat(None) if is_repeated else alone
        with pytest.raises(ValueError, match="must have documents in each of its 2 shards, but one has none"):
            self.rows(dataset).read(WINDOWS, 0, 4, slice(0, 4))

    def test_no_documents_at_all(self):
        dataset = datasets.Dataset.from_dict({"input_ids": [[5]]}).to_iterable_dataset().filter(lambda row: False)
        with pytest.raises(ValueError, match="must have documents, but it is empty"):
            self.rows(dataset)

    def test_epochs_are_refused(self, trainer_of, folder):
        with pytest.raises(ValueError, match="`num_train_epochs` needs rows"):
            trainer_of(stream_of(folder), max_steps=-1, num_train_epochs=1)
