"""Tables, plots and the live view."""
