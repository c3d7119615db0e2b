"""Readers of raw scans, and label sets."""

from pipeline.datasets.labels import LabelSet, label_set

__all__ = ["LabelSet", "label_set"]
