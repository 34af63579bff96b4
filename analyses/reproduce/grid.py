"""The exchange pushed as far as it goes: ratio, agreement, likelihood, parts, start.

python analyses/reproduce/grid.py --minutes 9 --seeds 0     # all rows once; then more seeds

The paper's clamp stands beside it at the same steps. Targets: edited ÷ reconstructed at most 1.15
on each factor, leakage (draws) at most .05, rank correlations no lower and mse at most 5 % higher
than the clamp's.
"""

from experiment import Experiment, Row  # isort: skip  finds the package

from asked import Options, options
from faces import faces

STEPS = 12_500
CLAMP = {"preset": "paper", "steps": STEPS, "decay": 0.5}
BASE = {**CLAMP, "handler": "exchange", "ratio": "1:3"}

NORMAL = {"likelihood": "normal", "start": "principal", "warmup": 100}
FINE = {**NORMAL, "ratio": "1:1", "minibatch_size": 2}


def pairs(
    optimizer: str,
    number: int,
    rate: float,
    agreement: float,
    sd: float = 0.05,
    steps: int = 0,
    strength: float = 0.0,
    ratio: str = "",
) -> tuple[str, dict[str, object]]:
    """A row of what 64 pixels recommend: fine likelihood, pairs of many people in each step.

    Without a number of steps, as many as give every row the same images.
    """
    changes = {"optimizer": optimizer, "minibatches": number, "learning_rate": rate}
    changes |= {"pixel_scale": sd, "steps": steps or 10 * STEPS // number, **FINE}
    charge = f"agreement {agreement:g}" if agreement else "clamp"
    if agreement:
        changes |= {"handler": "exchange", "agreement": agreement}
    if strength:
        changes |= {"strength": strength}
        charge += f" of strength {strength:g}"
    if ratio:
        changes |= {"ratio": ratio}
        charge += f" at {ratio}"
    longer = f"; {steps} steps" if steps else ""
    return f"{optimizer}; {charge}; sd {sd:g}; {number} pairs; rate {rate:g}{longer}", changes


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
]
PAIRS = [
    pairs("muon", 80, 5e-4, 600, steps=6000),
    pairs("muon", 80, 1e-3, 600, steps=6000),
    *(pairs("muon", 80, 1e-3, 0, steps=3000, strength=strength) for strength in (0, 30, 300, 3000)),
    *(
        pairs("muon", 80, 1e-3, 0, steps=3000, strength=300, ratio=ratio)
        for ratio in ("1:3", "1:10")
    ),
    pairs("muon", 80, 1e-3, 0, steps=3000, strength=1000, ratio="1:10"),
    *(
        pairs("muon", 80, 1e-3, 0, steps=12_000, strength=300, ratio=ratio)
        for ratio in ("", "1:10")
    ),
    pairs("muon", 80, 1e-3, 600, steps=6000, ratio="1:3"),
    pairs("muon", 80, 1e-3, 1800, steps=6000, ratio="1:10"),
    pairs("muon", 80, 1e-3, 0, sd=0.03, steps=12_000, strength=1000),
    pairs("muon", 10, 5e-4, 0),
    pairs("muon", 10, 5e-4, 60),
    pairs("muon", 10, 5e-4, 200),
    pairs("muon", 10, 5e-4, 600),
    pairs("muon", 10, 5e-4, 200, sd=0.03),
    pairs("muon", 10, 1e-3, 200),
    pairs("muon", 40, 1e-3, 200),
    pairs("muon", 40, 2e-3, 200),
    pairs("adam", 10, 5e-4, 200),
    pairs("adam", 40, 1e-3, 200),
]
ROWS = [
    Row("clamp", CLAMP),
    Row("clamp, normal likelihood", {**CLAMP, **NORMAL}),
    *(Row(name, {**BASE, **changes}) for name, changes in CHANGES),
    Row("agreement 10, from faces-paper", {**BASE, "agreement": 10.0}, start="faces-paper"),
    *(Row(name, {**CLAMP, **changes}) for name, changes in PAIRS),
]


@options
def main(asked: Options) -> None:
    """Train and measure variants of the exchange on faces."""
    experiment = Experiment("grid", ROWS, faces, asked)
    experiment.run()
    experiment.close()


if __name__ == "__main__":
    main()
