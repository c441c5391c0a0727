"""Is the course right about right and wrong? For whoever edits a notebook or a check: `labkit validate`.

    examples    for each check evidence that is right, and mutants of it: one thing wrong in each
    mutants     what all checks of a notebook say of one mutant
    stored      judges all of them; no cluster
    files       notebooks as files: can they be released, asked, graded?
    live        runs notebooks on a lab, with solutions and untouched
    on_lab      applies mutants of solutions there
    findings    what is wrong, with cause and fix, and the points

Points are those of `labkit grade`: the same rubric, the same arithmetic. For authors only: it holds what is
right, so `labkit release` leaves it out.
"""
