"""What a recipe came to, in words: how its runs ended, its targets, where everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonde.train import Outcome

if TYPE_CHECKING:
    from sonde.recipes import Result


def account(result: Result) -> str:
    """What to tell of a result; the lines that go on with it can be copied."""
    from sonde.recipes.recipe import artifact_path, jobs

    lines = []
    for job, run in zip(jobs(result.recipe), result.runs, strict=False):
        title = f"{job.title} (seed {run.seed}): " if job.title else ""
        lines.append(f"{title}{run}")
    for name, value in result.metrics["test"].items():
        if (spread := result.errors.get(f"test/{name}")) is not None:
            runs = result.recipe.repeats
            lines.append(f"test {name}: mean {value:.4f}, standard deviation {spread:.4f} over {runs} runs")
    for name, value in result.metrics.get("measured", {}).items():
        lines.append(f"  {name}: {value:.6g}")
    for target, t in zip(result.recipe.targets, result.targets, strict=True):
        if t["reached"] is not None and result.outcome != Outcome.INTERRUPTED:
            whole, end = "", ", met" if t["met"] else ", missed"
            if target.over > result.recipe.repeats:  # one run may be below what the mean of many reaches
                whole, end = f" for the mean of {target.over} runs (--set repeats={target.over})", " so far"
            lines.append(f"target {t['name']} {t['wanted']:g}{whole}: reached {t['reached']:.5g}{end}")
    if result.folder is not None:
        path = artifact_path(result.folder, result.recipe)
        lines.append(f"network   {path}")
        if drawn := sorted({*result.folder.glob("*.png"), *path.parent.glob("*.png")}):
            lines.append(f"pictures  {', '.join(map(str, drawn))}")
        if result.outcome == Outcome.INTERRUPTED:
            lines.append(f"go on     sonde resume {result.folder}")
        raw = "DATA" if result.runs[0].data.encoder is not None else "INPUT.npy"
        lines.append(f"predict   sonde predict {path} {raw}")
    return "\n".join(lines)
