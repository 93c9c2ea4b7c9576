"""A result of a segmentation run."""


def scores(miou, **iou):
    foreground = {"precision": 0.5, "recall": 0.6}
    return {"miou": miou, "miou_std": 0.01, "iou": iou, "foreground": foreground}


RESULT = {
    "task": "segmentation",
    "data": "rooms",
    "mode": "auto",
    "labelled_scenes": 2,
    "labelled_fraction": 0.25,
    "seeds": [0, 1],
    "spread": "draws of labels",
    **scores(0.4, floor=0.7, chair=0.1),
    "controls": {
        "frozen": scores(0.3, floor=0.5, chair=0.1),
        "scratch": scores(0.411, floor=0.7),
        "random_encoder_probe": scores(0.2, floor=0.3, chair=0.1),
    },
    "timing": {"seconds": 1.0},
    "instances": {
        "grouped": {"pq": 0.2, "pq_std": 0.1, "map25": 0.3, "map25_std": 0.0},
        "dbscan": {"pq": 0.1, "pq_std": 0.1, "map25": 0.2, "map25_std": 0.0},
    },
}
