"""Random lives of pods: what they are made of (`tame`, `wild`), and the lab they are led in (`world`)."""
