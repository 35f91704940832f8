"""A Blender with a window for the lane ``window``, on a screen of its own (Xvfb).

Either the ``blender`` on PATH, or one in a small Debian of its own in ``.venv/window`` (``python dev.py setup
--window``): bare Debian 12 has no Blender that is new enough. Programs of that Debian run in it by chroot, with this
checkout at its own path, so it takes root and the right to mount.
"""

from __future__ import annotations

import os
import shutil
import sys

from dev_tools.choices import DevError
from dev_tools.environments import ENVIRONMENTS
from dev_tools.machine import blender_on_path
from dev_tools.processes import ROOT, Command, ask, must, step

OWN_DEBIAN = ENVIRONMENTS / "window"
MIRROR = "IM2HANDS_DEBIAN_MIRROR"
"""The environment variable that names another mirror of Debian."""
_RELEASE = "trixie"
_PACKAGES = ("blender", "python3-numpy", "python3-requests", "libgl1-mesa-dri", "libegl1", "libgl1", "xvfb", "xauth")
_SCREEN = "-screen 0 1280x800x24 -fbdir"
_DRAWN_BY_THE_CPU = ("LIBGL_ALWAYS_SOFTWARE=1", "GALLIUM_DRIVER=llvmpipe")
_ENTER = """set -e
root=$1; checkout=$2; shift 2
mount --make-rprivate /
mkdir -p "$root$checkout"
mount --rbind "$checkout" "$root$checkout"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
"""Mounts are seen by this process only (``unshare``), and end with it."""


def window_blender() -> tuple[Command, str]:
    """Find a Blender that can be started with a window.

    Returns
    -------
    command : Command
        What comes before the arguments of ``blender``; empty if there is none.
    reason : str
        Why there is none; else "".
    """
    if not sys.platform.startswith("linux"):
        return [], "Xvfb is needed, which runs on Linux"
    blender = blender_on_path()
    if blender:
        if shutil.which("xvfb-run"):
            return [blender[0]], ""
        return [], "no xvfb-run here (Debian: apt-get install xvfb xauth)"
    if not (OWN_DEBIAN / "usr" / "bin" / "blender").is_file():
        return [], f"no Blender 4.2 or newer on PATH, and none in {_short()}: python dev.py setup --window makes one"
    if os.geteuid() != 0:
        return [], f"only root can use the Blender in {_short()}"
    allowed = ask(["unshare", "--mount", "mount", "--make-rprivate", "/"])
    if allowed is None or allowed.returncode:
        return [], f"this machine does not allow to mount, which the Blender in {_short()} needs"
    enter: Command = ["unshare", "--mount", "bash", "-c", _ENTER, "enter", OWN_DEBIAN.resolve(), ROOT]
    return [*enter, "blender"], ""


def start_command(blender: Command, pictures: str, variables: dict[str, str]) -> list[str]:
    """Return the command that starts a Blender with a window.

    Parameters
    ----------
    blender : Command
        From :func:`window_blender`.
    pictures : str
        Folder for the file ``Xvfb_screen0``, which always holds what the screen shows.
    variables : dict of str to str
        Environment variables.

    Returns
    -------
    list of str
        The command; arguments of ``blender`` follow.
    """
    *enter, program = (str(part) for part in blender)
    base = {"HOME": os.environ.get("HOME", "/"), "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"}
    if enter:
        base |= {"HOME": "/root", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    named = [f"{name}={value}" for name, value in (base | variables).items()]
    screen = ["xvfb-run", "-a", "-s", f"{_SCREEN} {pictures}"]
    shown = ["--enable-event-simulate", "--window-geometry", "0", "0", "1280", "800"]
    return [*enter, "env", "-i", *named, *_DRAWN_BY_THE_CPU, *screen, program, *shown]


def make_own_debian(fresh: bool) -> None:
    """Make the Debian with a Blender in ``.venv/window``, 1.4 GB.

    Parameters
    ----------
    fresh : bool
        Whether to make it anew if it is there.

    Raises
    ------
    DevError
        Something is missing for it, or a step failed.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise DevError("setup --window needs Linux, root and debootstrap (Debian: apt-get install debootstrap).")
    if (OWN_DEBIAN / "usr" / "bin" / "blender").is_file() and not fresh:
        return
    shutil.rmtree(OWN_DEBIAN, ignore_errors=True)
    OWN_DEBIAN.mkdir(parents=True)
    mirror = os.environ.get(MIRROR, "http://deb.debian.org/debian")
    hint = f"Is {mirror} reachable? The variable {MIRROR} names another mirror."
    with step(f"Debian {_RELEASE} with Blender in {_short()}"):
        must(["debootstrap", "--variant=minbase", _RELEASE, OWN_DEBIAN, mirror], hint)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES]
        must(["chroot", OWN_DEBIAN, "env", "DEBIAN_FRONTEND=noninteractive", *install], hint)


def _short() -> str:
    return str(OWN_DEBIAN.relative_to(ROOT))
