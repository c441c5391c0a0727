"""What kube-proxy says to nft: a recording, and what makes it (`record.py`)."""
