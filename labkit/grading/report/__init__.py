"""What comes out of grading: for a gradebook, for machines, for each student, and for the instructor.

Every file is written whole or not at all, and can be written again from the evidence at any time.
"""
