# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/sudoku: the rules, the puzzles, the rows that are trained on, and the commands."""

import json
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer


for package in ("accelerate", "yaml"):
    pytest.importorskip(package, reason="the trainers need it")

from modeling_llada.training.pretraining.batches import TrainingBatches  # noqa: E402
from modeling_llada.training.pretraining.twin import AutoregressiveBatches  # noqa: E402
from recipes.sudoku import puzzles as files  # noqa: E402
from recipes.sudoku import text  # noqa: E402
from recipes.sudoku.__main__ import main  # noqa: E402
from recipes.sudoku.clues import WAYS  # noqa: E402
from recipes.sudoku.grids import SHAPES, class_keys, is_solved, solves  # noqa: E402
from recipes.sudoku.hard import make_hard, number_given, search_lower  # noqa: E402
from recipes.sudoku.puzzles import Puzzles, draw_held_out, draw_train, gym_dataset, gym_puzzles, own_puzzles  # noqa: E402
from recipes.sudoku.rows import Board, BoardRows  # noqa: E402
from recipes.sudoku.solver import Solver, dig, random_grid  # noqa: E402
from recipes.sudoku.solving import Solutions  # noqa: E402
from recipes.sudoku.sweep import Blocks  # noqa: E402


REPO = Path(__file__).parents[2]
CONFIG = REPO / "recipes/sudoku/sudoku_cpu.yaml"


def make_puzzles(size, number, seed):
    source = own_puzzles(SHAPES[size], seed)
    pairs = [next(source) for _ in range(number)]
    return Puzzles(SHAPES[size], *(np.stack(part) for part in zip(*pairs, strict=True)))


@pytest.fixture(scope="module")
def puzzles():
    """Ten puzzles by size. Do not change them."""
    return {size: make_puzzles(size, 10, seed=3) for size in SHAPES}


def every_4x4_grid():
    solver = Solver(SHAPES[4])
    return np.array(list(solver.solutions([0] * 16)), np.int8).reshape(-1, 4, 4)


class TestRules:
    def test_there_are_288_grids_of_4x4(self):
        grids = every_4x4_grid()
        assert len({grid.tobytes() for grid in grids}) == 288
        assert is_solved(grids, SHAPES[4]).all()

    def test_two_classes_of_4x4_are_essentially_different(self):
        """A known number: all 288 grids are images of two."""
        keys = class_keys(every_4x4_grid(), SHAPES[4])
        assert sorted(keys.count(key) for key in set(keys)) == [96, 192]

    @pytest.mark.parametrize("size", [4, 6, 9])
    def test_a_wrong_digit_anywhere_is_seen(self, puzzles, size):
        shape, grid = SHAPES[size], puzzles[size].solutions[0]
        for cell in np.ndindex(size, size):
            wrong = grid.copy()
            wrong[cell] = wrong[cell] % size + 1
            assert not is_solved(wrong, shape)

    def test_boxes_count(self):
        """Rows and columns alone make a Latin square."""
        latin = (np.arange(4)[:, None] + np.arange(4)) % 4 + 1
        assert not is_solved(latin, SHAPES[4])
        assert is_solved(latin[[0, 2, 1, 3]], SHAPES[4])

    def test_a_solved_grid_of_another_puzzle_is_no_solution(self, puzzles):
        shape, part = SHAPES[6], puzzles[6]
        assert solves(part.solutions, part.puzzles, shape).all()
        assert not solves(np.roll(part.solutions, 1, axis=0), part.puzzles, shape).any()


