"""The training loop at its plainest: one process, no checkpoints, Adam over everything."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anyscene.learning.engine.processes import Processes
from anyscene.learning.engine.sampler import Sampler
from anyscene.learning.objective import Objective
from anyscene.networks import Cloud, MinkUNet, normalise_by
from anyscene.networks.batch import join
from anyscene.project.parameters import Recipe


def train(network: MinkUNet, clouds: Sequence[Cloud], objective: Objective, recipe: Recipe) -> list[float]:
    """Train in place; returns the loss of every step. Of a recipe's keys those that are off by default, and
    its schedule other than linear, are not looked at."""
    sampler = Sampler(len(clouds), recipe.batch, recipe.seed)
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    objective.begin(network, clouds, Processes(torch.device("cpu")))
    normalise_by(network, recipe.batch_norm)
    network.train()
    losses, turn = [], 0
    for step in range(recipe.steps):
        optimiser.zero_grad()
        values: dict[str, float] = {}
        for _ in range(recipe.accumulate):
            views = []
            for place in range(sampler.batch):
                scene, random = sampler(turn, place)
                views += objective.views(clouds[scene], random)
            terms = {
                name: mean.total / (mean.weight or 1) / recipe.accumulate
                for name, mean in objective(network, join(views)).items()
            }
            sum(terms.values()).backward()
            for name, term in terms.items():
                values[name] = values.get(name, 0.0) + term.item()
            turn += 1
        left = 1 - (step - recipe.warmup) / (recipe.steps - recipe.warmup)
        rate = recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * left
        if step < recipe.warmup:
            rate = recipe.learning_rate * (step + 1) / recipe.warmup
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        losses.append(sum(values.values()))
    network.eval()
    return losses
