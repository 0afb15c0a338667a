"""Makes the site from the pages: python docs/build.py. It lies in site/ afterwards.

MkDocs is given its settings here, so that the project has one configuration file, pyproject.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent

PAGES = [
    {"Sonde": "index.md"},
    {
        "Guide": [
            {"Data": "guide/data.md"},
            {"Augmentation": "guide/augmentation.md"},
            {"Networks": "guide/networks.md"},
            {"Objectives": "guide/objectives.md"},
            {"Plans": "guide/plans.md"},
            {"Optimizers": "guide/optimizers.md"},
            {"Runs": "guide/runs.md"},
            {"Artifacts": "guide/artifacts.md"},
            {"Sparse models": "guide/sparse.md"},
            {"Command line": "guide/command-line.md"},
            {"TOML files": "guide/toml.md"},
            {"Recipes": "guide/recipes.md"},
            {"Extending": "guide/extending.md"},
        ]
    },
    {
        "Explained": [
            {"Arrays": "explain/tensors.md"},
            {"Linear regression": "explain/linear-regression.md"},
            {"Softmax and likelihood": "explain/softmax-regression.md"},
            {"The logistic unit": "explain/logistic-unit.md"},
            {"Hidden layers": "explain/hidden-layers.md"},
            {"Initializers and activations": "explain/initializers.md"},
            {"Capacity": "explain/capacity.md"},
            {"Regularization": "explain/regularization.md"},
            {"Noise and augmentation": "explain/noise-and-augmentation.md"},
            {"What to begin with": "explain/defaults.md"},
            {"Optimizers at work": "explain/optimizers.md"},
            {"The learning rate": "explain/learning-rate.md"},
            {"Schedules": "explain/schedules.md"},
            {"Convolution": "explain/convolution.md"},
            {"Back-propagation": "explain/backpropagation.md"},
            {"PCA and the autoencoder": "explain/pca-and-autoencoder.md"},
            {"Kinds of autoencoders": "explain/autoencoders.md"},
            {"Stacked autoencoders": "explain/stacked-autoencoders.md"},
            {"Variational autoencoders": "explain/variational.md"},
            {"What one does with codes": "explain/codes.md"},
        ]
    },
    {"Performance": "performance.md"},
    {"What exists": "features.md"},
    {"Contributing": "contributing.md"},
    {"Decisions": [{path.stem: f"design/{path.name}"} for path in sorted(DOCS.glob("design/*.md"))]},
]
"""The pages, in the order of the flow."""

SETTINGS = {
    "site_name": "Sonde",
    "docs_dir": str(DOCS),
    "site_dir": str(DOCS.parent / "site"),
    "exclude_docs": "*.py\n__pycache__/",
    "nav": PAGES,
    "strict": True,
    "use_directory_urls": False,
    "plugins": ["search"],
    "validation": {"links": {"anchors": "warn", "absolute_links": "warn", "unrecognized_links": "warn"}},
}


def main() -> int:
    """Build, and say where it is."""
    from mkdocs.commands.build import build
    from mkdocs.config.defaults import MkDocsConfig

    config = MkDocsConfig()
    config.load_dict(SETTINGS)
    errors, warnings = config.validate()
    for setting, problem in (*errors, *warnings):
        print(f"{setting}: {problem}", file=sys.stderr)
    if errors:
        return 1
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    print(f"{SETTINGS['site_dir']}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
