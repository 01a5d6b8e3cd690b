"""The version, read from the installed metadata so that it is written down once."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fastnn")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"
