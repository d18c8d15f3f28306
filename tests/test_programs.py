"""Every program of benchmarks/ and paper/ on tiny inputs: it runs, and what it writes has the figures it should."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from paper.cli import main as paper
from tests.conftest import PARROTS, ROOT, TINY_MODEL

RECORDED = sorted((ROOT / "results" / "recorded").glob("shvc-*.json"))
TRAINING_LOG = """valid  50.0 %  step 10  {0}.0 min  cost 1.5
valid 100.0 %  step 20  {1}.0 min  cost 1.{2}
"""


class Outcome(NamedTuple):
    """What a program left behind."""

    folder: Path
    stdout: str

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def json(self, name: str) -> Any:
        return json.loads(self.text(name))


Check = Callable[[Outcome], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inputs of all programs: images, logs, files that are updated; outputs go there, too."""
    with Image.open(PARROTS) as image:
        (tmp_path / "small").mkdir()
        image.resize((48, 36)).save(tmp_path / "small" / "small.png")
        (tmp_path / "large").mkdir()
        for name in "ab":
            image.crop((0, 0, 160, 160)).save(tmp_path / "large" / f"{name}.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "first.log").write_text(TRAINING_LOG.format(2, 4, 3))
    (tmp_path / "second.log").write_text(TRAINING_LOG.format(2, 4, 1))
    units, rate = "stat::number_of_executed_units: 6000", "stat::average_exec_per_sec: 50"
    (tmp_path / "fuzz.log").write_text(f"{units}\n{rate}\nslowest case: 0.25 s\n")
    (tmp_path / "README.md").write_text("Before\n<!-- figures: made by X -->\nold\n<!-- end of figures -->\nAfter\n")
    (tmp_path / "card.json").write_text('{"license": "kept"}')
    return tmp_path


def check_speed(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert [row["operation"] for row in figures["processes"]] == [
        "encode", "decode", "decode", "info", "import", "help", "python"
    ]  # fmt: skip
    assert all(row["seconds"] > 0 and row["peak_mb"] > 1 for row in figures["processes"])
    assert [row.get("layer") for row in figures["calls"]] == [None, 0, 2]
    assert {row["name"] for row in figures["models"]} == {"fast"}
    assert [row.get("ratio") for row in figures["multiplications"]] == [None, None, 1.3, 2, 4]
    assert all(row["kmac_per_pixel"] > 0 for row in figures["multiplications"])


def check_bench(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert {row["operation"] for row in figures["processes"]} == {"encode", "decode", "decode, layer 0"}
    assert all(row["user_seconds"] > 0 and row["peak_mb"] > 1 for row in figures["processes"])
    for call in ("encode", "decode"):
        rows = {row["stage"]: row["milliseconds"] for row in figures["stages"] if row["call"] == call}
        assert {"predictor, network", "residual synthesis, network", "entropy coding", "exact convolutions"} < set(rows)
        assert all(value >= 0 for value in rows.values())
    peaks = {row["operation"]: row["peak_mb"] for row in figures["processes"]}
    assert peaks["decode, layer 0"] < 150  # a child's begins with its parent's: that of PyTorch would be more
    assert figures["peak_gflops"] > 0
    assert 0 < figures["throughput_of_two"] < 4
    assert "| decode | whole |" in outcome.text("out.md")


def check_shapes(outcome: Outcome) -> None:
    rows = {row["name"]: row for row in outcome.json("out.json")["rows"]}
    assert len(rows) == 18
    assert all(row["decodes_exactly"] for row in rows.values())
    assert rows["3 layers"]["sizes"] == ["12x9", "24x18", "48x36"]
    assert rows["3 layers"]["file_bytes"] == rows["3 layers"]["header_bytes"] + sum(rows["3 layers"]["payload_bytes"])


def check_effort(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert [row["effort"] for row in figures["efforts"]] == list(range(1, 10))
    assert all(row["seconds"] > 0 and row["peak_mb"] > 1 and row["bytes"] > 40 for row in figures["efforts"])
    assert len(figures["region"]["plain"]) == len(figures["region"]["with_region"]) == 4
    with Image.open(outcome.folder / "region.jpg") as image:
        assert image.size == (2 * 48, 36)


def check_drift(outcome: Outcome) -> None:
    five, eleven = outcome.json("out.json")["chains"]
    assert (five["ratio"], eleven["ratio"]) == (1.5, 1.0)
    assert [len(chain["largest_difference"]) for chain in (five, eleven)] == [6, 12]
    assert five["largest_difference"][0] == 1
    assert 0 < five["share_of_samples"][0] < 0.05


def check_layers(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert figures["pictures"] == 1
    assert len(figures["predictions"]) == 4 * 5 * 3
    assert {row["method"] for row in figures["predictions"]} == {"predictor", "bicubic", "lanczos"}
    assert all(10 < row["psnr_rgb"] < 50 for row in figures["predictions"])
    for file in figures["bytes"]:
        for layer in file["layers"]:
            assert layer["payload"] - 5 < layer["y"] + layer["z"] <= layer["payload"]


def check_montage(outcome: Outcome) -> None:
    with Image.open(outcome.folder / "out.jpg") as image:
        assert image.format == "JPEG"
        assert image.size == (12 + 24 + 48 + 4 * 12, 36 + 28 + 24)


def check_robustness(outcome: Outcome) -> None:
    text = outcome.text("out.md")
    flips = re.search(r"A file of (\d+) bytes", text)
    assert flips
    counts = re.findall(r"^\| [^|]+ \| (\d+) \|$", text.partition("## `kill")[0], re.M)
    assert sum(map(int, counts)) == len(range(0, 8 * int(flips[1]), 50))
    assert "ANOTHER ONE" not in text
    assert re.search(r"^\| encode \| [01] \| [01] \| 0 \|$", text, re.M)
    assert "| grey and alpha.png | LA 120x90 | 0 | LA 120x90 |" in text
    assert re.search(r"^\| 2 \| 160x120 \| [\d,]+ \|", text, re.M)
    with Image.open(outcome.folder / "odd-images.png") as sheet:
        assert sheet.size == (4 * 270, 2 * 154)


def check_fuzzing(outcome: Outcome) -> None:
    text = outcome.text("out.md")
    assert "| executions | 6,000 in 2 minutes |" in text
    assert "| slowest case | 0.250 s of the processor |" in text
    assert "what was found" in text


def check_results(outcome: Outcome) -> None:
    """The committed files of results make the committed README.md of results."""
    for name in ("README.md", "kodak.svg", "base.svg", "effort.svg"):
        assert outcome.text(f"out/{name}") == (ROOT / "results" / name).read_text()
    readme = outcome.text("README.md")
    assert readme.startswith("Before\n<!-- figures: made by benchmarks/product/report.py -->\n\n| what | measured |\n")
    assert readme.endswith("|\n<!-- end of figures -->\nAfter\n")
    card = outcome.json("card.json")
    assert card["license"] == "kept"
    assert [row["quality"] for row in card["kodak"]] == list(range(7))


def check_predictors(outcome: Outcome) -> None:
    rows = outcome.json("out.json")["rows"]
    assert [(row["predictor"], row["ratio"]) for row in rows] == [("fast", 1.2), ("fast", 2.0), ("fast", 4.0)]
    assert all(1 < row["kmac_per_pixel"] < 100 and row["milliseconds"] > 0 for row in rows)


def check_symbols(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert figures["layers"] == 3 * 4
    assert figures["conditions_that_differ"] == 0
    assert figures["symbols_that_differ"] <= figures["symbols"] // 1000


def check_chains(outcome: Outcome) -> None:
    head, row = (line.split(" | ") for line in outcome.stdout.splitlines())
    assert head[1:] == ["3 layers to 4x", "9 layers to 4x", "2 layers, 6x", "2 layers, 2x", "2 layers, 1.2x", "base"]
    costs = [float(cell) for cell in row[1:]]
    assert all(0 < cost < 1000 for cost in costs)
    assert costs[1] > costs[-1]  # nine layers cost more than one


def check_card(outcome: Outcome) -> None:
    card = outcome.json("out.json")
    assert card["curve"] == [[81920, 1.5], [163840, 1.3], [491520, 1.5], [819200, 1.1]]
    assert (card["pixels"], card["core_minutes"], card["validation"]) == (819200, 7, {"cost": 1.1})


def check_curve(outcome: Outcome) -> None:
    (training,) = outcome.json("out.json")["trainings"]
    assert training["name"] == "two runs"
    assert [point["minutes"] for point in training["points"]] == [2, 4, 6, 8]
    assert training["ends"] == [{"minutes": 4, "cost": 1.3}, {"minutes": 8, "cost": 1.1}]
    assert training["cost_per_doubling"] == pytest.approx(-0.2)
    assert outcome.text("out.svg").rstrip().endswith("</svg>")


def check_profile_step(outcome: Outcome) -> None:
    assert re.search(r"cpu, fp32: [\d.]+ ms a step, \d+ kpixel/s", outcome.stdout)
    assert "aten::" in outcome.stdout


def check_trials(outcome: Outcome) -> None:
    head, _, *_, row = outcome.stdout.splitlines()
    assert head == "| trial | steps | minutes | cost |"
    assert re.fullmatch(r"\| fp32 \| 1 \| [\d.]+ \| [\d.]+ \|", row)


def check_grid(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert re.fullmatch(r"python -m paper grid small .*", figures["command"])
    assert [row["quality"] for row in figures["pictures"]] == [1, 2, 3, 4]
    cases = figures["pictures"][0]["cases"]
    assert len(figures["curves"]) == 3 * len(cases) == 3 * 18
    assert cases[0]["sizes"] == [[12, 9], [14, 10]]


def check_exact(outcome: Outcome) -> None:
    figures = outcome.json("out.json")
    assert figures["layers"] == 2 * 3
    assert figures["decodings"] == [{"threads": n, "layers_that_differ": []} for n in (1, 2)]
    assert 0 < figures["largest_excess_bytes"] < 5
    assert {path.name for path in (outcome.folder / "kept").iterdir()} == {"small-q1.cmps", "small-q4.cmps"}


def check_paper_report(outcome: Outcome) -> None:
    text = outcome.text("out/report.md")
    committed = (ROOT / "results" / "report.md").read_text()
    table = "## The paper's poster, two layers\n"
    assert text.split(table)[1].split("## ")[0] == committed.split(table)[1].split("## ")[0]
    assert outcome.text("out/report.html").count("<img") == 3 + 4 + 5 + 6 + 9


def check_probe(outcome: Outcome) -> None:
    found = outcome.json("probed/probe.json")
    assert (found["files"], found["coder"]) == ({}, "constriction")
    assert (outcome.folder / "probed" / "small.cmps").stat().st_size > 100


def check_web_demo(outcome: Outcome) -> None:
    (picture,) = outcome.json("demo/pictures.json")
    assert (picture["name"], picture["width"], picture["height"]) == ("small", 48, 36)
    for kind, suffix in (("compass", "cmps"), ("avif", "avif"), ("jpeg", "jpg")):
        assert (outcome.folder / "demo" / f"small.{suffix}").stat().st_size == picture["bytes"][kind]
    assert min(picture["psnr"].values()) == picture["psnr"]["compass"]


def check_machines(outcome: Outcome) -> None:
    files = len(list((ROOT / "conformance").glob("*.cmps"))) + 2
    assert re.search(rf"^{files} files, \d+ layers, decoded on each machine", outcome.text("out.md"), re.MULTILINE)


def check_iiif(outcome: Outcome) -> None:
    assert "Done (33 tests, 0 failures)" in outcome.stdout


def check_dataset(outcome: Outcome) -> None:
    rows = re.findall(
        r"^\| (processes|Ray) \| 6 \| ([\d.]+) \| ([\d.]+) \| (.*) \|$", outcome.text("out.md"), re.MULTILINE
    )
    assert [(row[0], row[3]) for row in rows] == [("processes", ""), ("Ray", "all")]
    assert re.search(
        r"6 files for 6 images, beside them manifest\.jsonl, .* are those of the run", outcome.text("out.md")
    )


def check_quantised(outcome: Outcome) -> None:
    rows = re.findall(
        r"^(8 bits.*), (one layer|three layers): (.*) dB, BD-rate [-+.\d]+ %$", outcome.stdout, re.MULTILINE
    )
    assert [row[:2] for row in rows] == [
        (name, chain) for name in ("8 bits", "8 bits, after 2 steps") for chain in ("one layer", "three layers")
    ]
    assert any(float(loss) < 0 for row in rows for loss in row[2].split(", "))


def check_reference(outcome: Outcome) -> None:
    rows = outcome.json("out.json")["rows"]
    assert [row["what"].split(",")[0] for row in rows] == ["paper-small", "paper-small", "fast"]
    assert rows[0]["times_faster"] <= max(row["times_faster"] for row in rows)
    assert all(row["seconds"] > 0 for row in rows)


def check_load(outcome: Outcome) -> None:
    row = r"^\| (parts .*|the same .*) \| (\d+) \| ([\d.]+) \| (\S+) \| (\S+) \| (\d+) \|$"
    rows = re.findall(row, outcome.text("out.md"), re.MULTILINE)
    assert [row[1] for row in rows] == ["1", "8", "32"] * 3
    assert all(float(row[2]) > 0 and row[5] == "0" for row in rows)


def check_web(outcome: Outcome) -> None:
    text = outcome.text("out.md")
    assert "| layers whose symbols differ from Python's | 0 of 3 |" in text
    assert "| layers whose pixels in Chromium are not Node's to the bit | 0 of 3 |" in text
    assert len(re.findall(r"^\| \d \| \d+ \| \d+ \|$", text, re.MULTILINE)) == 3
    assert "| JPEGs of the three sizes |" in text


MODEL = f"--model {TINY_MODEL}"
GRIDS = f"{ROOT}/results/grid.json {ROOT}/results/grid-padded.json"
PEERS = " ".join(map(str, RECORDED))
needs_torch, slow = pytest.mark.torch, pytest.mark.slow
built = (ROOT / "web" / "dist" / "compass-image.js").exists() and Path("/usr/bin/chromium").exists()
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
needs_validator = pytest.mark.skipif(find_spec("iiif_validator") is None, reason="needs iiif-validator")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra cluster")
needs_browser = pytest.mark.skipif(not built, reason="needs make web, and Chromium")
PROGRAMS = [
    pytest.param(name, arguments, check, marks=marks, id=check.__name__.removeprefix("check_"))
    for name, arguments, check, *marks in [
        ("product/bench.py", f"--image small/small.png --megapixels 0.01 {MODEL} --out out.json", check_bench,
         needs_torch, slow),
        ("product/speed.py", f"--image small/small.png --runs 1 --profiles tiny {MODEL} --out out.json", check_speed,
         needs_torch, slow),
        ("product/shapes.py", f"small/small.png {MODEL} --out out.json", check_shapes, slow),
        ("product/drift.py", f"large/a.png {MODEL} --out out.json", check_drift),
        ("product/effort.py",
         f"small/small.png --region 8,8,16,16 --picture region.jpg {MODEL} --out out.json", check_effort, slow),
        ("product/layers.py", f"small --processes 1 {MODEL} --out out.json", check_layers),
        ("product/montage.py", f"small/small.png {MODEL} --out out.jpg", check_montage),
        ("product/robustness.py", f"small/small.png --every 50 --odd 6 --kills 1 --wide 160x120 {MODEL} --out out.md",
         check_robustness, slow),
        ("product/robustness.py", "--fuzz-log fuzz.log --note 'what was found' --out out.md", check_fuzzing),
        ("product/report.py", "--out out --readme README.md --card card.json", check_results, slow),
        ("product/web.py", f"small --count 1 {MODEL} --out out.md", check_web, needs_browser, slow),
        ("product/load.py",
         f"small/small.png --seconds 1 --minutes 0.1 --megapixels 0.01 {MODEL} --out out.md",
         check_load, needs_wrk, slow),
        ("product/dataset.py", f"large --images 6 --side 32 {MODEL} --out out.md", check_dataset, needs_ray, slow),
        ("product/probe.py", "small probed", check_probe),
        ("product/web_demo.py", "demo small/small.png", check_web_demo),
        ("product/machines.py", "large/a.png large/b.png --files 2 --only none --out out.md", check_machines, slow),
        ("product/iiif.py", "--level 2", check_iiif, needs_validator, slow),
        ("networks/predictors.py", "--only fast --size 48x32 --out out.json", check_predictors, needs_torch, slow),
        ("product/reference.py", f"small/small.png {MODEL} --profile paper-small --runs 1 --out out.json",
         check_reference, needs_torch, slow),
        ("networks/symbols.py", "small weights.pt --profile tiny --model trained.model --out out.json", check_symbols,
         needs_torch, slow),
        ("training/card.py", "first.log second.log --profile tiny --part base --crop 64,128 --batch 2 --core-minutes 7 "
         "--command 'compass train base' --out out.json", check_card),
        ("training/chains.py", "small weights.pt --profile tiny", check_chains, needs_torch, slow),
        ("training/curve.py", "'two runs=first.log,second.log' --out out.json", check_curve),
        ("training/profile_step.py", "large --profile tiny --crop 64 --batch 1 --steps 1", check_profile_step,
         needs_torch, slow),
        ("training/quantised.py", "large weights.pt --profile tiny --steps 2 --crop 32 --data large", check_quantised,
         needs_torch, slow),
        ("training/trials.py", "large large --pixels 65536 --only fp32", check_trials, needs_torch, slow),
        ("paper grid", f"small --processes 1 --middles 2.0 {MODEL} --out out.json", check_grid, slow),
        ("paper exact", f"small --processes 1 --qualities 1,4 --keep kept {MODEL} --out out.json", check_exact, slow),
        ("paper report", f"{GRIDS} {PEERS} --layers-of small/small.png {MODEL} --out out",
         check_paper_report, slow),
    ]
]  # fmt: skip


def make_weights(folder: Path) -> None:
    """weights.pt of the profile tiny, whose transforms start from a Karhunen-Loeve transform, and its trained.model."""
    import torch

    from compass.training.export import export_model
    from compass.training.klt import start_from_klt
    from compass.training.run import build

    torch.manual_seed(0)
    net = build("tiny").eval()
    with Image.open(PARROTS) as image:
        x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    start_from_klt(net.base, x)
    start_from_klt(net.residual, x, mean=0.0)
    torch.save(net.state_dict(), folder / "weights.pt")
    export_model(net, folder / "trained.model", "trained", {})


def run(name: str, arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program run in a folder: a script of benchmarks/, or a command of the package paper."""
    script = [str(ROOT / "benchmarks" / name)] if name.endswith(".py") else ["-m", *name.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *script, *shlex.split(arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "arguments", "check"), PROGRAMS)
def test_program(name: str, arguments: str, check: Check, folder: Path) -> None:
    if "weights.pt" in arguments:
        make_weights(folder)
    result = run(name, arguments, folder)
    assert result.returncode == 0, result.stderr
    check(Outcome(folder, result.stdout))


def test_every_program_is_among_them() -> None:
    scripts = (ROOT / "benchmarks").glob("*/*.py")
    programs = {f"{path.parent.name}/{path.name}" for path in scripts if "__main__" in path.read_text()}
    assert programs | {"paper grid", "paper exact", "paper report"} == {param.values[0] for param in PROGRAMS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("grid nowhere --out out.json", "nowhere cannot be read: No such file or directory"),
        ("exact small --model none --out out.json", "there is no model 'none': give a file"),
        ("report README.md --out other", "README.md is no file of results"),
        ("report README.md --out out", "out/report.html exists already; --force overwrites it"),
    ],
)
def test_bad_input_of_the_paper_is_one_sentence(
    arguments: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / "report.html").write_text("")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["paper", *arguments.split()])
    with pytest.raises(SystemExit) as end:
        paper()
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith(f"paper: {message}")
    assert error.count("\n") == 1
    assert not (folder / "out.json").exists()
    assert not (folder / "other").exists()
