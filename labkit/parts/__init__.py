"""Groups of verbs on the lab: `lab.images`, `lab.nodes`, `lab.faults`."""
