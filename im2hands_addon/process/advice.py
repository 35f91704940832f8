"""What to do about a failure, from what pip, Python, ssh and the system said of it (no bpy)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LIBRARY = re.compile(r"\b(lib[\w+-]+)\.so(?:[.\d]*): cannot open shared object")
_DEBIAN = {
    "libGLESv2": "libgles2",
    "libGL": "libgl1",
    "libEGL": "libegl1",
    "libX11": "libx11-6",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libgomp": "libgomp1",
    "libglib-2": "libglib2.0-0",
    "libgthread-2": "libglib2.0-0",
    "libportaudio": "libportaudio2",
    "libstdc++": "libstdc++6",
}
"""Library -> the package that has it in Debian and Ubuntu."""

_UNREACHABLE = (
    r"name resolution|Name or service not known|getaddrinfo failed|Failed to establish a new connection|"
    r"NewConnectionError|ConnectTimeout|Network is unreachable|Max retries exceeded|Read timed out|"
    r"Could not resolve host(?!name)|ProxyError"
)
_KNOWN = (
    (
        r"ensurepip is not available|No module named '?(?:venv|ensurepip)|install the python3-venv",
        "python3-venv is missing. On Debian or Ubuntu: sudo apt install python3-venv. Elsewhere: install Python from "
        "python.org.",
    ),
    (
        r"No space left on device|Errno 28|not enough space on the disk",
        "The disk is full. Make room, or choose another folder under Install Into.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "The certificate of the package index is not trusted: a proxy may stand in between. Set the variable PIP_CERT "
        "to its certificate, or install from a folder of wheels.",
    ),
    (
        r"Host key verification failed|Permission denied \(publickey|Could not resolve hostname|"
        r"ssh: connect to host|Connection closed by",
        "Make the ssh command work in a terminal first, without a question for a password or a host key.",
    ),
    (
        r"im2hands: (?:command )?not found|im2hands: No such file",
        "Write the whole path of the command im2hands on the other machine.",
    ),
    (
        _UNREACHABLE,
        "The package index cannot be reached. Check the network; behind a proxy set the variable HTTPS_PROXY before "
        "Blender starts; or install from a folder of wheels.",
    ),
    (
        r"No matching distribution found|Could not find a version",
        "There is no such package for this Python and system: choose a Python 3.11 to 3.13 of 64 bits. A folder of "
        "wheels must have been filled on the same kind of machine with the same Python.",
    ),
    (
        r"Permission ?denied|Errno 13|Access is denied|Read-only file system",
        "You may not write there. Choose another folder under Install Into.",
    ),
    (
        r"Microsoft Visual C\+\+|error: command '.*(?:gcc|cc)'|Failed building wheel",
        "A package must be compiled for this Python. Choose Python 3.11 or 3.12.",
    ),
    (r"DLL load failed", "Install the Microsoft Visual C++ Redistributable (x64), then try again."),
    (r"\bMemoryError\b|Cannot allocate memory", "There is too little memory. Close other programs and try again."),
)
"""What is said (a regular expression), and what to do. The first that fits is told."""


def advice(lines: Iterable[str]) -> str:
    """Return what to do about a failure.

    Parameters
    ----------
    lines : iterable of str
        What was said of it, such as the last lines on stderr.

    Returns
    -------
    str
        Sentences for the person; "" if the failure is of no known kind.
    """
    text = "\n".join(lines)
    libraries = list(dict.fromkeys(_LIBRARY.findall(text)))
    if libraries:
        return _install(libraries)
    return next((words for pattern, words in _KNOWN if re.search(pattern, text, re.IGNORECASE)), "")


def _install(libraries: list[str]) -> str:
    missing = f"{' and '.join(libraries)} {'is' if len(libraries) == 1 else 'are'} missing."
    packages = [_DEBIAN[one] for one in libraries if one in _DEBIAN]
    if len(packages) < len(libraries):
        return f"{missing} Install the package of your system that has it."
    return f"{missing} On Debian or Ubuntu: sudo apt install {' '.join(dict.fromkeys(packages))}."
