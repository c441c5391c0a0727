"""The arithmetic of the HorizontalPodAutoscaler, and what is made with it.

    policy, readings     what an HPA asks for, and what one sync sees
    proposal, limits     one metric's proposal; stabilization, rates and bounds after it
    arithmetic           `decide`: one sync, every stage of it, and why
    audit, memory, syncs → ledger        a real controller's syncs, worked out anew
    scenario, replica, fleet → simulator → comparison        what if, and how far it is off
    setting, candidates → sweep                 the server as deployed; a thousand policies and their frontier

Refuses to scale anything: the controller does.
"""
