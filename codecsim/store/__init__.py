"""The sweep file: schema, reading, and the crash-safe way in which parts become it."""

from codecsim.store.sweep import Sweep, open_sweep

__all__ = ["Sweep", "open_sweep"]
