"""Grades a class from outside its notebooks: nothing that a submission says about itself is trusted.

How can a check be judged from outside? A judge (`labkit.checks`) is a pure function of named arguments, and
the *released* notebook shows the source of each argument, before any submission is opened:

    read       an object or list that the check names: the grader reads it from the API server itself
    answer     assigned in a solution cell: the student's claim, which is there to be judged
    course     a number or text in one of the course's own cells
    recorded   everything else: a timeline, a load test, objects that the course's cells recorded

The student's kernel runs in a sandbox without a network, and its `lab` is a proxy: every verb is carried out
by the grader, on a cluster of the grader's own or, where others use it too, with a token that allows no more
than notebooks need. So a recording, a load or an object in a cell is only a copy, and a check gets back its
*number*: the grader judges its own original. An answer is taken when its own cell has run, as data (never
pickled, never as one of our classes); a student's function is called there, with cases drawn outside, and
judged by its results. A check says nothing: it is judged once the notebook has ended. A figure of
recordings (such as the longest answer) is computed by the check itself, so no expression from a notebook ever
runs here. Nothing can vouch for what four cells collect in a dict: such an argument is *self-reported*, the
report says so, and the check earns nothing unless the rubric gives it a weight. A check counts only in the
course's own cell.

What a notebook prints, which files it leaves and how its process ends never earn points.

`submissions`: reads a class's submissions, before anything is run:

    intake     folders and zip files as an LMS exports them; never follows a link, never leaves its folder
    restore    cells of the course come from the course; only solution cells and exercise files are taken
    reach      what a solution cell uses that no exercise needs: flagged for a person to look at
    collect    all of this for a class: a clean copy for each student and a remark on everything odd
    similar    what few students share, if someone asks

Running:

    room       what a class is graded with: report folder, key, rubric, the course's edition, and where
    run        the class: resumes where it was stopped, signs what workers saw
    crew       all workers: started, and replaced if lost; `capacity` says how many there are
    worker     a process with a cluster of its own, which runs the students it is given
    student    all notebooks of one student, and what was seen; `written` is what the HPA scaled meanwhile,
               `served` which pods answered, and who sent requests
    sitting    one notebook of one student
    tenancy    a class as a guest: its claim on the cluster, and a namespace that it leaves empty

`sites`: where. A `site` is clusters of the workers' own, or one existing cluster:

    premises   where workers have their labs, one grader at a time; cleans up after a killed grader
    claim      of a guest on a cluster; `guard` is quota, limits, network policy and token of a submission
    terms      what its pods may run, take and reach, on every cluster

`kernel`: a student's process:

    jail       what it sees: Python, labkit, a copy of their own files. `inside` runs in it
    wire       how the two sides talk
    handover   each answer at the end of its own cell: what is asked for, what was given. `handing` gives it,
               inside, and `plain` makes data of it without running anything of the student's

`verbs`: what it is allowed to ask for:

    table      what each verb does, and how it is handled; `confined` has the rules for arguments (`permits`,
               `commands` of kubectl, `contexts` of an image), `objects` says which objects have verbs
    asked      which notebooks can be graded where
    broker     carries out requests and records; `handles` keep track of what is running
    expected   what the course's own cells ask for, from the released notebook; what only a lab knows is
               `unknown`. `provenance` notes what was asked for, and `likeness` compares the two
    hearing    stores each check with its evidence, says nothing, and judges at the end

`judging`: at any later time, without a cluster; `report` shows the results:

    sources    the source of each argument, from the released notebook; `answers` says in which cell
    bundle     what the grader saw of a student, in a file signed by `seal`; `codec` encodes its data
    proofs     whether a recording shows what it seems to: who scaled, and was there a queue at all
    programs   what pods may run in a notebook; `strangers` are those that ran something else
    reasons    why a check lost its point: what went wrong in its cells
    rubric     what a check is worth; `sheet` judges a bundle and weighs it
    instructor what a person adds: when submissions came, points for manual questions
    report     gradebook, JUnit, Gradescope, and pages for students and instructor
"""
