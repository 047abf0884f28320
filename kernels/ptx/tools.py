"""NVIDIA's tools for CUDA without a card, from the packages that NVIDIA publishes on PyPI: installed once, into target/cuda-tools.

The versions are chosen with a reason. NVRTC 12.0 writes PTX that every driver of CUDA 12.0 and later reads. The assembler is a later one,
because it has to know the cards of today.
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "cuda-tools"

NVRTC = "nvidia-cuda-nvrtc-cu12==12.0.140"
PTXAS = "nvidia-cuda-nvcc-cu12==12.9.86"
NVDISASM = "nvidia-cuda-nvdisasm==13.5.37"
RACES = "SentryWard==0.1.1"


def installed(package: str) -> pathlib.Path:
    """The folder that a package is installed in; installs it where it is not there yet."""
    folder = FOLDER / package.replace("==", "-")
    if not (folder / "complete").exists():
        print(f"installing {package}", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", folder, package]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"{package} cannot be installed; without it the CUDA kernels are not checked")
        (folder / "complete").touch()
    return folder


def only(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    """The only file of a folder whose path matches."""
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder}: {len(found)} files match {pattern}")
    return found[0]