class TestGenerator:
    @pytest.mark.parametrize("size", [4, 6, 9])
    def test_each_puzzle_has_one_solution(self, puzzles, size):
        shape, part = SHAPES[size], puzzles[size]
        solver = Solver(shape)
        for puzzle, solution in zip(part.puzzles, part.solutions, strict=True):
            found = list(solver.solutions(puzzle.flatten().tolist()))
            assert found == [solution.flatten().tolist()]
        empty = (part.puzzles == 0).sum((1, 2))
        assert empty.max() <= shape.max_empty and empty.min() >= shape.min_empty / 2

    def test_a_clue_less_may_allow_several(self):
        """A puzzle of which no clue can be spared is found as such."""
        shape = SHAPES[4]
        solver, random = Solver(shape), Random(0)
        puzzle = dig(solver, random_grid(solver, random), 16, random)
        assert solver.count(puzzle) == 1
        for cell in (cell for cell, digit in enumerate(puzzle) if digit):
            assert solver.count(puzzle[:cell] + [0] + puzzle[cell + 1 :]) == 2

    def test_a_contradiction_has_no_solution(self):
        assert Solver(SHAPES[4]).count([1, 1] + [0] * 14) == 0

    @pytest.mark.parametrize("size", [4, 9])
    def test_it_agrees_with_reasoning_gym(self, size):
        """Its puzzles have one solution here too, and it is the same."""
        pytest.importorskip("reasoning_gym")
        shape = SHAPES[size]
        source, solver = gym_puzzles(shape, seed=0), Solver(shape)
        for _ in range(5):
            puzzle, solution = next(source)
            assert solves(solution, puzzle, shape)
            assert list(solver.solutions(puzzle.flatten().tolist())) == [solution.flatten().tolist()]

    def test_another_solution_is_found(self):
        """By boards of bits the same as by search: for all digits that a puzzle gives, and one after the other is left out."""
        solver, random = Solver(SHAPES[9]), Random(5)
        solution = random_grid(solver, random)
        puzzle = dig(solver, solution, 55, random)
        for cell in (cell for cell, digit in enumerate(puzzle) if digit):
            trial = [*puzzle[:cell], 0, *puzzle[cell + 1 :]]
            assert solver.has_another(trial, cell, solution[cell]) == (solver.count(trial) == 2)

    @pytest.mark.parametrize("clues", [22, 26])
    def test_a_hard_puzzle_has_so_many_digits_and_one_solution(self, clues):
        solver = Solver(SHAPES[9])
        puzzle, solution = make_hard(solver, clues, Random(2))
        assert (puzzle > 0).sum() == clues and solves(solution, puzzle, SHAPES[9])
        assert list(solver.solutions(puzzle.flatten().tolist())) == [solution.flatten().tolist()]

    def test_digits_are_exchanged_for_others_of_the_solution(self):
        solver, random = Solver(SHAPES[9]), Random(1)
        solution = random_grid(solver, random)
        puzzle = dig(solver, solution, 81, random)
        lower = search_lower(solver, puzzle, solution, number_given(puzzle) - 1, random)
        assert number_given(lower) <= number_given(puzzle) and lower != puzzle
        assert all(digit in (0, right) for digit, right in zip(lower, solution, strict=True))
        assert solver.count(lower) == 1


class TestHeldOut:
    @pytest.mark.parametrize("size", [4, 6, 9])
    def test_no_class_is_on_both_sides(self, size):
        if size != 6:
            pytest.importorskip("reasoning_gym")
        shape = SHAPES[size]
        held_out = draw_held_out(shape, 20, seed=1)
        train = draw_train(shape, 40, 0, held_out)
        keys = [set(class_keys(part.solutions, shape)) for part in (train, held_out)]
        assert not keys[0] & keys[1]
        assert len({puzzle.tobytes() for puzzle in held_out.puzzles}) == 20

    def test_a_file_is_read_back(self, puzzles, tmp_path):
        part = puzzles[6]
        files.save(tmp_path / "puzzles.npz", {"train": {6: part}})
        read = files.load(tmp_path / "puzzles.npz", "train", [6])[6]
        assert (read.puzzles == part.puzzles).all() and (read.solutions == part.solutions).all()
        with pytest.raises(ValueError, match="no puzzles of size 9 in its split 'train'"):
            files.load(tmp_path / "puzzles.npz", "train", [9])
        with pytest.raises(ValueError, match="there is no .*none.npz"):
            files.load(tmp_path / "none.npz", "train", [6])


class TestText:
    @pytest.mark.parametrize("size", [4, 6, 9])
    def test_ids_are_those_of_the_tokenizer(self, puzzles, size):
        part = puzzles[size]
        tokenizer = text.build_tokenizer()
        ids = text.boards_to_ids(part.puzzles, part.shape)
        assert tokenizer(text.board_text(part.puzzles[0]))["input_ids"] == ids[0].tolist()
        assert tokenizer.decode(ids[0]) == text.board_text(part.puzzles[0])
        assert tokenizer.unk_token_id not in ids
        assert (text.ids_to_grids(ids, part.shape) == part.puzzles).all()
        assert (text.parse_board(text.board_text(part.puzzles[0]), part.shape) == part.puzzles[0]).all()

    def test_text_of_another_shape_is_no_board(self, puzzles):
        board = text.board_text(puzzles[4].puzzles[0])
        assert text.parse_board(board, SHAPES[6]) is None


