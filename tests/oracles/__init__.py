"""What others' programs answer, so that ours can be compared with them on any input.

Each is a few lines of Go around a pinned original. `program` builds it from the Go module proxy and asks it.
The originals' own test data is read from Go's module cache, and never copied.
"""
