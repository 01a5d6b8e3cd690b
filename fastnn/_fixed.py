"""Settings that are fixed once an object is made.

Plans and bound memory are made of the settings of layers and networks, and files are written from
them: a setting that could be written later would be saved, and not trained with. Rejected: settings
that take effect when written, since all that was made of them would have to be made again.
"""

from __future__ import annotations


class Fixed:
    """Base of what a network is made of. The constructor writes each setting once."""

    _settings: tuple[str, ...] = ()  # arguments of the constructor that are kept by their names

    def __setattr__(self, name: str, value) -> None:
        if name in self._settings and name in vars(self):
            kind = type(self).__name__
            raise AttributeError(
                f"{name} of a {kind} is {vars(self)[name]!r}, and cannot be changed once the "
                f"{kind} is made: build a new network, with {name}={value!r}"
            )
        super().__setattr__(name, value)
