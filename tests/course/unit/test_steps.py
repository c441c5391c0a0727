"""Where notebooks check their learners, read from the source."""

import nbformat

from tests.course.steps import steps


def test_a_step_knows_what_it_is_handed_and_what_went_before() -> None:
    cells = [
        nbformat.v4.new_code_cell('lab.apply("a.yaml")\nrun = seen.stop()\nlab.check("05.hpa")'),
        nbformat.v4.new_markdown_cell("lab.check in prose is no step"),
        nbformat.v4.new_code_cell('lab.check("05.steps", answer=mine, timeline=run);\nrun = other'),
        nbformat.v4.new_code_cell(
            'lab.delete("pod/a")\nwith lab.attempt():\n    lab.check("05.delay", timeline=run)'
        ),
    ]
    found = steps(nbformat.v4.new_notebook(cells=cells))
    assert [(step.check, step.cell, step.changes) for step in found] == [
        ("05.hpa", 0, 1),
        ("05.steps", 2, 1),
        ("05.delay", 3, 2),
    ]
    assert found[1].given == {"answer": "mine@0", "timeline": "run@1"}
    assert found[2].given == {"timeline": "run@2"}  # another recording under the same name


def test_a_check_whose_name_is_computed_is_not_found() -> None:
    assert steps(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("lab.check(name)")])) == []
