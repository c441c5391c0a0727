"""NetworkPolicies: what the API server says, as rules of nftables.

    reading    a NetworkPolicy as typed rules; one that can't be read denies
    pods       what policies see of a pod
    compile    policies, pods and namespaces in, the text for `nft -f -` out: a pure function
    state      what the API server has said of all three
    writer     watches them, and applies the text when it changes
    enforcer   runs that in the node agent, with `nft`

Refuses to know how pods get their addresses, and which program applies the text.
"""
