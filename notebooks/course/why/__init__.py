"""Why did it (not) scale? For any cluster that a kubeconfig reaches, by reading only.

    snapshot             one look at an HPA, its target, its pods and its metrics; plain records
    questions            which requests ask the metrics APIs for what the controller asks for
    told, reasons        what the controller says in the HPA's status, and what each of its reasons means
    flags                the controller manager's flags, where they can be known
    explain → follow     one sync recomputed and compared with the status; a sequence of looks
    keda                 a ScaledObject: what KEDA's operator does between 0 and 1, and when it hands over
    past                 what events and managed fields still tell
    access, reader → session     all that talks to the cluster, and one question asked of it
    show                 an explanation as JSON

The arithmetic is that of `course.hpa`, which the ledger holds against real controllers. All but `access`,
`reader` and `session` is pure. Nothing here changes anything in a cluster.
"""
