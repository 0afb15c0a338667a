"""How good the defaults are on tables: ``python -m benchmarks.tabular``, beside scikit-learn, on the same splits.

Each side gets the same raw columns and the same training and test rows. Validation rows are Sonde's for stopping;
the others train on them, too.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sonde.data import split_rows, table_of
from sonde.data.encoder import task_of
from sonde.recipes import Experiment, cook

SETS = {
    "california_housing.csv": "median_house_value",
    "winequality-red.csv": "column_12",
}


def theirs(table: dict, target: str, seed: int) -> dict[str, tuple[float, float]]:
    """Test score and seconds of scikit-learn's network and of its boosted trees, with their defaults."""
    classes = task_of(table[target]) == "classes"
    inputs = [name for name in table if name != target]
    words = [name for name in inputs if table[name].dtype == object]
    numbers = [name for name in inputs if name not in words]
    import pandas as pd

    frame, y = pd.DataFrame({name: table[name] for name in inputs}), table[target]
    labels = np.unique(y, return_inverse=True)[1] if classes else None
    rows = split_rows(len(y), {"test": 0.15, "valid": 0.15}, seed, labels)
    train, test = np.concatenate([rows["train"], rows["valid"]]), rows["test"]
    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    )
    network = MLPClassifier(random_state=seed) if classes else MLPRegressor(random_state=seed)
    trees = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(random_state=seed)
    scores = {}
    for name, model in (("MLP", network), ("boosted trees", trees)):
        began, model = time.perf_counter(), make_pipeline(encode, model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not classes and name == "MLP":  # squared error in dollars does not train; in deviations it does
                center, spread = y[train].mean(), y[train].std()
                model.fit(frame.iloc[train], (y[train] - center) / spread)
                error = y[test] - (model.predict(frame.iloc[test]) * spread + center)
                score = 1 - (error**2).sum() / ((y[test] - y[test].mean()) ** 2).sum()
            else:
                score = model.fit(frame.iloc[train], y[train]).score(frame.iloc[test], y[test])
        scores[name] = (float(score), time.perf_counter() - began)
    return scores


def main() -> None:
    """Print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path(os.environ.get("SONDE_DATA", ".")) / "tabular")
    arguments.add_argument("--seeds", type=int, default=5)
    given = arguments.parse_args()
    print("| data | score | Sonde | scikit-learn MLP | boosted trees |\n| --- | --- | --- | --- | --- |")
    for file, target in SETS.items():
        table, scores = table_of(given.folder / file), {"Sonde": [], "MLP": [], "boosted trees": []}
        metric = "accuracy" if task_of(table[target]) == "classes" else "r2"
        for seed in range(given.seeds):
            began = time.perf_counter()
            result = cook(Experiment(source=str(given.folder / file), target=target), seed, progress=False)
            scores["Sonde"].append((result.metrics["test"][metric], time.perf_counter() - began))
            for name, score in theirs(table, target, seed).items():
                scores[name].append(score)
        cells = []
        for each in scores.values():
            values, seconds = np.array(each).T
            error = values.std(ddof=1) / len(values) ** 0.5
            cells.append(f"{values.mean():.3f} ± {error:.3f} ({np.median(seconds):.1f} s)")
        print(f"| {file} | {metric} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
