"""What is to be done: the `PlanSource` port and its implementations."""
