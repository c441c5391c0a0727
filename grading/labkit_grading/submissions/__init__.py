"""A class's submissions, before anything is run: collected, restored into the course, and inspected."""
