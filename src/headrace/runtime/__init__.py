"""Running a plan: tasks, checkpoints, and the embedded worker."""
