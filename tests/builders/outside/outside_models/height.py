"""A task: how high each point lies, as far as it has a feature."""

from __future__ import annotations

import numpy as np

from anyscene.tasks.layer import Layer, Scale


class Height:
    name, title = "height", "height"

    def answer(self, scene, features, texts):
        z = scene.xyz[:, 2]
        share = (z - z.min()) / max(float(np.ptp(z)), 1e-6)
        return np.where(features.valid, share, np.nan).astype(np.float32)

    def score(self, answers, truth):
        known = [np.isfinite(said).mean() for said, _ in zip(answers, truth, strict=True)]
        return {"known": float(np.mean(known))} if known else None

    def layers(self, answer):
        return [Layer("height", "height", values=answer, legend=Scale("floor", "ceiling"))]
