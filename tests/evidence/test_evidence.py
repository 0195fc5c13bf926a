# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""docs/evidence.md and docs/quality.md: the same bytes again from the results alone, and commands that exist."""

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


pytest.importorskip("matplotlib", reason="matplotlib is not part of this environment")

ROOT = Path(__file__).parents[2]

import evidence.__main__ as make  # noqa: E402
import evidence.likelihood.__main__ as likelihood  # noqa: E402
import evidence.quality.__main__ as quality  # noqa: E402
from llada_cli import build_parser  # noqa: E402
from reporting import plots  # noqa: E402


RESULTS = sorted({(name, path) for name in make.CLAIMS for path in make.Claim(name).module.RESULTS.values()})
# Numbers in the texts of a claim that are names of something.
NAMES = r"[Ee]q\. \d+|`1 / t`|float\d+|\d tokens a step|threshold 0\.9|block \d|H100|sudoku4|--sizes? 4|[Ss]mol[Ll][Mm]2(-135M)?|temperature 1|LLaDA2|papers/2505.16933|stage [123]"


@pytest.fixture(scope="module")
def made():
    return make.make()


def test_the_pages_and_their_plots_are_those_of_the_results(made):
    for name, text in made.items():
        assert (ROOT / "docs" / name).read_bytes() == text.encode(), f"{name}: run `make evidence`"
    shown = {f"pictures/evidence/{path.name}" for path in (ROOT / "docs/pictures/evidence").iterdir()}
    assert shown == {name for name in made if name.endswith(".svg")}
    pages = made["evidence.md"] + made["quality.md"] + (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    assert all(name in pages for name in shown), "each is on a page"


def test_the_same_bytes_with_other_settings(made, tmp_path):
    """Another machine has its own matplotlibrc, language, caches and hash seed."""
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 31\nfont.family: monospace\nsvg.fonttype: path\nlines.linewidth: 9\n"
    )
    environment = os.environ | {
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLCONFIGDIR": str(tmp_path / "config"),
        "PYTHONHASHSEED": "7",
        "LC_ALL": "C",
        "TZ": "Pacific/Apia",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "evidence", "--output", "docs"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    for name, text in made.items():
        assert (tmp_path / "docs" / name).read_bytes() == text.encode(), name


@pytest.mark.parametrize(("name", "path"), RESULTS)
def test_numbers_come_from_the_results(name, path, tmp_path, made):
    """With other numbers in a file of its results, a claim says something else."""
    for other in make.Claim(name).module.RESULTS.values():
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / other, tmp_path / other)
    # The integers of a JSON file are numbers of samples and such, by which rows are found.
    values = scaled(make.read(ROOT / path), float if path.endswith(".json") else float | int)
    text = json.dumps(values) if path.endswith(".json") else yaml.safe_dump(values, sort_keys=False)
    (tmp_path / path).write_text(text, encoding="utf-8")
    claim, same = make.Claim(name, tmp_path), make.Claim(name)
    assert claim.section() != same.section()
    if path == claim.module.RESULTS.get("measured"):
        assert all(svg != made[f"pictures/evidence/{picture}"] for picture, svg in claim.pictures().items())


def scaled(value, kind):
    """With every number of a kind larger."""
    if isinstance(value, dict):
        return {key: scaled(one, kind) for key, one in value.items()}
    if isinstance(value, list):
        return [scaled(one, kind) for one in value]
    return value * 1.07 if isinstance(value, kind) and not isinstance(value, bool) else value


