"""What a student's process may ask of the lab, with which arguments, and who does it."""
