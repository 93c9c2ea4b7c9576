"""Classification of labelled sets by AutoTCL's pooled vectors, beside its controls.

For each set, one encoder per seed is trained with the code of ``tools/pretrain_autotcl.py`` and the
settings of ``tools/configs/classification.toml``. These settings and the penalties of the probes
were chosen by cross-validation on the train parts.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from suites.table import Row

from tspcrep.common import config as configuration
from tspcrep.tools import pretrain_autotcl
from tsrep.evaluation import classification

SETS = ("BasicMotions", "JapaneseVowels")
SETTINGS = Path(__file__).parents[1] / "configs" / "classification.toml"


def classification_rows(seeds: tuple[int, ...]) -> Iterator[Row]:
    """Test accuracy of both probes on each set, of AutoTCL and of the controls."""
    for name in SETS:
        defaults = configuration.load(pretrain_autotcl.Config, SETTINGS)
        config = replace(defaults, data=name, output=Path("runs"))
        panel = pretrain_autotcl.load_data(config)
        results = []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                results.append(pretrain_autotcl.train_and_score(config, panel, seed, Path(folder)))
        summary = classification.summary(panel, seeds, results)
        for system, scores in {"autotcl": summary["accuracy"], **summary["controls"]}.items():
            for probe in classification.PROBES:
                yield Row(
                    f"{name}/{probe}",
                    system,
                    "accuracy",
                    scores[probe],
                    std=None if system == "raw" else scores[f"{probe}_std"],
                    seeds=None if system == "raw" else len(seeds),
                )
        seconds = summary["timing"]["train_s"]
        yield Row(f"{name}/train", "autotcl", "seconds", seconds, unit="s", seeds=len(seeds))
