PHASE_KINDS: tuple[str, ...]
UPDATE_MODES: tuple[str, ...]
AXES: tuple[str, ...]
