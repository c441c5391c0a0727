//go:build linux

package main

import (
	"strconv"
	"strings"

	"github.com/google/nftables"
)

func (tx *transaction) chain(at place, asked command, c *cursor) {
	chain := &nftables.Chain{Name: asked.name, Table: at.table}
	switch asked.verb {
	case "delete":
		tx.conn.DelChain(chain)
	case "flush":
		tx.conn.FlushChain(chain)
	default:
		tx.describe(chain, c)
		tx.conn.AddChain(chain)
	}
}

var hooks = map[string]*nftables.ChainHook{
	"prerouting": nftables.ChainHookPrerouting, "input": nftables.ChainHookInput,
	"forward": nftables.ChainHookForward, "output": nftables.ChainHookOutput,
	"postrouting": nftables.ChainHookPostrouting,
}

var policies = map[string]nftables.ChainPolicy{
	"accept": nftables.ChainPolicyAccept, "drop": nftables.ChainPolicyDrop,
}

// describe reads type filter hook forward priority 0; policy accept.
func (tx *transaction) describe(chain *nftables.Chain, c *cursor) {
	for tx.remark(c); c.more(); tx.remark(c) {
		switch {
		case c.take("type"):
			chain.Type = nftables.ChainType(c.takeOne("filter", "nat", "route"))
			c.want("hook")
			if chain.Hooknum = hooks[c.peek()]; chain.Hooknum == nil || chain.Type == "" {
				c.unknown()
			}
			c.next()
			c.want("priority")
			chain.Priority = priority(c)
		case c.take("policy"):
			policy, known := policies[c.peek()]
			if !known {
				c.unknown()
			}
			c.next()
			chain.Policy = &policy
		default:
			c.unknown()
		}
	}
}

var priorities = map[string]int{
	"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100,
}

// priority reads 0, -110, filter, dstnat - 10 and filter+5.
func priority(c *cursor) *nftables.ChainPriority {
	text := c.next()
	for c.more() && c.peek() != ";" {
		text += c.next()
	}
	sum := 0
	for name, value := range priorities {
		if rest, named := strings.CutPrefix(text, name); named {
			sum, text = value, rest
		}
	}
	if text != "" {
		more, err := strconv.Atoi(text)
		if err != nil {
			c.fail("this nft does not know the priority %q", text)
		}
		sum += more
	}
	return nftables.ChainPriorityRef(nftables.ChainPriority(sum))
}