class TestRows:
    @pytest.mark.parametrize("size", [4, 6, 9])
    def test_symmetries_keep_puzzles_and_classes(self, puzzles, size):
        """What is drawn is a puzzle with one solution, of a class of the pool; images of one puzzle differ."""
        part = puzzles[size][:2]
        board = Board(part, "cpu")
        cells, empty = board.draw(12, torch.Generator().manual_seed(0))
        ids = board.rows(cells).numpy()
        solutions = text.ids_to_grids(ids, part.shape)
        assert is_solved(solutions, part.shape).all()
        assert len({solution.tobytes() for solution in solutions}) == 12 or size == 4
        classes = set(class_keys(part.solutions, part.shape))
        assert set(class_keys(solutions, part.shape)) <= classes
        solver = Solver(part.shape)
        for solution, is_empty in zip(solutions.reshape(12, -1), empty.numpy(), strict=True):
            assert solver.count(np.where(is_empty, 0, solution).tolist()) == 1

    def test_given_cells_are_never_masked(self, puzzles):
        rows = BoardRows({4: puzzles[4]}, {4: 1.0}, "canvas")
        batches = TrainingBatches(rows, mask_token_id=2, max_steps=1, tokens_per_step=22 * 64, device="cpu")
        (batch,) = batches.at(0)
        masked = batch["input_ids"] == 2
        assert masked.any() and not (masked & ~rows.maskable).any()
        positions = batch["masked_positions"]
        assert positions[positions >= 0].tolist() == masked.flatten().nonzero().squeeze(1).tolist()
        assert rows.maskable.sum(1).max() <= 12  # the most that a 4x4 puzzle can leave open

    def test_a_share_of_free_canvases_masks_any_cell(self, puzzles):
        rows = BoardRows({4: puzzles[4]}, {4: 1.0}, "canvas", free_share=0.5)
        rows.draw(rows.entries[0], 200, torch.Generator().manual_seed(0))
        free = (rows.maskable.sum(1) == 16).float().mean()
        assert 0.35 < free < 0.65

    def test_the_answer_form_asks_and_answers(self, puzzles):
        part = puzzles[6]
        rows = BoardRows({6: part}, {6: 1.0}, "answer")
        ids = rows.draw(rows.entries[0], 8, torch.Generator().manual_seed(0)).numpy()
        question, answer = np.split(ids, 2, axis=1)
        solutions = text.ids_to_grids(answer, part.shape)
        assert solves(solutions, text.ids_to_grids(question, part.shape), part.shape).all()
        assert (question == text.IDS["_"]).any() and not (ids == text.IDS["[MASK]"]).any()
        assert not rows.maskable[:, : ids.shape[1] // 2].any() and rows.maskable[:, ids.shape[1] // 2 :].all()

    def test_the_twin_is_scored_on_the_answer(self, puzzles):
        rows = BoardRows({4: puzzles[4]}, {4: 1.0}, "answer")
        batches = AutoregressiveBatches(rows, bos_token_id=1, max_steps=1, tokens_per_step=44 * 4, device="cpu")
        (batch,) = batches.at(0)
        assert (batch["input_ids"][:, 0] == 1).all()
        positions = batch["masked_positions"]
        positions = positions[positions >= 0]
        assert len(positions) == 4 * 22 and (positions % 44 >= 22).all()


class TestScores:
    @pytest.mark.parametrize("size", [4, 9])
    def test_the_checker_agrees_with_reasoning_gym(self, puzzles, size):
        """Solved here is a score of 1 there, for right grids and for wrong ones."""
        pytest.importorskip("reasoning_gym")
        part = puzzles[size]
        grids = part.solutions.copy()
        grids[::2, 0, 0] = grids[::2, 0, 0] % size + 1
        solutions, dataset, scores = Solutions(grids, np.ones(len(grids))), gym_dataset(part.shape, seed=0), []
        for grid, right in zip(grids.tolist(), part.solutions.tolist(), strict=True):
            answer, solution = ("\n".join(" ".join(map(str, row)) for row in one) for one in (grid, right))
            scores.append(dataset.score_answer(answer, {"answer": solution, "metadata": {"solution": right}}))
        assert [score == 1.0 for score in scores] == solutions.solved(part).tolist()
        assert solutions.solved(part).sum() == len(part) // 2

    def test_blocks_fill_rows_in_order(self):
        """Positions 2 to 6 are the first row with its line break; a row is finished before the next is begun."""
        blocks = Blocks(5)
        mask = torch.zeros(1, 22, dtype=torch.bool)
        mask[0, [4, 8]] = True
        confidence = torch.zeros(1, 22)
        confidence[0, 8] = 0.9
        assert blocks(confidence, mask, None).nonzero().tolist() == [[0, 4]]
        both = torch.full((1, 22), 0.95)
        assert Blocks(10, threshold=0.9)(both, mask, None).nonzero().tolist() == [[0, 4], [0, 8]]


@pytest.fixture(scope="module")
def file_4x4(tmp_path_factory):
    """A file of puzzles as prepare writes it, without reasoning-gym."""
    path = tmp_path_factory.mktemp("sudoku") / "puzzles.npz"
    part = make_puzzles(4, 60, seed=0)
    files.save(path, {"train": {4: part[:40]}, "validation": {4: part[40:50]}, "test": {4: part[50:]}})
    return path


TINY = [
    *("model.hidden_size=32", "model.num_hidden_layers=2", "model.num_attention_heads=2"),
    *("model.num_key_value_heads=2", "model.intermediate_size=64", "training.tokens_per_step=704"),
    *("training.warmup_steps=5", "training.logging_steps=10", "training.eval_steps=30", "training.save_steps=30"),
]


@pytest.fixture(scope="module")
def run(file_4x4, tmp_path_factory):
    """A tiny LLaDA and its twin, sixty steps each; LLaDA in two calls."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["train", "--config", str(CONFIG), "--device", "cpu"]
    common += ["--puzzles", str(file_4x4), "--output-dir", str(folder), "--max-steps", "60"]
    main([*common, "--max-minutes", "1e-9", "--set", *TINY])
    with pytest.raises(ValueError, match="--resume"):
        main([*common, "--set", *TINY])
    main([*common, "--resume", "--set", *TINY])
    main([*common, "--twin", "--set", *TINY])
    return folder


class TestCommands:
    def test_training_learns(self, run):
        """The loss of a guess among the digits that are left is not reached in so few steps, that of any token is beaten."""
        for name in ("llada", "twin"):
            log = json.loads((run / name / "training_log.json").read_text())
            losses = [entry["loss"] for entry in log if "loss" in entry]
            assert losses[-1] < 0.75 * losses[0], name
            assert any("eval_4x4_solved" in entry for entry in log)

    def test_a_resumed_run_is_recorded(self, run):
        calls = json.loads((run / "llada" / "run.json").read_text())["calls"]
        assert [(call["first_step"], call["last_step"]) for call in calls] == [(0, 1), (1, 60)]

    def test_a_run_goes_on_whose_first_call_was_killed(self, run, file_4x4, tmp_path):
        """Its checkpoint is there, its record is not; no step is left to make, and the model is written all the same."""
        shutil.copytree(run / "twin", tmp_path / "twin")
        (tmp_path / "twin/run.json").unlink()
        shutil.rmtree(tmp_path / "twin/final")
        common = ["train", "--config", str(CONFIG), "--device", "cpu", "--twin"]
        common += ["--puzzles", str(file_4x4), "--output-dir", str(tmp_path), "--max-steps", "60"]
        main([*common, "--resume", "--set", *TINY])
        [call] = json.loads((tmp_path / "twin/run.json").read_text())["calls"]
        assert (call["first_step"], call["last_step"]) == (60, 60)
        assert (tmp_path / "twin/final/model.safetensors").is_file()

    def test_twins_have_the_same_parameters(self, run):
        counts = {json.loads((run / name / "run.json").read_text())["parameters"] for name in ("llada", "twin")}
        assert len(counts) == 1

    def test_evaluate_sweep_and_export(self, run, file_4x4, tmp_path, monkeypatch, capsys):
        results, steps = tmp_path / "new" / "results.json", tmp_path / "steps.json"
        main(["evaluate", "--run", str(run), "--json", str(results), "--device", "cpu"])
        models = json.loads(results.read_text())["models"]
        assert set(models) == {"llada", "twin"}
        cell = models["llada"]["sizes"]["4x4"]["one token a step"]
        assert cell["forward_passes"] == cell["empty_cells"] and cell["puzzles"] == 10
        assert cell["interval"][0] <= cell["solved"] <= cell["interval"][1]

        sweep = ["sweep", "--model", str(run / "llada/final"), "--puzzles", str(file_4x4), "--size", "4"]
        sweep += ["--device", "cpu"]
        main([*sweep, "--limit", "4", "--json", str(steps)])
        settings = json.loads(steps.read_text())["results"]["4x4"]
        assert settings["random, one step"]["forward_passes"] == 1
        assert settings["row by row, one step each"]["forward_passes"] <= 4
        before = steps.read_text()
        main([*sweep, "--limit", "4", "--json", str(steps)])  # nothing is run again
        assert steps.read_text() == before
        with pytest.raises(SystemExit, match="a file of the same run"):
            main([*sweep[:2], str(run / "twin/final"), *sweep[3:], "--limit", "4", "--json", str(steps)])

        folder = tmp_path / "llada-sudoku"
        arguments = ["--run", str(run), "--results", str(results), "--steps", str(steps)]
        with pytest.raises(ValueError, match="must not contain the source"):
            main(["export", *arguments, "--output", str(run)])
        with pytest.raises(ValueError, match="there is no .*config.json"):
            main([*sweep[:2], str(tmp_path), *sweep[3:], "--json", str(tmp_path / "other.json")])
        for _ in range(2):  # the second call replaces the folder
            main(["export", *arguments, "--output", str(folder)])
        model = AutoModel.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        board = "4x4\n" + "[MASK][MASK]34\n" * 4
        filled = tokenizer.decode(model.generate(**tokenizer(board, return_tensors="pt"), max_new_tokens=0)[0])
        assert "[MASK]" not in filled and filled.count("34\n") == 4
        assert f"{cell['solved']:.1%}" in (folder / "README.md").read_text()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["prepare", "--sizes", "5"], "invalid choice: 5"),
            (["prepare", "--held-out", "0"], "`--held-out` must be positive, but got 0"),
            (["train", "--config", "none.yaml"], "none.yaml"),
            (
                ["train", "--config", "CPU", "--set", "training.sed=1"],
                "`training.sed` is no value of a recipe: did you mean `seed`?",
            ),
            (["train", "--config", "CPU", "--set", "seed"], "`--set` must be KEY=VALUE"),
            (["train", "--config", "CPU", "--puzzles", "none.npz"], "there is no none.npz"),
            (["train", "--config", "CPU", "--form", "grid"], "invalid choice: 'grid'"),
            (["evaluate", "--run", "none", "--json", "x.json"], "has no llada/final"),
            (["sweep", "--model", "none", "--puzzles", "none.npz", "--json", "x.json"], "there is no none.npz"),
            (["export", "--run", "none", "--results", "x.json"], "there is no none/llada/final"),
        ],
    )
    def test_bad_flags(self, arguments, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        config = str(CONFIG)
        with pytest.raises((SystemExit, ValueError, FileNotFoundError)) as error:
            main([config if argument == "CPU" else argument for argument in arguments])
        assert message in str(error.value) + capsys.readouterr().err

    def test_help_needs_no_model(self, capsys):
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        assert "sweep" in capsys.readouterr().out


class TestHard:
    def test_the_file_has_the_same_number_of_each(self, puzzles, tmp_path, capsys):
        """And is added to another one. Its puzzles are solved by their number of given digits, all numbers once."""
        old, path, output = tmp_path / "old.npz", tmp_path / "hard.npz", tmp_path / "clues.json"
        files.save(old, {split: {6: puzzles[6], 9: puzzles[9]} for split in files.SPLITS})
        numbers = ["--fewest", "29", "--most", "30", "--number", "2", "--trained", "3"]
        main(["hard", "--output", str(path), "--puzzles", str(old), *numbers])
        hard = files.load(path, "hard", [9])[9]
        assert (hard.puzzles > 0).sum((1, 2)).tolist() == [29, 29, 30, 30]
        train = files.load(path, "train", [6, 9])
        assert len(train[6]) == 10 and len(train[9]) == 10 + 3
        assert (
            len(files.load(path, "validation", [9])[9]) == 10 + 2 * 10 and len(files.load(path, "test", [9])[9]) == 10
        )
        keys = [set(class_keys(part.solutions, part.shape)) for part in (train[9][10:], hard)]
        assert not keys[0] & keys[1]

        arguments = [
            "clues",
            "--model",
            str(REPO / "checkpoints/llada-sudoku"),
            "--puzzles",
            str(path),
            "--limit",
            "1",
        ]
        main([*arguments, "--json", str(output), "--device", "cpu"])
        results = json.loads(output.read_text())["results"]
        assert list(results) == list(WAYS) and all(list(way) == ["29", "30"] for way in results.values())
        capsys.readouterr()
        main([*arguments, "--json", str(output), "--device", "cpu"])
        said = capsys.readouterr().out
        assert "solved" not in said and "| given |" in said, "what is there is not measured again"

    def test_bad_numbers(self, tmp_path):
        with pytest.raises(ValueError, match="`--fewest` and `--most` must be 20 at least"):
            main(["hard", "--output", str(tmp_path / "hard.npz"), "--fewest", "30", "--most", "25"])
