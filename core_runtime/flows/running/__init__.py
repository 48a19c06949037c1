"""Running flows: one task a run, tasks only where a step fans out, no task and no thread for a step."""
