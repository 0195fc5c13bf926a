# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/smollm2: the text, the weights, and the study with a tiny model of four bits."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch


pytest.importorskip("gguf", reason="the recipe reads weights with it")
pytest.importorskip("lxml", reason="the recipe reads pages with it")
pytest.importorskip("trl", reason="the recipe trains")

from support.tiny_gguf import sentences, write_packages  # noqa: E402

import evidence.claim_conversion as claim  # noqa: E402
from evidence.__main__ import picture  # noqa: E402
from modeling_llada.conversion import from_autoregressive  # noqa: E402
from modeling_llada.training import Corpus  # noqa: E402
from recipes.packages import version_of  # noqa: E402
from recipes.smollm2 import markup, weights  # noqa: E402
from recipes.smollm2.__main__ import main  # noqa: E402
from recipes.smollm2.corpus import Paragraphs, held_out_windows, is_held_out, is_prose  # noqa: E402
from recipes.smollm2.measuring import Judge, Measure, entropies  # noqa: E402
from recipes.smollm2.prepare import prepare  # noqa: E402
from recipes.smollm2.results import from_converted  # noqa: E402
from recipes.smollm2.sources import PACKAGES, in_pages  # noqa: E402
from reporting.plots import draw_themes  # noqa: E402
from reporting.results import save  # noqa: E402


