"""Faults on purpose: stages that harm what passes them, so that a pipeline can be tried out."""

__all__: list[str] = []
