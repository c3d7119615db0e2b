"""The objectives: what trainings minimise."""
