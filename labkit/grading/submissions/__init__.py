"""A class as it handed in, before anything is run: taken in, put back into the course, looked through."""
