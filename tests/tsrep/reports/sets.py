"""A small labelled set, as a run reads it, and the result of such a run."""

import numpy as np

from tsrep.datasets.series import Panel, Scaler

CLASSES = {
    "task": "classification",
    "data": "set",
    "seeds": [0, 1],
    "accuracy": {"svm": 0.9, "linear": 0.8, "svm_std": 0.01, "linear_std": 0.0},
    "controls": {
        "random_encoder": {"svm": 0.8, "linear": 0.8, "svm_std": 0.0, "linear_std": 0.0},
        "raw": {"svm": 0.7, "linear": 0.6, "svm_std": 0.0, "linear_std": 0.0},
    },
    "timing": {"train_s": 1.0},
}


def labelled_set(channels: int = 1, count: int = 12, steps: int = 20) -> Panel:
    """Three classes of noise at three levels; the last instance is shorter."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    parts = rng.normal(labels[:, None, None], 1, (2, count, steps, channels)).astype(np.float32)
    parts[:, -1, steps // 2 :] = np.nan
    names = [f"channel {i}" for i in range(channels)]
    scaler = Scaler.fit(parts[0].reshape(-1, channels), names, "made set")
    train, test = (scaler.transform(part) for part in parts)
    return Panel("made", train, labels, test, labels, ("low", "<b>middle", "_high"), scaler)
