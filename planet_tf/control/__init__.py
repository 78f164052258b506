"""Acting in a world: tasks, simulators, workers, episodes, the planner."""
