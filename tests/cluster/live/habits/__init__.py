"""What people type at a cluster out of habit; `table.py` has the rows, docs/kubectl.md shows them."""
