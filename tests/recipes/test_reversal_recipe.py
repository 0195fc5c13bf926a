# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The scripts of the reversal test in recipes/poems: what is asked, what competes, and runs in small."""

import json
import shlex

import pytest
from transformers import AutoTokenizer, CompileConfig

from modeling_llada.evaluation.line_ranking import read_candidates


pytest.importorskip("trl", reason="TRL is not part of this environment")
pytest.importorskip("pypinyin", reason="pypinyin is not part of this environment")

from recipes.poems import ranking, reversal, reversal_tiny  # noqa: E402
from recipes.poems.check_form import rhyme_groups  # noqa: E402
from recipes.poems.couplets import famous_couplets  # noqa: E402


class TestRanking:
    def test_distractors_are_as_long_and_rhyme(self):
        couplets = famous_couplets()[:600]
        chosen = ranking.choose(couplets, number=5, num_distractors=9, seed=0)
        assert len(chosen) == 5 and chosen == ranking.choose(couplets, number=5, num_distractors=9, seed=0)
        for entry in chosen:
            for place in ("first", "second"):
                line, others = entry[place], entry[f"{place}_distractors"]
                assert len(set(others)) == 9 and line not in others
                for other in others:
                    assert len(other) == len(line)
                    assert rhyme_groups(other[-1]) & rhyme_groups(line[-1])

    def test_the_file_is_one_of_candidates(self, tmp_path):
        chosen = ranking.choose(famous_couplets()[:600], number=2, num_distractors=9, seed=0)
        path = tmp_path / "candidates.json"
        path.write_text(json.dumps(chosen), encoding="utf-8")
        assert [one.pair for one in read_candidates(path)] == [(entry["first"], entry["second"]) for entry in chosen]


