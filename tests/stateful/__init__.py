"""Hypothesis state machines against reference models."""
