"""What a reader has at hand who types what the pages say: programs, recordings, run folders."""

from __future__ import annotations

import ast
import builtins
import time
from pathlib import Path

import soundfile

from tests.docs.pages import Block
from tests.report.folders import ECO, LOGMEL, MELHUBERT, RANDOM, Arm, write_run
from tests.tones import REPOSITORY, tone

FOLDERS_OF_AUDIO = ("recordings", "readings", "calls", "digits", "noises")
PROGRAMS = ("train.py", "old.py", "new.py", "serve.py")
STEPS_OF_LADDER = tuple(Arm(label, "efficient", per) for label, per in (("published", 52.0), ("rebuilt", 50.0)))

NAMES = {
    "train": "def train():\n    sum(range(10**6))\n",
    "evaluate": "def evaluate():\n    sum(range(10**6))\n",
    "step": "def step(batch):\n    sum(range(10**5))\n    return 0.4\n",
    "train_one_step": "def train_one_step():\n    sum(range(10**5))\n",
    "loader": "loader = range(20)\n",
    "trainer": """
import torch, transformers
class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.map = torch.nn.Linear(8, 1)
    def forward(self, x, labels):
        return {"loss": ((self.map(x) - labels) ** 2).mean()}
points = [{"x": torch.full((8,), i / 8), "labels": torch.zeros(1)} for i in range(8)]
settings = transformers.TrainingArguments(output_dir="out", max_steps=3, logging_steps=1, use_cpu=True, report_to=[])
trainer = transformers.Trainer(model=Line(), args=settings, train_dataset=points)
""",
}
"""The reader's own code, by the names that examples use for it."""


def readers_code(text: str) -> str:
    """The code of :data:`NAMES` for all names that a block uses without making them.

    Raises:
        AssertionError: it uses another name that nothing makes.
    """
    tree = ast.parse(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            made |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            made.add(node.arg)
    missing = sorted(used - made - set(dir(builtins)))
    assert set(missing) <= set(NAMES), f"nothing makes {set(missing) - set(NAMES)}"
    return "".join(NAMES[name] for name in missing)


def lay_out(folder: Path, block: Block, blocks: list[Block]) -> None:
    """Put into an empty folder what the block's page takes for granted, and the files that the page has shown."""
    _write_programs(folder)
    for number, name in enumerate(FOLDERS_OF_AUDIO):
        _write_audio(folder / name, number)
    soundfile.write(folder / "a.flac", tone(3.2), 16_000)
    _write_grid(folder / "grid.csv")
    if "runs/" in block.text:
        _write_runs(folder / "runs", block.text)
    if "benchmarks/" in block.text:
        (folder / "benchmarks").symlink_to(REPOSITORY / "benchmarks")
    if "my-encoder" in block.text:
        _write_encoder(folder / "my-encoder")
    for other in blocks:
        if other.page == block.page and other.file_name:
            (folder / other.file_name).write_text(other.text, encoding="utf-8")


def _write_programs(folder: Path) -> None:
    for name in PROGRAMS:
        (folder / name).write_text("sum(range(10**6))\n", encoding="utf-8")


def _write_audio(folder: Path, number: int) -> None:
    """Twelve recordings of two words by three speakers; other ones in every folder."""
    folder.mkdir()
    rows = ["path\tspeaker\tkeyword\ttext"]
    for take in range(12):
        word = ("go", "stop")[take % 2]
        wave = tone(1.0 + take / 20, hz=150 + 10 * take + number, seed=100 * number + take)
        soundfile.write(folder / f"{take}.wav", wave, 16_000)
        rows.append(f"{take}.wav\ts{take % 3}\t{word}\t{word}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _write_grid(path: Path) -> None:
    hours = (time.time() // 3600 + number for number in range(-2, 3))
    rows = (time.strftime("%Y-%m-%dT%H:00:00Z,50", time.gmtime(3600 * hour)) for hour in hours)
    path.write_text("\n".join(["datetime,g_per_kwh", *rows]) + "\n", encoding="utf-8")


def _write_runs(folder: Path, text: str) -> None:
    """Run folders under every name that is asked for; those of two machines and of two days differ accordingly."""
    seeds = 2
    whole = ("quickstart-20260101-120000", "quickstart-old", "quickstart-new", "monday", "tuesday")
    for name, arms in {**dict.fromkeys(whole, (ECO, MELHUBERT, LOGMEL)), "a": (ECO, LOGMEL), "b": (MELHUBERT,)}.items():
        if f"runs/{name}" in text:
            write_run(folder / name, arms=arms, seeds=seeds, hz=1.0)
    for name, cpu in (("laptop", "Example CPU 8-core"), ("server", "Example CPU 64-core")):
        if f"runs/{name}" in text:
            write_run(folder / name, arms=(ECO, MELHUBERT), seeds=seeds, cpu=cpu, hz=1.0)
    if "runs/families" in text:
        write_run(folder / "families", arms=(ECO, RANDOM), seeds=seeds, suite="families", hz=1.0)
    if "runs/ladder" in text:
        run = write_run(folder / "ladder", arms=STEPS_OF_LADDER, seeds=seeds, suite="ladder", hz=1.0)
        labels = [arm.label for arm in STEPS_OF_LADDER]
        (run / "suite.toml").write_text(f'[suite]\nname = "ladder"\nmodels = {labels}\n[budget]\nseconds = 45\n')


def _write_encoder(folder: Path) -> None:
    from transformers import HubertConfig

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    HubertConfig(**small, conv_dim=(32,) * 7).save_pretrained(folder)
