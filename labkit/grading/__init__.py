"""Grades a class from outside of its notebooks: nothing that a submission says about itself is believed.

How a check can be judged from outside. A judge (`labkit.checks`) is a pure function of named arguments, and
each argument has a source that the *released* notebook gives away, before any submission is opened:

    read       an object or list that the check names: the grader reads it from the API server itself
    answer     assigned in a solution cell: the student's claim. Being judged is what it is there for
    course     a number or text that stands in the course's own cell
    recorded   everything else: a timeline, a load test, objects that cells of the course took up

The student's kernel runs in a sandbox without a network, and its `lab` is a proxy: every verb is carried out
by the grader, on a cluster of the grader's own or, where others use it too, with a token that may do no more
than notebooks need. So a recording, a load or an object that a cell holds is a copy,
and what comes back for a check is its *number*: the grader judges its own original. An answer comes out as
data (never pickled, never with a class of ours); a function of a student's is called where it was written,
and judged by what it gave. What a cell of the course worked out from recordings (the longest of all answers)
the grader works out again, from its originals. What can't be (a dict that four cells fill) nobody else can
vouch for: the argument is *self-reported*, the report says so, and the check weighs nothing unless the rubric
gives it a weight. A check counts in the course's own cell only.

What a notebook prints, files that it leaves, how its process ends: no source of points.

`submissions`: taking a class in, before anything is run:

    intake     folders and zip files as an LMS exports them; never follows a link, never leaves its folder
    restore    cells of the course come from the course; only solution cells and exercise files are taken
    reach      what a solution cell reaches for that no exercise needs: flagged, for a person to look
    collect    both, for a whole class: a clean copy for each student and a line for everything odd

Running:

    room       what a class is graded with: report, key, rubric, the course's edition, and where
    run        the class: goes on where it was stopped, signs what workers saw
    crew       all workers: hired, replaced where they are lost; `capacity` says how many there are
    worker     a process with a cluster of its own, which runs the students that it is handed
    student    all notebooks of one, and what was seen of them; `written` is what the HPA scaled meanwhile
    sitting    one notebook of one student
    tenancy    a class as a guest: its claim on the cluster, and a namespace that is left empty

`sites`: where. A `site` is clusters of the workers' own, or one that is there:

    premises   where workers have their labs, one grader at a time; ends what a killed grader left
    claim      of a guest on a cluster; `guard` is quota, limits, network policy and token of a submission

`kernel`: a student's process:

    jail       what it sees: Python, labkit, a copy of their own files. `inside` runs in it
    wire       how the two sides talk

`verbs`: what it may ask for:

    permits    which verbs, `confined` with which arguments (`commands` of kubectl, `contexts` of an image);
               `asked` says which notebooks can be graded where
    broker     does what is asked, records, and writes each check down with its evidence; what is under way
               is `held`

`judging`: at any time later and without a cluster; `report` tells it:

    sources    of each argument, from the released notebook; `derived` works out again what
               cells made of recordings (`verbs.again` is what they may ask)
    bundle     what the grader saw of a student, in a file signed with `seal`; `codec` is its data
    proofs     whether a recording shows what it seems to: who scaled, was there a queue at all
    rubric     what a check is worth; `sheet` judges a bundle and weighs it
    hand       what a person adds: when submissions came, points for manual questions
    report     gradebook, JUnit, Gradescope, and pages for students and instructor
"""
