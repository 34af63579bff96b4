"""What the paper leaves open, a row each: what the clamp holds, how hard, how often, and more.

python analyses/reproduce/ablations.py --minutes 20     # rows in the order of their value

Each row changes the paper's configuration (``faces-paper.toml``) in the one way that its name says,
at a quarter of its steps.
"""

from experiment import Experiment, Row  # isort: skip  finds the package

from asked import Options, options
from faces import faces

STEPS = 12_500
BASE = {"preset": "paper", "steps": STEPS}
FOUR = {"minibatches": 4, "steps": STEPS // 4, "learning_rate": 1e-3}

# What a row changes, from how many seeds: three for the rows that matter.
CHANGES: list[tuple[str, dict[str, object], int]] = [
    ("paper: mean, parameters, .01, 1:10", {}, 3),
    ("no clamp", {"handler": "none"}, 3),
    ("exchange", {"handler": "exchange"}, 3),
    ("ratio 1:1", {"ratio": "1:1"}, 3),
    ("strength 0", {"strength": 0.0}, 3),
    ("strength 10", {"strength": 10.0}, 3),
    ("first image", {"handler": "first"}, 3),
    ("on the draw", {"clamp_on": "draw"}, 3),
    ("KL gradient kept", {"kl_gradient": "kept"}, 3),
    ("torch7", {"preset": "torch7"}, 3),
    ("normal likelihood", {"likelihood": "normal"}, 1),
    ("continuous Bernoulli", {"likelihood": "continuous_bernoulli"}, 1),
    ("strength 1", {"strength": 1.0}, 1),
    ("strength 100", {"strength": 100.0}, 1),
    ("exchange, ratio 1:1", {"handler": "exchange", "ratio": "1:1"}, 1),
    ("principal start", {"start": "principal"}, 1),
    ("principal start, warm-up", {"start": "principal", "warmup": 100}, 1),
    # The same images in a quarter of the updates, each from four minibatches.
    ("4 minibatches a step", FOUR, 1),
    ("4 minibatches a step, warm-up", {**FOUR, "warmup": 100}, 1),
]
ROWS = [Row(name, {**BASE, **changes}, seeds=seeds) for name, changes, seeds in CHANGES]


@options
def main(asked: Options) -> None:
    """Train and measure the ablations on faces."""
    experiment = Experiment("ablations", ROWS, faces, asked)
    experiment.run()
    experiment.close()


if __name__ == "__main__":
    main()
