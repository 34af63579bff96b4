"""The exchange pushed as far as it goes: ratio, agreement, likelihood, parts, start.

python analyses/reproduce/grid.py --minutes 9 --seeds 0     # all rows once; then more seeds

The paper's clamp stands beside it at the same steps. Targets: edited ÷ reconstructed at most 1.15
on each factor, leakage (draws) at most .05, rank correlations no lower and mse at most 5 % higher
than the clamp's.
"""

from experiment import Experiment, Row  # isort: skip  finds the package

from functools import partial

from asked import Options, options
from faces import faces

STEPS = 12_500
CLAMP = {"preset": "paper", "steps": STEPS, "decay": 0.5}
BASE = {**CLAMP, "clamp": "exchange", "ratio": "1:3"}

NORMAL = {"likelihood": "normal", "start": "principal", "warmup": 100}
PAIRS = {"minibatches": 10, "minibatch_size": 2}
# As many images in a quarter of the updates.
MORE_PAIRS = {"minibatches": 40, "minibatch_size": 2, "steps": STEPS // 4}
MUON = {"optimizer": "muon"}
FINE = {**NORMAL, "pixel_scale": 0.05, "ratio": "1:1"}

# In the order of what is to be learned from them.
CHANGES: list[tuple[str, dict[str, object]]] = [
    ("exchange", {}),
    ("agreement 3", {"agreement": 3.0}),
    ("agreement 10", {"agreement": 10.0}),
    ("agreement 30", {"agreement": 30.0}),
    ("agreement 100", {"agreement": 100.0}),
    ("agreement 30, normal likelihood", {"agreement": 30.0, **NORMAL}),
    ("agreement 100, normal likelihood", {"agreement": 100.0, **NORMAL}),
    ("agreement 10, normal likelihood", {"agreement": 10.0, **NORMAL}),
    ("agreement 30, ratio 1:1", {"agreement": 30.0, "ratio": "1:1"}),
    ("agreement 30, ratio 1:10", {"agreement": 30.0, "ratio": "1:10"}),
    ("KL weight 0.1, agreement 10", {"kl_weight": 0.1, "agreement": 10.0}),
    # What 64 pixels recommend: a finer likelihood, pairs from ten minibatches in each step, Muon.
    *(
        (
            f"{name}; agreement 200; sd .05; {many}; rate {rate:g}",
            {**FINE, **both, "agreement": 200.0},
        )
        for name, many, rate, both in [
            ("muon", "pairs", 0.0005, {**MUON, **PAIRS}),
            ("adam", "pairs", 0.0005, PAIRS),
            ("muon", "40 pairs a step", 0.001, {**MUON, **MORE_PAIRS, "learning_rate": 0.001}),
            ("muon", "40 pairs a step", 0.002, {**MUON, **MORE_PAIRS, "learning_rate": 0.002}),
            ("muon", "pairs", 0.001, {**MUON, **PAIRS, "learning_rate": 0.001}),
            ("adam", "40 pairs a step", 0.001, {**MORE_PAIRS, "learning_rate": 0.001}),
        ]
    ),
    *(
        (
            f"muon; agreement {agreement}; sd {sd}; pairs; rate 0.0005{more}",
            {**FINE, **PAIRS, **MUON, "agreement": agreement, "pixel_scale": sd, **change},
        )
        for agreement, sd, more, change in [
            (60.0, 0.05, "", {}),
            (600.0, 0.05, "", {}),
            (200.0, 0.03, "", {}),
            (200.0, 0.05, "; ratio 1:3", {"ratio": "1:3"}),
            (1800.0, 0.05, "", {}),
        ]
    ),
]
ROWS = [
    Row("clamp", CLAMP),
    Row("clamp, normal likelihood", {**CLAMP, **NORMAL}),
    Row("clamp; pairs", {**CLAMP, **PAIRS}),
    Row("clamp; muon; sd .05; pairs", {**CLAMP, **FINE, **PAIRS, **MUON}),
    *(Row(name, {**BASE, **changes}) for name, changes in CHANGES),
    Row("agreement 10, from faces-paper", {**BASE, "agreement": 10.0}, start="faces-paper"),
]


@options
def main(asked: Options) -> None:
    """Train and measure variants of the exchange on faces."""
    experiment = Experiment("grid", ROWS, partial(faces, asked), asked)
    experiment.run()
    experiment.close()


if __name__ == "__main__":
    main()
