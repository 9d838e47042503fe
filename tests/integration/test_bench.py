"""The benchmark from its command line: processes of their own, a table, a line of results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.documents import MARKER, Layout, Shape
from bench.generator import make

pytestmark = pytest.mark.integration

TUPLES = 2_000


def bench(project_dir: Path, place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--scratch", str(place)]
    command += ["--results", str(place / "results.jsonl"), "landing", "--repeat", "2"]
    command += ["--tuples", str(TUPLES), "--layout", "vnet", "--shape", "day"]
    return subprocess.run(
        command, cwd=project_dir, capture_output=True, check=False, text=True, timeout=280
    )


def test_each_row_is_measured_in_processes_of_its_own(project_dir: Path, tmp_path: Path) -> None:
    done = bench(project_dir, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "landing, whole" in done.stdout
    [line] = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    result = json.loads(line)
    assert [row["contender"] for row in result["rows"]] == ["parquet", "landing"]
    for row in result["rows"]:
        assert len(row["measurements"]) == result["repeat"] == 2
        for one in row["measurements"]:
            assert one["tuples"] == row["tuples"] >= TUPLES
            assert 0 < one["cpu_seconds"] < 60
            # Python with PyArrow holds some 50 MB; what is read here is far less.
            assert 20_000_000 < one["peak_rss"] - one["rss_increase"] < 1_000_000_000
            assert one["bytes_written"] > 0
    assert [path for path in (tmp_path / "runs").iterdir() if path.is_dir()] == []


def test_no_figures_are_shown_of_unequal_work(project_dir: Path, tmp_path: Path) -> None:
    documents = make(tmp_path, Layout.VNET, Shape.DAY, TUPLES)
    marker = documents.folder / MARKER
    marker.write_text(json.dumps(["vnet", documents.tuples + 1]), encoding="utf-8")
    done = bench(project_dir, tmp_path)
    assert done.returncode == 1
    assert f"read {documents.tuples} tuples" in " ".join(done.stdout.split())
    assert "landing, whole" not in done.stdout
    assert not (tmp_path / "results.jsonl").exists()
