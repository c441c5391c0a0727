"""What a student's process can ask of the lab, with which arguments, and who carries it out."""
