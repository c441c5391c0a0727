"""What becomes of each field that a lab's node agent or proxies read: `table.toml`, and its page."""
