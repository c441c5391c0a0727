"""What others' programs answer, so that ours can be compared with them on any input.

Most are a few lines of Go around a pinned original: `program` builds it from the Go module proxy and asks it.
`vllm` reads the sources of the version that the course names. The originals' own files are never copied.
"""
