"""What installing the backend downloads and what it takes on the disk: ``python benchmarks/installation_size.py``.

Run it with the Python of a backend's environment on Linux. pip works out which packages the backend needs, without
installing them; the sizes of their files are added up. The build of PyTorch is the one that pip
chooses by its settings; ``--pypi`` ignores these settings, which gives the build for GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).resolve().parent.parent


def packages(pypi: bool) -> dict[str, str]:
    """Return the URL of each package that an installation downloads, by name.

    Parameters
    ----------
    pypi : bool
        Whether pip ignores the settings of this machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--report", str(report), "-c", str(ROOT / "constraints" / "backend.txt"), str(ROOT)]
        variables = {name: value for name, value in os.environ.items() if not (pypi and name == "PIP_FIND_LINKS")}
        if pypi:
            variables |= {"PIP_CONFIG_FILE": os.devnull}
        subprocess.run(command, check=True, env=variables)
        installed = json.loads(report.read_text("utf-8"))["install"]
    return {one["metadata"]["name"]: one["download_info"]["url"] for one in installed}


def size(url: str) -> int:
    """Return the size of a package's file, bytes; 0 for this project itself."""
    place = urlparse(url)
    if place.scheme == "file":
        path = Path(unquote(place.path))
        return path.stat().st_size if path.is_file() else 0
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def main() -> None:
    """Print the sum of the downloads, the largest of them, and the size of this environment."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pypi", action="store_true", help="ignore pip's settings: PyTorch for GPUs")
    found = {name: size(url) for name, url in packages(options.parse_args().pypi).items()}
    print(f"{len(found)} packages, {sum(found.values()) / 1e6:.0f} MB to download")
    for name in sorted(found, key=found.get, reverse=True)[:6]:
        print(f"  {found[name] / 1e6:7.1f} MB  {name}")
    files = [one for one in Path(sys.prefix).rglob("*") if one.is_file() and not one.is_symlink()]
    print(f"{sum(one.stat().st_size for one in files) / 1e6:.0f} MB on the disk: {sys.prefix}")


if __name__ == "__main__":
    main()
