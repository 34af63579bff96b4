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
    # What 64 pixels recommend: a finer likelihood, and pairs from ten minibatches in each step.
    ("agreement 200; sd .05; pairs", {**FINE, **PAIRS, "agreement": 200.0}),
    ("agreement 600; sd .05; pairs", {**FINE, **PAIRS, "agreement": 600.0}),
    ("agreement 1800; sd .05; pairs", {**FINE, **PAIRS, "agreement": 1800.0}),
    ("agreement 600; sd .05", {**FINE, "agreement": 600.0}),
    (
        "agreement 600; sd .05; pairs; rate 1e-3",
        {**FINE, **PAIRS, "agreement": 600.0, "learning_rate": 1e-3},
    ),
    # As many images in a quarter of the updates.
    (
        "agreement 600; sd .05; 40 pairs a step; rate 1e-3",
        {
            **FINE,
            "agreement": 600.0,
            "minibatches": 40,
            "minibatch_size": 2,
            "steps": STEPS // 4,
            "learning_rate": 1e-3,
        },
    ),
]
ROWS = [
    Row("clamp", CLAMP),
    Row("clamp, normal likelihood", {**CLAMP, **NORMAL}),
    Row("clamp; pairs", {**CLAMP, **PAIRS}),
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
