"""A student's process: its sandbox, what runs inside it, and how it communicates with the grader."""
