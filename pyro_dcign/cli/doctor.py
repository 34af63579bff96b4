"""``pyro-dcign doctor``: what is installed and what would be used."""

import click

from pyro_dcign.cli import options

PACKAGES = ["torch", "pyro-ppl", "numpy", "arviz", "seaborn", "matplotlib", "click", "safetensors"]
PACKAGES += ["scikit-learn", "h5netcdf", "jaxtyping", "pillow", "embreex", "zuko", "h5py"]


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Show versions and devices, and what a fit here would use."""
    import json
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from pyro_dcign import __version__
    from pyro_dcign.cli.fit import default_preset
    from pyro_dcign.config import PRESETS
    from pyro_dcign.machine import device_of, precision_of
    from pyro_dcign.model import known_guides

    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    preset = default_preset()
    device = device_of(PRESETS[preset].device)
    found = {
        "pyro_dcign": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": versions,
        "guides": known_guides(),
        "would_use": {
            "preset": preset,
            "device": device.type,
            "precision": str(precision_of(PRESETS[preset].precision, device)).removeprefix(
                "torch."
            ),
        },
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for name, what in value.items():
                click.echo(f"  {name:14} {what or 'not installed'}")
        else:
            click.echo(f"{key:16} {value or 'none'}")
