"""Data, logging and other tools around the agent."""
