"""Probes: labelled sets, the probes that were fitted on each, and what a probe found."""

from workbench.tui.screens.probes.screen import Probes

__all__ = ["Probes"]
