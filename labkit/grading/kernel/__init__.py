"""A student's process: its sandbox, what runs inside of it, and how it talks to the grader."""