CONFIG = "recipes/smollm2/smollm2.yaml"
TINY = [
    "width=32", "training.max_steps=4", "training.tokens_per_step=256", "training.warmup_steps=1",
    "training.logging_steps=1", "measure.steps=[2]", "measure.windows=8", "measure.noise_samples=1",
    "measure.prompts=3", "measure.prompt_tokens=8", "measure.new_tokens=8", "measure.batch_size=8",
    "measure.decoding={'random order': {'remasking': random, 'temperature': 1.0, 'steps': 8}, 'one pass': {'steps': 1}}",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What `prepare` makes of tiny packages."""
    folder = tmp_path_factory.mktemp("smollm2")
    package, sources = write_packages(folder / "packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "WEIGHTS", package)
        prepare(folder / "packages", folder / "data", sources)
    return folder / "data"


@pytest.fixture
def run(data, tmp_path):
    """Runs `train` in small; more arguments may be given."""

    def train(*arguments, folder=tmp_path / "run"):
        options = ["--data", str(data), "--output-dir", str(folder), "--device", "cpu", "--set", *TINY]
        main(["train", "--config", CONFIG, *options, *arguments])
        return folder

    return train


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


class TestMarkup:
    def test_pages_keep_paragraphs_without_code_and_navigation(self):
        page = b"""<html><body><nav>Home</nav><h1>Title</h1><p>A <b>bold</b> claim<br>on
        two lines.</p><pre>x = 1</pre><div class="sphinxsidebar">Index</div><ul><li>First</li><li>Second</li></ul>
        <!-- no text --><table><tr><td>1</td></tr></table>Tail</body></html>"""
        assert markup.html_paragraphs(page) == ["Title", "A bold claim on two lines.", "First", "Second", "Tail"]
        assert markup.html_paragraphs(b" \n") == []

    def test_pod(self):
        text = "=head1 NAME\n\nperl - see L<perlref/Making> and L<the book|perlbook>\n\n  $code = 1;\n\n=over 4\n\n"
        text += "=begin html\n\n<p>no</p>\n\n=end html\n\nC<I<print>> and E<lt>STDINE<gt>X<index>\n"
        assert markup.pod_paragraphs(text) == ["NAME", "perl - see perlref/Making and the book", "print and <STDIN>"]

    def test_dictionaries(self):
        entry = 'Absolute \\Ab"so*lute\\, n. (Geom.)\n   In a {plane}, the tw[=o] circular\n   points. [1913 Webster]\n\n   Syn: --'
        assert markup.dictionary_entries(entry) == [
            "Absolute n. (Geom.) In a plane, the two circular points.",
            "Syn: --",
        ]
        line = "00592535 04 n 02 foremanship 0 gang_work 0 003 @ 00586262 n 0000 | the position of foreman  "
        assert list(markup.wordnet_glosses(f"  1 a licence\n{line}\n")) == [
            "foremanship, gang work: the position of foreman"
        ]

    def test_strings_of_r(self):
        strings = [b"EMMA", b"", "Café".encode()]
        data = b"X\n" + struct.pack(">iiii", 3, 0, 0, 5) + b"UTF-8" + struct.pack(">ii", 16, len(strings))
        data += b"".join(struct.pack(">ii", 0x40009, len(one)) + one for one in strings)
        block = struct.pack(">i", len(data)) + zlib.compress(data)
        assert list(markup.lines_of_r_data(block * 2)) == [["EMMA", "", "Café"]] * 2


class TestCorpus:
    def test_paragraphs_are_prose_and_come_once(self):
        prose = "The driver returns the value of its argument 1 of 2 times."
        kept = list(Paragraphs().keep([prose, "Short.", prose.replace("1", "7").upper().lower(), "{x: 1}; " * 20]))
        assert kept == [prose]
        assert not is_prose("これは四十文字よりも長い日本語の文章であり、英語の散文ではありません。" * 3)

    def test_documents_are_held_out_by_their_names(self):
        held_out = [is_held_out(f"package {number}") for number in range(5000)]
        assert 0.01 < np.mean(held_out) < 0.03
        assert held_out == [is_held_out(f"package {number}") for number in range(5000)]

    def test_entries_are_put_together_in_pages(self):
        pages = list(in_pages(["a" * 1500] * 7))
        assert [len(page) for page in pages] == [3, 3, 1]

    def test_no_paragraph_is_trained_on_and_held_out(self, data):
        corpus = Corpus.load(data / weights.CORPUS)
        assert corpus.splits["train"].tokens.dtype == np.uint16
        about = read(data / weights.ABOUT)
        assert about["tokens"] == {name: len(split.tokens) for name, split in corpus.splits.items()}
        assert {text["licence"] for text in about["texts"]} == {"CC0-1.0"}
        assert (corpus.bos_token_id, corpus.eos_token_id, corpus.mask_token_id) == (0, 2, 3)

    def test_windows_lie_in_one_document_each(self, data):
        corpus = Corpus.load(data / weights.CORPUS)
        test, width = corpus.splits["test"], 32
        windows = held_out_windows(corpus, width, 10**6)
        assert len(windows) == sum(length // width for length in test.lengths)
        documents = np.split(test.tokens, np.cumsum(test.lengths)[:-1])
        texts = [" ".join(map(str, document)) for document in documents]
        for window in windows:
            assert any(" ".join(map(str, window)) in text for text in texts)
        with pytest.raises(ValueError, match="`width` must be at most"):
            held_out_windows(corpus, 10**6, 1)

    def test_each_package_has_a_licence_and_a_source(self):
        assert all(package.licence and package.source.startswith("http") for package in PACKAGES)

    def test_versions_of_debian_are_as_debian_writes_them(self, tmp_path):
        (tmp_path / "git-doc_1%3a2.39.5-0+deb12u3_all.deb").write_bytes(b"")
        package = next(one for one in PACKAGES if one.name == "git-doc")
        assert version_of(package, tmp_path) == "1:2.39.5-0+deb12u3"


class TestWeights:
    def test_the_converted_model_has_the_logits_of_the_original_under_a_causal_mask(self, data):
        original = weights.load_original(data)
        model = from_autoregressive(original, mask_token_id=3)
        input_ids = torch.from_numpy(held_out_windows(Corpus.load(data / weights.CORPUS), 32, 4))
        causal = torch.ones(1, 1, 32, 32, dtype=torch.bool).tril()
        logits = model(input_ids, attention_mask=causal).logits
        torch.testing.assert_close(logits, original(input_ids).logits, atol=1e-5, rtol=1e-5)
        assert model.dtype == torch.float32 and len(logits.unique()) > 100

    def test_the_tokenizer_writes_text_back(self, data):
        tokenizer = weights.load_tokenizer(data / weights.GGUF)
        text = sentences(1, seed=0)[0]
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
        assert tokenizer.mask_token == "<repo_name>"

    def test_a_missing_file_and_a_missing_library_are_named(self, data, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match="`data` must be a folder of `python -m recipes.smollm2 prepare`"):
            weights.load_original(tmp_path)
        for name in (weights.GGUF, weights.TOKENIZER, weights.CORPUS):
            (tmp_path / name).symlink_to(data / name)
        with pytest.raises(ValueError, match=r"there is no .*about\.json"):
            main(["train", "--config", CONFIG, "--data", str(tmp_path), "--output-dir", str(tmp_path / "run")])
        monkeypatch.setattr(weights, "is_gguf_available", lambda: False)
        with pytest.raises(ValueError, match=r"needs the library gguf: `pip install -e '.\[smollm2\]'`"):
            weights.load_original(data)


def test_entropy_of_tokens():
    rows = torch.tensor([[1, 1, 1, 1], [1, 1, 2, 2], [1, 2, 3, 4]])
    assert entropies(rows).tolist() == pytest.approx([0.0, np.log(2), np.log(4)])


def test_an_autoregressive_model_completes_what_follows_its_bos(data):
    original = weights.load_original(data)
    original.config.bos_token_id = 0
    windows = torch.from_numpy(held_out_windows(Corpus.load(data / weights.CORPUS), 32, 4))
    measure = Measure(
        [], 4, 1, prompts=4, prompt_tokens=8, new_tokens=8, batch_size=4, decoding={}, sampling={}, texts=4
    )
    judge = Judge(measure, original, windows, weights.load_tokenizer(data / weights.GGUF))
    rows = torch.nn.functional.pad(windows[:, :8], (1, 0), value=0)
    for _ in range(8):
        logits = original(rows).logits[:, -1]
        logits[:, judge.never] = -torch.inf
        rows = torch.cat([rows, logits.argmax(-1, keepdim=True)], dim=1)
    assert judge.sampled(original, {"do_sample": False})["texts"] == judge.decoded(rows[:, 9:])


def test_models_are_compared_window_by_window():
    records = {name: {"points": [{}, {"windows": windows}]} for name, windows in
               {"converted": [3.0, 5.0, 4.0], "annealed": [2.9, 4.9, 3.9]}.items()}  # fmt: skip
    difference = from_converted(records)["annealed"]
    assert list(difference.values()) == pytest.approx([-0.1] * 3)
    assert records["annealed"]["points"][-1] == {}


class TestStudy:
    def test_a_model_is_trained_measured_and_collected(self, run, data, tmp_path):
        folder = run("--model", "annealed")
        record = read(folder / "annealed.json")
        assert [point["step"] for point in record["points"]] == [0, 2, 4]
        assert [point["tokens"] for point in record["points"]] == [0, 512, 1024]
        assert [list(point["samples"]) for point in record["points"]][-2:] == [
            ["random order"],
            ["random order", "one pass"],
        ]
        original = weights.load_original(data)
        windows = torch.from_numpy(held_out_windows(Corpus.load(data / weights.CORPUS), 32, 8))
        rows = torch.cat([torch.zeros(8, 1, dtype=torch.long), windows], dim=1)
        exact = original(input_ids=rows, labels=rows).loss.item()
        assert read(folder / "original.json")["nats"]["mean"] == pytest.approx(exact, rel=1e-4)
        assert (folder / "annealed/final/model.safetensors").is_file()
        assert "from data. Steps: 4." in (folder / "annealed/final/README.md").read_text()
        main(["collect", "--run", str(folder), "--json", str(tmp_path / "results.json")])
        results = read(tmp_path / "results.json")
        assert set(results["models"]) == {"annealed"}
        original = results["original"]
        assert original["corpus"] == read(data / weights.ABOUT) and len(original["beginnings"]) == 3

    def test_each_call_gets_on_and_an_unfinished_model_is_no_result(self, run, tmp_path, capsys):
        folder = run("--max-minutes", "1e-6")
        assert (folder / "converted/checkpoint-1").is_dir() and not (folder / "random.json").exists()
        main(["collect", "--run", str(folder), "--json", str(tmp_path / "results.json")])
        assert "with 0 of 4 models: none is done" in capsys.readouterr().out
        assert read(tmp_path / "results.json")["models"] == {}

    def test_bad_input(self, run, tmp_path):
        with pytest.raises(ValueError, match="`--model` must be one of converted, random, annealed, autoregressive"):
            run("--model", "other")
        with pytest.raises(ValueError, match="`remasking` must be one of"):
            run("--set", "measure.decoding.one pass.remasking=first")
        with pytest.raises(ValueError, match="there is no .*original.json"):
            main(["collect", "--run", str(tmp_path), "--json", str(tmp_path / "results.json")])
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "recipe.json").write_text("{}")
        with pytest.raises(ValueError, match="`output_dir` already has a run"):
            run()
        with pytest.raises(ValueError, match="`output_dir` has a run of another recipe"):
            run("--resume")

    @pytest.mark.slow
    def test_all_models_in_pieces_are_those_without_an_interruption(self, run, tmp_path):
        """Also where the process was killed after it had measured steps that no checkpoint has seen."""
        whole, pieces = run(folder=tmp_path / "whole"), tmp_path / "pieces"
        names = list(read(whole / "recipe.json")["models"])
        for call in range(len(names) * 4):  # each makes one step of one model
            killed = pieces / f"{names[call // 4]}.json"
            record = read(killed) if call % 4 else {"points": [], "seconds": 1e6}
            save(killed, record | {"points": [*record["points"], {"step": 4}]})
            run("--resume", "--max-minutes", "1e-6", folder=pieces)
        for name in names:
            assert 0 < read(pieces / f"{name}.json")["seconds"] < 1e5
            straight, resumed = (read(folder / f"{name}.json")["points"] for folder in (whole, pieces))
            assert [point["step"] for point in resumed] == [0, 2, 4]
            for one, other in zip(straight, resumed, strict=True):
                assert one["nats"]["mean"] == pytest.approx(other["nats"]["mean"], abs=1e-3)
        main(["collect", "--run", str(whole), "--json", str(tmp_path / "results.json")])
        results = {"measured": read(tmp_path / "results.json")}
        assert set(results["measured"]["from_converted"]) == set(names) - {"converted"}
        assert "converted, causal mask annealed" in claim.measured(results)


@pytest.fixture
def results():
    """Made-up results of the study."""
    value = lambda mean: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}  # noqa: E731
    sample = lambda mean: {"nats": value(mean), "entropy": value(3.5), "texts": ["text"]}  # noqa: E731

    def model(*nats):
        points = [
            {
                "step": step,
                "tokens": 1_000_000 * step,
                "nats": value(one),
                "samples": {"random order": sample(one + 1)},
            }
            for step, one in zip((0, 1, 10, 40), nats, strict=True)
        ]
        return {"points": points, "seconds": 100.0}

    return {
        "recipe": {"width": 512, "measure": {"prompts": 8, "prompt_tokens": 64, "new_tokens": 64}},
        "original": {
            "corpus": {"characters": {"train": 10**8, "test": 10**6}, "tokens": {"train": 20_000_000, "test": 10**5}},
            "nats": value(3.1),
            "samples": {"temperature 1": sample(3.3)},
            "held_out_text": sample(3.2),
            "held_out_windows": 8,
            "machine": {"name": "a GPU", "memory_gib": 80},
        },
        "from_converted": {"annealed": value(-0.1)},
        "models": {
            "converted": model(9.0, 7.0, 5.0, 4.0),
            "random": model(10.8, 8.0, 7.0, 6.0),
            "annealed": model(9.0, 6.5, 4.9, 3.9),
        },
    }


class TestClaim:
    def test_says_how_many_tokens_the_conversion_saves(self, results):
        # 6 nats lie halfway between those after 1 and 10 million tokens, in the logarithm of the tokens.
        assert claim.crossing(results["models"]["converted"]["points"], 6.0) == pytest.approx(1e6 * 10**0.5)
        assert "after 3.2 M tokens, so the conversion saves 92% of them" in claim.saving(results)
        assert claim.crossing(results["models"]["converted"]["points"], 3.0) is None
        assert claim.crossing(results["models"]["converted"]["points"], 9.5) == 0.0
        assert claim.crossing(results["models"]["converted"]["points"], 8.0) == pytest.approx(5e5)

    def test_texts_and_plots(self, results):
        results = {"measured": results}
        assert "a bound of 4.00 [3.90, 4.10] nats" in claim.summary(results)
        text = claim.measured(results)
        assert "| converted, causal mask annealed | 9.00 | 6.50 | 3.900 [3.800, 4.000] |" in text
        assert "changes the bound at the end by -0.100 [-0.200, 0.000] nats" in text
        (plot,) = claim.PLOTS
        assert all("random weights" in svg for svg in draw_themes(plot, results).values())
        assert "conversion-dark.svg" in picture(plot)
        assert "complete texts of 128 tokens, and were trained on rows of 512" in claim.differences(results)
        assert claim.paper(results)
        assert "5 min, a GPU" in str(claim.commands(results)[0])
        assert Path(CONFIG).is_file()
