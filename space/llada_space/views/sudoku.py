# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sudoku: a model that solves puzzles. The puzzle itself is the canvas."""

import random

import gradio as gr

from ..links import write_link
from ..models import SUDOKU
from ..player import make_player
from ..prompts import check_text
from ..runner import Runner
from ..runs import Run
from ..stepping import Task
from ..sudoku import PUZZLES, SHAPES, board_positions, board_text, count_conflicts, read_puzzle
from .tab import RunTab


NOTE = (
    "The empty cells of a puzzle are masks, and the model fills those first that it is most sure of. It has 1.2 million "
    "parameters, and has seen nothing but Sudoku."
)
WAYS = {
    "one digit a pass": {},
    "all digits that are sure (0.9)": {"confidence_threshold": 0.9},
    "all digits in one pass": {"steps": 1},
}
SIZE, DIFFICULTY = "9x9", "medium"  # at first


class SudokuTab(RunTab):
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "sudoku"
    own_model = SUDOKU

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        gr.Markdown(NOTE, elem_classes="ll-lead")
        with gr.Row(equal_height=False, elem_classes="ll-tab"):
            with gr.Column(elem_classes="ll-ask"):
                with gr.Group(), gr.Row():
                    size = gr.Radio(list(PUZZLES), value=SIZE, label="Size", min_width=150)
                    difficulty = gr.Radio(list(PUZZLES[SIZE]), value=DIFFICULTY, label="Difficulty", min_width=150)
                another = gr.Button("Another puzzle", size="sm", elem_id="sudoku-another")
                self.puzzle = gr.Textbox(
                    PUZZLES[SIZE][DIFFICULTY][0],
                    label="Puzzle",
                    info="A row in each line, and a dot for each empty cell. Type your own, or change this one.",
                    lines=9,
                    max_length=400,
                    elem_id="sudoku-puzzle",
                    elem_classes="ll-puzzle",
                )
                self.way = gr.Radio(list(WAYS), value=next(iter(WAYS)), label="Each forward pass commits")
                with gr.Row():
                    go = gr.Button("Solve", variant="primary", elem_id="sudoku-go")
                    stop = gr.Button("Stop", min_width=80)
            with gr.Column(elem_classes="ll-show"):
                self.players = [make_player(runner.save_run, "The board fills here.", "sudoku-player")]
                verdict = gr.Markdown("", elem_id="sudoku-verdict")
        self.connect([go.click], {"puzzle": self.puzzle, "way": self.way}, stop, [verdict])
        gr.on(
            [another.click, size.input, difficulty.input],
            pick_puzzle,
            [size, difficulty, self.puzzle],
            self.puzzle,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        return {"puzzle": (self.puzzle, "text"), "way": (self.way, "choice")}

    def prepare(self, puzzle: str, way: str) -> tuple[list[Task], list[dict]]:
        shape, digits = read_puzzle(check_text("the puzzle", puzzle))
        if way not in WAYS:
            raise ValueError(f"the way must be one of {', '.join(WAYS)}.")
        settings = self.runner.read(self.card(), WAYS[way], 0)
        task = settings.task(settings.encode(board_text(shape, digits)), max_new_tokens=0)
        about = {
            "title": f"{shape.name} Sudoku, {digits.count(0)} empty cells",
            "label": way,
            "board": {
                "size": shape.size,
                "box": [shape.box_height, shape.box_width],
                "positions": board_positions(shape),
            },
            "link": write_link(self.name, {"puzzle": puzzle, "way": way}),
        }
        return [task], [about]

    def summarize(self, runs: list[Run]) -> list:
        return [judge(runs[0])]


def pick_puzzle(size: str, difficulty: str, shown: str) -> str:
    """Another puzzle of a size and a difficulty."""
    return random.choice([puzzle for puzzle in PUZZLES[size][difficulty] if puzzle != shown])


def judge(run: Run) -> str:
    """Whether a run that is over has solved its puzzle, and what that cost."""
    if run.cost is None:
        return ""
    board = run.about["board"]
    shape = SHAPES[board["size"]]
    texts = [run.pictures[-1].cells[position].text for position in board["positions"]]
    passes = f"{run.cost['passes']} forward pass{'es' if run.cost['passes'] > 1 else ''}"
    if conflicts := count_conflicts(shape, texts):
        return (
            f"**Not solved**: after {passes}, {conflicts} cells are in conflict. Committed digits are never changed."
        )
    if not all(text and text in "123456789"[: shape.size] for text in texts):
        return f"**Not solved** in {passes}: a cell has no digit of this puzzle."
    return f"**Solved** in {passes}."
