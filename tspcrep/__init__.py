"""The distribution: its version, and ``tspcrep.common``, the contrastive core of both packages.

``tspcrep/common`` is a link to the folder ``common/`` at the top of the repository, so that a
checkout, its tests and a type checker see the same names as an installation does.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tspcrep")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