@pytest.mark.parametrize(
    "name", sorted({*make.CLAIMS, "claim_conversion", "claim_families", "claim_reasoning", "claim_vision"})
)
def test_no_result_is_typed(name):
    """A text in a function of a claim holds no number, but for names such as that of an equation."""
    tree = ast.parse((ROOT / f"evidence/{name}.py").read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        formats = {id(part) for node in ast.walk(function) if isinstance(node, ast.FormattedValue) and node.format_spec
                   for part in ast.walk(node.format_spec)}  # fmt: skip
        for node in ast.walk(function):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in formats:
                assert not re.search(r"\d", re.sub(NAMES, "", node.value)), node.value


def test_commands_parse(made, monkeypatch):
    """Those below a claim, and those in the tables."""
    asked = []
    monkeypatch.setattr(likelihood, "run", lambda args: asked.append(args) or {})
    monkeypatch.setattr(likelihood, "save", lambda *_: None)
    monkeypatch.setattr(quality, "run", asked.append)
    monkeypatch.setattr(Path, "is_dir", lambda path: True)  # the folder of a twin, which is not shipped
    parsers = {"evidence.likelihood": likelihood.main, "evidence.quality": quality.main}
    commands = set(re.findall(r"`((?:python|llada|pytest) [^`]*[-/][^`]*)`", made["evidence.md"]))
    below = [one.text for name in make.CLAIMS for one in commands_of(name)]
    assert set(below) <= commands and len(commands) > 40
    for command in commands:
        program, *arguments = shlex.split(command.replace("python -m ", "python "))
        if program == "llada":
            assert build_parser().parse_args(arguments)
        elif program == "pytest":
            assert all((ROOT / path).exists() for path in arguments)
        elif arguments[0] in parsers:
            parsers[arguments[0]](arguments[1:])
        else:
            assert parser_of(arguments[0])(arguments[1:])
    assert len(asked) == sum(any(path in command for path in parsers) for command in commands)


def parser_of(script):
    """The function that parses the arguments of a script or a package."""
    name = script.removesuffix(".py").replace("/", ".")
    is_package = (ROOT / script.replace(".", "/") / "__main__.py").is_file()
    spec = importlib.util.find_spec(f"{name}.__main__" if is_package else name)
    module = importlib.import_module(spec.name)
    return module.make_parser().parse_args if hasattr(module, "make_parser") else module.parse_arguments


def commands_of(name):
    claim = make.Claim(name)
    return claim.module.commands(claim.results)


def test_the_paper_and_the_published_settings_agree():
    """Both were typed in, from two documents: the headline score of a benchmark is that of the paper. So is the number
    of examples, unless the setting says that the paper has another one."""
    paper = make.read(ROOT / "evidence/paper.yaml")["benchmarks"]["scores"]
    published = make.read(ROOT / "modeling_llada/evaluation/published_settings.yaml")["models"]
    for model, scores in paper.items():
        for name, (score, shots) in scores.items():
            settings = published[model]["benchmarks"][name]
            assert score in settings[0]["scores"].values(), (model, name)
            for one in settings:
                said = {"num_fewshot": one["num_fewshot"]} | one.get("differs", {}).get("paper", {})
                assert said["num_fewshot"] == shots, (model, name)
    assert sum(map(len, paper.values())) == 24


def test_pictures_are_text_and_of_no_machine(made):
    pictures = {name: svg for name, svg in made.items() if name.endswith(".svg")}
    for name, svg in pictures.items():
        assert "<text" in svg and "DejaVuSans-" not in svg, f"{name}: glyphs were drawn as paths"
        assert "<dc:date>" not in svg and "matplotlib.org" not in svg
        coordinates = re.findall(r' (?:d|x|y|transform)="([^"]+)"', svg)
        assert coordinates and not re.search(r"\.\d{3}", " ".join(coordinates)), name
        assert made[name.replace("-dark", "-light")] != made[name.replace("-light", "-dark")]


def test_the_font_comes_with_matplotlib():
    from matplotlib import font_manager, get_data_path

    found = font_manager.findfont(font_manager.FontProperties(family=plots.SETTINGS["font.family"]))
    assert Path(found).is_relative_to(get_data_path())


def test_names_and_coordinates_are_settled():
    first = '<clipPath id="pAB"><rect x="1.234567" y="-0.001"/></clipPath><g clip-path="url(#pAB)"/>'
    other = '<clipPath id="pXY"><rect x="1.2345678" y="-0.0011"/></clipPath><g clip-path="url(#pXY)"/>'
    assert plots.settle(first) == plots.settle(other)
    assert plots.settle(first) == '<clipPath id="n0"><rect x="1.23" y="0"/></clipPath><g clip-path="url(#n0)"/>'


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SystemExit, match="likelihood.json"):
        make.read(tmp_path / "likelihood.json")
