"""Names the system's library that a package misses, and the Debian package that brings it."""

from __future__ import annotations

import re

_MISSING = re.compile(r"(lib[\w+.-]*?\.so(?:\.\d+)*): cannot open shared object file")
# Library without its number -> package of Debian and Ubuntu. These are what MediaPipe, OpenCV and PyTorch load.
_PACKAGES = {
    "libEGL.so": "libegl1",
    "libGL.so": "libgl1",
    "libGLESv2.so": "libgles2",
    "libOpenGL.so": "libopengl0",
    "libSM.so": "libsm6",
    "libX11.so": "libx11-6",
    "libXext.so": "libxext6",
    "libXrender.so": "libxrender1",
    "libglib-2.0.so": "libglib2.0-0",
    "libgomp.so": "libgomp1",
    "libgthread-2.0.so": "libglib2.0-0",
    "libportaudio.so": "libportaudio2",
    "libstdc++.so": "libstdc++6",
    "libusb-1.0.so": "libusb-1.0-0",
    "libxcb.so": "libxcb1",
}


def hint_for(error: BaseException | str, otherwise: str) -> str:
    """Return what to do about a package that cannot be loaded.

    Parameters
    ----------
    error : BaseException or str
        The error, or its message.
    otherwise : str
        The hint for an error that no library of the system explains.

    Returns
    -------
    str
        The library and the package that brings it; ``otherwise`` if no library is missing.
    """
    found = _MISSING.search(str(error))
    if found is None:
        return otherwise
    library = found[1]
    package = _PACKAGES.get(re.sub(r"(\.so)(\.\d+)*$", r"\1", library))
    if package is None:
        return f"The system's library {library} is missing: install the package of your system that contains it."
    return f"The system's library {library} is missing. On Debian or Ubuntu: sudo apt install {package}."
