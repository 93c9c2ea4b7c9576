"""tools/plan.py: what it prints, on tiny sizes; the arithmetic is tested beside the packages."""

import pytest

from tests.tools.running import is_one_line


@pytest.mark.parametrize(
    "options",
    [
        (
            "--kind",
            "series",
            "--batch-size",
            4,
            "--length",
            32,
            "--width",
            8,
            "--dim",
            8,
            "--depth",
            2,
        ),
        ("--kind", "points", "--batch-size", 2, "--voxels", 400, "--channels", 3, "--rows", 16),
    ],
)
def test_a_line_for_each_number_of_processes(tool, options):
    status, stdout, stderr = tool("plan", *options, "--queue", 100)
    assert status == 0, stderr
    lines = stdout.splitlines()
    found = [line.split() for line in lines if line.split()[:1] in (["1"], ["8"], ["64"])]
    assert [row[0] for row in found] == ["1", "8", "64"]
    seconds, memory, sent, job = (
        [float(row[column].replace(",", "")) for row in found] for column in range(1, 5)
    )
    assert 0 < seconds[0] <= seconds[1] <= seconds[2] and memory[0] <= memory[2]
    assert sent[0] == 0 < sent[1] < sent[2]
    assert job == pytest.approx([10_000 * s / 3600 for s in seconds], abs=0.01 + 10_000 / 3600e3)
    assert "measured" in lines[0] and "planned" in lines[0]
    assert any("queue takes as long" in line for line in lines)
    assert any("all-gather takes as long" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--kind", "series", "--batch-size", 0), ("--batch-size: found 0",)),
        (("--kind", "points", "--rows", 1), ("--rows 1",)),
        (("--kind", "clouds"), ("clouds",)),
    ],
)
def test_what_cannot_be_planned_is_one_line(tool, options, words):
    status, _, stderr = tool("plan", *options)
    is_one_line(status, stderr, *words)
