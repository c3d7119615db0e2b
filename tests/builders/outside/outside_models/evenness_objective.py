"""The loss of `evenness`: squared distance of features from their superpoint's mean."""

from __future__ import annotations

import numpy as np
import torch
from outside_models.evenness import Settings

from anyscene.learning.objective import Mean, Objective


class Evenness(Objective):
    Settings = Settings

    def forward(self, network, batch):
        features, owners, before = network(batch.maps, batch.features), [], 0
        for view in batch.views:
            superpoint = view.cloud.superpoint[view.voxels.point]
            owners.append(superpoint.astype(np.int64) + before)
            before += int(view.cloud.superpoint.max()) + 1
        owner = torch.from_numpy(np.concatenate(owners))
        total = features.new_zeros(before, features.shape[1]).index_add(0, owner, features)
        count = torch.bincount(owner, minlength=before).clamp_min(1)[:, None]
        distance = (features - (total / count)[owner]).square().mean(1)
        return {"evenness": Mean.of(self.settings.weight * distance)}
