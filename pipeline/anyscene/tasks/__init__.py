"""Step 9, what features are for: segmentation, instances, queries, and the tasks of other packages."""

from anyscene.project.registry import Registry

TASKS = Registry("anyscene.tasks")
SEGMENTATION = "segmentation"  # the task that the rows of the ablation measure