class TestProtocol:
    def test_no_line_is_in_two_couplets_and_none_in_both_halves(self):
        train, test = reversal.split_couplets(famous_couplets())
        lines = [line for couplet in train + test for line in couplet]
        assert len(set(lines)) == len(lines)
        assert 0.45 < len(train) / (len(train) + len(test)) < 0.55

    @pytest.mark.parametrize("answer", ["line", "couplet"])
    def test_rows_are_questions_with_answers_of_one_length(self, poet_folder, twin_folder, answer):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        args = reversal.parse_arguments([])
        pair = ("床前明月光", "疑是地上霜")
        texts = {"line": ("疑是地上霜", "床前明月光"), "couplet": ("床前明月光，疑是地上霜。",) * 2}[answer]
        rows = {}
        for name, folder in (("llada", poet_folder), ("twin", twin_folder)):
            model, _ = reversal.load(name, folder, args)
            rows[name] = reversal.training_rows(
                reversal.lines_of(name, model, tokenizer, answer, args), [pair], answer
            )
        for row, text in zip(rows["llada"], texts, strict=True):
            response = [token for token in row["labels"] if token != -100]
            assert len(response) == reversal.ANSWER_LENGTHS[answer] and response[-1] == tokenizer.eos_token_id
            assert tokenizer.decode(response, skip_special_tokens=True) == text
        # The twin gets the same, after BOS.
        for row, other in zip(rows["llada"], rows["twin"], strict=True):
            assert other["input_ids"] == [tokenizer.bos_token_id, *row["input_ids"]]
            assert other["labels"] == [-100, *row["labels"]]

    def test_asking_leaves_the_weights_where_they_are(self, poet_folder, monkeypatch):
        """A recording would move them in memory, and the model is asked in the middle of training."""
        from modeling_llada.models import engine_llada

        args = reversal.parse_arguments([])
        lines = reversal.lines_of("llada", *reversal.load("llada", poet_folder, args), "line", args)
        monkeypatch.setattr(engine_llada.Recordings, "find", lambda *args: pytest.fail("a step was recorded"))
        lines.options["compile_config"] = CompileConfig()  # a CPU records what a GPU would
        assert len(list(lines.answer("question", "next", [("床前明月光", "疑是地上霜")]))) == 1

    @pytest.mark.parametrize(
        ("script", "arguments", "message"),
        [
            (reversal, ["--limit", "0"], "`--limit` must be at least 1, but got 0"),
            (reversal, ["--twin", "llada=."], "`--twin` needs different names"),
            (reversal_tiny, ["--couplets", "3"], "`--couplets` must be at least 4, but got 3"),
        ],
    )
    def test_an_argument_is_wrong(self, capsys, script, arguments, message):
        with pytest.raises(SystemExit):
            script.parse_arguments(arguments)
        assert message in capsys.readouterr().err

    def test_a_run_in_small_goes_on(self, poet_folder, twin_folder, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        candidates = tmp_path / "candidates.json"
        entry = {"first": "床前明月光", "second": "疑是地上霜"}
        entry |= {f"{place}_distractors": ["白日依山尽"] for place in ("first", "second")}
        candidates.write_text(json.dumps([entry]), encoding="utf-8")
        command = ["--model", str(poet_folder), "--twin", f"twin={twin_folder}", "--candidates", str(candidates)]
        command += shlex.split("--steps 2 --batch-size 2 --limit 1 --evaluations 1 --json results.json")
        reversal.main([*command, "--seeds", "0", "--answers", "line"])
        first = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert first["couplets"]["ranked"] == 1 and set(first["models"]) == {"llada", "twin"}
        assert set(first["models"]["twin"]["base"]["summary"]) == {"continuation next"}
        assert set(first["models"]["llada"]["base"]["ranks"]) == {"text next", "text previous"}
        [point] = first["models"]["llada"]["fine_tuned"]["line"]["0"]["curve"]
        assert point["step"] == 2 and 0 <= point["question previous"]["mean"] <= 1

        reversal.main([*command, "--seeds", "0", "1", "--answers", "line"])
        second = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert (
            second["models"]["twin"]["fine_tuned"]["line"]["0"] == first["models"]["twin"]["fine_tuned"]["line"]["0"]
        )
        assert set(second["models"]["llada"]["fine_tuned"]["line"]) == {"0", "1"}
        with pytest.raises(SystemExit, match="a file of the same run"):
            reversal.main([*command, "--learning-rate", "1"])
        candidates.write_text(json.dumps([entry | {"first_distractors": ["红豆生南国"]}]), encoding="utf-8")
        with pytest.raises(SystemExit, match="a file of the same run"):
            reversal.main(command)


class TestTiny:
    def test_held_out_couplets_have_no_questions(self):
        asked, held_out = reversal_tiny.choose_couplets(16, seed=0)
        assert len(asked) == len(held_out) == 8 and not set(asked) & set(held_out)
        assert (
            (asked, held_out) == reversal_tiny.choose_couplets(16, seed=0) != reversal_tiny.choose_couplets(16, seed=1)
        )
        rows = reversal_tiny.training_rows(asked, held_out)
        for first, second in held_out:
            assert {row for row in rows if first in row or second in row} == {f"{first}，{second}。"}
        assert len({len(row) for row in rows}) == 1
        questions = [row for row in rows if "：" in row]
        assert len(questions) == 2 * len(asked) and len(rows) == 4 * len(questions)

    def test_a_run_in_small(self, tmp_path, capsys):
        path = tmp_path / "new" / "results.json"
        reversal_tiny.main(["--couplets", "4", "--steps", "2", "--seeds", "0", "1", "--json", str(path)])
        report = json.loads(path.read_text(encoding="utf-8"))
        assert report["held_out"]["llada"]["question previous"]["pairs"] == 4
        assert set(report["held_out"]["twin"]) == {"question next", "question previous", "continuation next"}
        sizes = {name: result["parameters"] for name, result in report["seeds"]["0"].items()}
        assert sizes["llada"] == sizes["twin"]
        assert "question previous" in capsys.readouterr().out

    @pytest.mark.slow
    def test_masked_diffusion_reads_backwards_and_its_twin_does_not(self, tmp_path):
        path = tmp_path / "results.json"
        reversal_tiny.main(["--seeds", "0", "--json", str(path)])
        found = json.loads(path.read_text(encoding="utf-8"))["held_out"]
        assert found["twin"]["continuation next"]["mean"] >= 0.95 <= found["llada"]["infill previous"]["mean"]
        assert found["llada"]["question previous"]["mean"] >= 0.8
        assert found["twin"]["question previous"]["mean"] <= 0.05
