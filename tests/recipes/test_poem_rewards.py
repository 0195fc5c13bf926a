# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The rewards for poems, on poems that are known."""

import json

import pytest


pytest.importorskip("pypinyin")

from recipes.poems import rewards


MOONLIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
QUATRAIN = "五言绝句"


def test_form():
    texts = [
        MOONLIGHT,
        "床前明月光，疑是地上霜。",
        "床前月光，疑是地上霜。举头望明月，低头思故乡。",
        MOONLIGHT * 2,
        "",
    ]
    assert rewards.keeps_form(texts, [QUATRAIN] * 5) == [1.0, 0.5, 0.75, 0.5, 0.0]
    assert rewards.keeps_form([MOONLIGHT], ["词"]) == [None]


def test_rhyme():
    other = "床前明月光，疑是地上霜。举头望明月，低头思故国。"  # 国 guó does not rhyme with 霜 shuāng
    oblique = "床前明月光，疑是地上望。举头望明月，低头思放浪。"  # wàng and làng rhyme, but not in a level tone
    texts = [MOONLIGHT, other, oblique, ""]
    assert rewards.rhymes_by_tone(texts, [QUATRAIN] * 4) == [1.0, 0.0, 0.0, 0.0]
    assert rewards.rhymes_by_tone([MOONLIGHT], ["五言诗"]) == [None]


def test_own_lines():
    repeated = "明月照空城，明月照空城。孤舟泊野渡，客梦到江亭。"
    assert rewards.own_lines([MOONLIGHT, repeated, ""]) == [0.0, 0.5, 0.0]


def test_prompts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["rewards", QUATRAIN, str(tmp_path / "forms.jsonl")])
    rewards.main()
    rows = [json.loads(line) for line in (tmp_path / "forms.jsonl").read_text(encoding="utf-8").splitlines()]
    assert capsys.readouterr().out == f"wrote {len(rows)} prompts to {tmp_path / 'forms.jsonl'}\n"
    assert {"prompt": f"{QUATRAIN}\n", "form": QUATRAIN} in rows and len({row["prompt"] for row in rows}) == len(rows)
    monkeypatch.setattr("sys.argv", ["rewards", "词", "x"])
    with pytest.raises(SystemExit):
        rewards.main()
    assert "invalid choice: '词'" in capsys.readouterr().err


def test_pairs_and_winners(tmp_path, capsys):
    """Of three poems to each of two headers of a form. The best of a pair is a winner if its score is high enough."""
    pytest.importorskip("transformers")
    from recipes.poems.preferences import headers_of, main, scores_of

    files = [tmp_path / "pairs.jsonl", tmp_path / "winners.jsonl"]
    arguments = ["--pairs", str(files[0]), "--winners", str(files[1]), "--form", QUATRAIN]
    arguments += ["--headers", "2", "--poems", "3"]
    main([*arguments, "--temperature", "1.5", "--margin", "1e-9", "--least", "0", "--device", "cpu"])
    pairs, winners = ([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in files)
    assert [row["prompt"] for row in winners] == [row["prompt"] for row in headers_of(QUATRAIN, 2, seed=0)]
    assert {(row["prompt"], row["chosen"]) for row in pairs} <= {(row["prompt"], row["completion"]) for row in winners}
    for row in pairs:
        best, worst = scores_of([row["chosen"], row["rejected"]], QUATRAIN)
        assert best > worst
    with pytest.raises(SystemExit):
        main([*arguments, "--poems", "1"])
    assert "`--poems` must be at least 2" in capsys.readouterr().err
