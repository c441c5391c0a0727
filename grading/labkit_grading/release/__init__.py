"""The learner's edition of a course: made, updated, and compared with the solutions it leaves out.

learners    one notebook, with stubs, folded hints and nbgrader's marks
words       its text, rewritten for learners
release     the whole folder
learn       the edition for someone who works alone, in learn/
solutions   the course's own answer to an exercise
"""
