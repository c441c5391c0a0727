"""Pod IPs, ports and Services on the host's loopback."""
