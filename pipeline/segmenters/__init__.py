"""2D open-vocabulary models behind one protocol."""

from __future__ import annotations

from pipeline.segmenters.protocol import CaptionMap, FeatureMap, Segmenter

__all__ = ["CaptionMap", "FeatureMap", "Segmenter"]
