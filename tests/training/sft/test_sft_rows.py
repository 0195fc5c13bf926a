# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The steps between a dataset and rows to train on, which work on many rows at a time."""

from types import SimpleNamespace

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset, Features, LargeList, List, Value

from modeling_llada.training import LLaDASFTConfig
from modeling_llada.training.sft.formats import read_rows
from modeling_llada.training.sft.rows import (
    BATCH_SIZE,
    check_no_padding,
    check_rows,
    cut_rows,
    finish_rows,
    tokenized_rows,
)


EOS, MASK, BLANK, UNKNOWN = 0, 2, 3, 4
TOKENIZER = SimpleNamespace(
    eos_token_id=EOS,
    pad_token_id=EOS,
    bos_token_id=None,
    mask_token_id=MASK,
    mask_token="[MASK]",
    unk_token_id=UNKNOWN,
    unk_token="<|unk|>",
    chat_template=None,
    decode=lambda tokens: {BLANK: "\n"}.get(tokens[0], "月"),
)
MANY = 2 * BATCH_SIZE + 10


@pytest.fixture
def args_of(tmp_path):
    return lambda **settings: LLaDASFTConfig(str(tmp_path), use_cpu=True, **settings)


def rows_of(labels, tokens=None, kind=None):
    tokens = [[7 if label == -100 else label for label in row] for row in labels] if tokens is None else tokens
    features = None if kind is None else Features({"input_ids": kind, "labels": kind})
    return Dataset.from_dict({"input_ids": tokens, "labels": labels}, features=features)


class TestFinish:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, [[5, 6, EOS], [5, EOS], [5, -100], [], [-100, 5, 6, 8, EOS]]),
            ({"max_length": 3}, [[5, 6, EOS], [5, EOS], [5, -100], [], [-100, 5, 6]]),
            ({"max_length": 3, "truncation_mode": "keep_end"}, [[5, 6, EOS], [5, EOS], [5, -100], [], [6, 8, EOS]]),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings("ignore")
    def test_ends_with_eos_and_cuts(self, args_of, settings, expected):
        rows = rows_of([[5, 6], [5, EOS], [5, -100], [], [-100, 5, 6, 8]]).add_column("other", [0] * 5)
        args = args_of(**({"max_length": None} | settings))
        finished = cut_rows(finish_rows(rows, "train_dataset", args, TOKENIZER), "train_dataset", args)
        assert finished.column_names == ["input_ids", "labels"]
        assert finished["labels"][:] == expected
        for tokens, labels in zip(finished["input_ids"], finished["labels"], strict=True):
            assert tokens == [7 if label == -100 else label for label in labels]

    @pytest.mark.parametrize(
        ("tokens", "labels", "expected"),
        [
            ([7, 8, EOS, BLANK], [-100, 8, EOS, BLANK], [-100, 8, EOS]),
            ([7, 8, EOS, BLANK], [-100, 8, EOS, -100], [-100, 8, EOS]),
            ([8, EOS, BLANK, BLANK, EOS], [8, EOS, BLANK, BLANK, EOS], [8, EOS]),
            ([8, EOS, BLANK, 7, 9, EOS, BLANK], [8, EOS, BLANK, -100, 9, EOS, BLANK], [8, EOS, -100, -100, 9, EOS]),
            ([8, EOS, BLANK, 9], [8, EOS, BLANK, 9], [8, EOS, BLANK, 9, EOS]),
            ([8, EOS, EOS], [8, EOS, EOS], [8, EOS, EOS]),
            ([8, BLANK], [8, BLANK], [8, BLANK, EOS]),
        ],
        ids=["labelled", "not labelled", "EOS of TRL", "turns", "one text", "filled with EOS", "of the text"],
    )
    def test_one_eos_before_a_line_break(self, args_of, tokens, labels, expected):
        (row,) = finish_rows(rows_of([labels], [tokens]), "train_dataset", args_of(max_length=None), TOKENIZER)
        assert row["labels"] == expected
        assert row["input_ids"] == (tokens + [EOS])[: len(expected)]


