"""Step 9: what features are for: segmentation, instances, queries, and tasks of other packages."""

from anyscene.project.registry import Registry

TASKS = Registry("anyscene.tasks")
SEGMENTATION = "segmentation"  # the task that rows of the ablation are rows of
