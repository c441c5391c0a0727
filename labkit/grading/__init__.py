"""Grades a class from outside of its notebooks: nothing that a submission says about itself is believed.

How a check can be judged from outside. A judge (`labkit.checks`) is a pure function of named arguments, and
each argument has a source that the *released* notebook gives away, before any submission is opened:

    read       an object or list that the check names: the grader reads it from the API server itself
    answer     assigned in a solution cell: the student's claim. Being judged is what it is there for
    course     a number or text that stands in the course's own cell
    recorded   everything else: a timeline, a load test, objects that cells of the course took up

An answer may come out of the student's process as data (never pickled, never with a class of ours). What is
`recorded` may not: a cell of the course ran in a process that the student's cells could change before. It
must be the grader's own recording. Where only the student's process tells it, the argument is
*self-reported*, the report says so, and the check weighs nothing unless the rubric gives it a weight.

What the notebook printed, files that it left, how its process ended: no source of points.

What stands here so far; nothing runs a notebook yet:

    intake     folders and zip files as an LMS exports them; never follows a link, never leaves its folder
    restore    cells of the course come from the course; only solution cells and exercise files are taken
    collect    both, for a whole class: a clean copy for each student and a line for everything odd
    sources    of each argument, from the released notebook
    bundle     what the grader saw of a student, in a file signed with `seal`; `codec` is its data
    proofs     whether a recording shows what it seems to: who scaled, was there a queue at all
    rubric     what a check is worth; `sheet` judges a bundle and weighs it, without a cluster, any time later
    hand       what a person adds: when submissions came, points for manual questions
    report     gradebook, JUnit, Gradescope, and pages for students and instructor
"""