class TestCheck:
    """The rows are named by their numbers in the dataset."""

    @pytest.fixture
    def check(self, args_of):
        return lambda rows, **settings: check_rows(rows, "rows", args_of(max_length=None, **settings), TOKENIZER, 100)

    @pytest.mark.parametrize("bad", [[-100, -100], [-100, EOS], []], ids=str)
    def test_without_a_response(self, check, bad):
        labels = [[-100, 5]] * MANY
        check(rows_of(labels))
        for row in (3, BATCH_SIZE, MANY - 1):
            labels[row] = bad
        with pytest.raises(ValueError, match=rf"3 of {MANY} rows \(3, {BATCH_SIZE}, {MANY - 1}\).*is empty"):
            check(rows_of(labels))

    @pytest.mark.parametrize("bad", [-1, 100])
    def test_outside_of_the_embedding(self, check, bad):
        tokens = [[5, 99]] * MANY
        tokens[BATCH_SIZE + 1] = [5, bad]
        with pytest.raises(ValueError, match=rf"from 0 to 99.*1 of {MANY} rows \({BATCH_SIZE + 1}\)"):
            check(rows_of([[5, -100]] * MANY, tokens))

    @pytest.mark.parametrize("bad", [6, -50])
    def test_labels_of_other_tokens(self, check, bad):
        with pytest.raises(ValueError, match=r"equal `input_ids` or are -100.*1 of 2 rows \(1\)"):
            check(rows_of([[-100, 8], [-100, bad]], [[7, 8], [7, 8]]))

    def test_nothing_but_unknown_tokens(self, check, caplog):
        check(rows_of([[5, UNKNOWN, EOS], [-100, 5]], [[5, UNKNOWN, EOS], [UNKNOWN, 5]]))
        assert "2 of 2 rows (0, 1) of `rows` have characters that the tokenizer does not know" in caplog.text
        with pytest.raises(ValueError, match=r"in 1 of 2 rows \(1\) the response is nothing but <\|unk\|>"):
            check(rows_of([[5, UNKNOWN], [-100, UNKNOWN, EOS]]))

    def test_longer_than_they_are_filled(self, check):
        labels = [[5] * 4] * MANY
        labels[BATCH_SIZE] = [5] * 5
        check(rows_of(labels), eos_fill=5)
        with pytest.raises(ValueError, match=rf"at most `eos_fill=4` tokens, but 1 of {MANY} rows \({BATCH_SIZE}\)"):
            check(rows_of(labels), eos_fill=4)

    @pytest.mark.parametrize(
        "kind",
        [List(Value("int32")), LargeList(Value("int64")), List(Value("int64"), length=2)],
        ids=["32 bits", "large", "fixed"],
    )
    def test_columns_of_any_kind(self, check, args_of, kind):
        check(tokenized_rows(rows_of([[-100, 5], [5, 6]], kind=kind), "rows", args_of()))
        with pytest.raises(ValueError, match=r"1 of 2 rows \(1\)"):
            check(rows_of([[-100, 5], [-100, EOS]], kind=kind))

    def test_only_the_rows_that_are_selected(self, check):
        rows = rows_of([[-100, -100], [5, 6], [-100, -100], [7, 8]])
        check(rows.select([3, 1]))
        with pytest.raises(ValueError, match=r"1 of 3 rows \(2\)"):
            check(rows.select([3, 1, 0]))

    def test_without_labels_all_is_trained_on(self, check):
        check(rows_of([[5]]).remove_columns("labels"))
        with pytest.raises(ValueError, match=r"1 of 1 rows \(0\)"):
            check(rows_of([[5]], [[EOS]]).remove_columns("labels"))


