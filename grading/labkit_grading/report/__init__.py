"""The results of grading: for a gradebook, for machines, for each student, and for the instructor.

Every file is written atomically, and can be written again from the evidence at any time.
"""
