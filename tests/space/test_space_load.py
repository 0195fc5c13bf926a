# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sixteen people at once on the built Space."""

import pytest
from support.space_server import build, serve


pytestmark = pytest.mark.slow

PEOPLE = 16


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("gradio", reason="needs gradio: pip install 'modeling-llada[space]'")
    folder = build(tmp_path_factory.mktemp("space") / "built")
    workdir = tmp_path_factory.mktemp("elsewhere")
    with serve(folder, workdir, workdir / "log.txt") as running:
        yield running


def test_all_are_served_and_memory_stays_flat(server):
    from support.space_load import visit_together

    for number in range(4):
        visits = visit_together(server.url, PEOPLE)
        assert len(visits) == PEOPLE
        for visit in visits:
            assert visit.text.startswith(visit.prompt), "somebody got the poem of another"
        # Most have to wait, and are told where they stand.
        assert max(max(visit.positions, default=0) for visit in visits) >= PEOPLE // 2
        if number == 1:
            before = server.resident_megabytes()
    assert server.resident_megabytes() - before < 40
