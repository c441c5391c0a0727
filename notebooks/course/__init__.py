"""The code of this course, apart from labkit; notebooks import it as they import labkit.

checks     the checks of each notebook; labkit.checks loads them
hidden     what a learner's edition leaves out: cases that are drawn where functions are graded
capstone   the terms of the capstone, and the score of a run
untouched  the checks that do not pass before the exercises are done (open.toml)
lesson     the lesson behind them, row by row
hpa        the HPA's arithmetic: why it scaled, and what if
case       a broken path of the metric, to judge for oneself
queueing   what a load test says about queues
study      the comparison of notebook 06
existing   a cluster that labkit did not make, and what the course needs from it
cli        labkit checks, labkit doctor, labkit study
"""
