//go:build linux

package main

import "github.com/google/nftables/expr"

var (
	states   = map[string]uint32{"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
	statuses = map[string]uint32{"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32}
)

// conntrack reads state established,related, and status dnat.
func (r *rule) conntrack() {
	names, key := states, expr.CtKeySTATE
	if r.take("status") {
		names, key = statuses, expr.CtKeySTATUS
	} else if !r.take("state") {
		r.unknown()
		return
	}
	bits := uint32(0)
	for ok := true; ok; ok = r.take(",") {
		bit, known := names[r.peek()]
		if !known {
			r.unknown()
			return
		}
		r.next()
		bits |= bit
	}
	r.say(&expr.Ct{Key: key, Register: first})
	r.say(anyOf(bits)...)
}
