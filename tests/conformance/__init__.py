"""Kubernetes' own end-to-end suite, unpatched, against a lab: `make conformance`.

    python -m tests.conformance                     # every area without a result, on the embedded cluster
    python -m tests.conformance sig-node-probes     # one area, again
    python -m tests.conformance --provider kind     # the control
    python -m tests.conformance --slice             # CI's six minutes
    python -m tests.conformance --page              # docs/conformance.md from the stored results

`programs` builds the suite; `images` makes what its pods run, where the suite's registry can't be reached;
`areas` says which specs belong together; `suite` runs them; `results` and `page` say what came of it.
"""