class TestMasks:
    """Rows that were tokenized before carry the response as a mask, or as labels."""

    @pytest.mark.parametrize(
        ("settings", "masks", "expected"),
        [
            ({}, {"completion_mask": [0, 1, 1]}, [-100, 6, 7]),
            ({}, {"assistant_masks": [0, 1, 0]}, [-100, 6, -100]),
            ({}, {"completion_mask": [0, 1, 1], "assistant_masks": [1, 1, 0]}, [-100, 6, -100]),
            ({}, {"completion_mask": [0, 1, 1], "labels": [-100, -100, 7]}, [-100, -100, 7]),
            (
                {"completion_only_loss": False},
                {"completion_mask": [0, 1, 1], "assistant_masks": [1, 1, 0]},
                [5, 6, -100],
            ),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("packed", [{}, {"seq_lengths": [[3]]}], ids=str)
    def test_become_labels(self, args_of, settings, masks, expected, packed):
        rows = Dataset.from_dict({"input_ids": [[5, 6, 7]]} | {name: [mask] for name, mask in masks.items()} | packed)
        assert tokenized_rows(rows, "rows", args_of(**settings))["labels"][:] == [expected]

    def test_formats_are_not_read(self, args_of):
        rows = Dataset.from_dict({"input_ids": [[5, 6, 7]], "completion_mask": [[0, 1, 1]]}).with_format("torch")
        assert tokenized_rows(rows, "rows", args_of())[0]["labels"] == [-100, 6, 7]


def test_padding():
    masks = [[1, 1]] * MANY
    check_no_padding(Dataset.from_dict({"attention_mask": masks}), "rows")
    masks[BATCH_SIZE] = [1, 0]
    with pytest.raises(ValueError, match=rf"1 of {MANY} rows \({BATCH_SIZE}\).*on the right"):
        check_no_padding(Dataset.from_dict({"attention_mask": masks}), "rows")


def test_the_last_answer(args_of):
    talk = [{"role": role, "content": role[0] + "!"} for role in ("system", "user", "assistant")]
    talks = [talk, talk[1:]] * BATCH_SIZE
    rows = read_rows(Dataset.from_dict({"messages": talks, "id": range(len(talks))}), "rows", args_of())
    assert (rows[0]["prompt"], rows[0]["completion"]) == (talk[:2], talk[2:])
    assert (rows[len(talks) - 1]["prompt"], rows[len(talks) - 1]["completion"]) == (talk[1:2], talk[2:])

    talks[BATCH_SIZE + 5] = talk[:2]
    with pytest.raises(ValueError, match=rf"1 of {len(talks)} rows \({BATCH_SIZE + 5}\) do not"):
        read_rows(Dataset.from_dict({"messages": talks}), "rows", args_of())


class TestColumns:
    """Columns of rows that were tokenized before."""

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"input_ids": [[5.5, 6.0]]}, "lists of integers in the column `input_ids`, but they are .*double"),
            ({"input_ids": [["5"]]}, "lists of integers in the column `input_ids`, but they are .*string"),
            ({"input_ids": ["五"]}, "lists of integers in the column `input_ids`, but they are string"),
            ({"input_ids": [None, None]}, "lists of integers in the column `input_ids`, but they are null"),
            ({"input_ids": [[5], None]}, r"lists of integers in the column `input_ids`, but 1 of 2 rows \(1\)"),
            ({"input_ids": [[5], [5, None]]}, r"lists of integers in the column `input_ids`, but 1 of 2 rows \(1\)"),
            (
                {"input_ids": [[5, 6]] * 2, "completion_mask": [[0, 1], [0, 2]]},
                r"0 and 1 in the column `completion_mask`, but 1 of 2 rows \(1\)",
            ),
            ({"input_ids": [[5]], "attention_mask": [[0.5]]}, "the column `attention_mask`, but they are .*double"),
            ({"input_ids": [[5]], "labels": [[5.0]]}, "lists of integers in the column `labels`"),
        ],
    )
    def test_of_other_values(self, args_of, columns, message):
        with pytest.raises(ValueError, match=message):
            tokenized_rows(Dataset.from_dict(columns), "rows", args_of())

    def test_masks_of_truth_values(self, args_of):
        rows = Dataset.from_dict({"input_ids": [[5, 6]], "completion_mask": [[False, True]]})
        assert tokenized_rows(rows, "rows", args_of())["labels"][:] == [[-100, 6]]


@pytest.mark.parametrize(("mode", "lost"), [("keep_start", "teach the model not to stop"), ("keep_end", "beginning")])
@pytest.mark.filterwarnings("ignore")
def test_cut_rows_are_said(args_of, caplog, mode, lost):
    rows = rows_of([[5, 6], [5, 6, 7, 8], [5] * 9])
    assert len(cut_rows(rows, "rows", args_of(max_length=9, truncation_mode=mode))[2]["labels"]) == 9
    assert not caplog.text
    assert len(cut_rows(rows, "rows", args_of(max_length=3, truncation_mode=mode))[2]["labels"]) == 3
    assert "2 of 3 rows (1, 2) of `rows` are longer than `max_length=3` and are cut" in caplog.text
    assert lost in caplog.text and "The longest has 9 tokens" in caplog.text
