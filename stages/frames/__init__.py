"""Stages that take frames and give frames."""
