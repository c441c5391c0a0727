//go:build linux

package main

import (
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A selector is what a match compares: it loads it from the first register on.
type selector struct {
	load []expr.Any
	kind nftables.SetDatatype
}

// match reads ip saddr 10.0.0.0/8, tcp dport != 80-90, or ip daddr . th dport vmap @MAP.
func (r *rule) match() {
	left := r.selectors()
	if left == nil {
		r.unknown()
		return
	}
	start := r.at
	unequal := r.take("!=")
	r.take("==")
	switch {
	case r.take("vmap"):
		if unequal {
			r.at = start
			r.unknown()
		}
		r.say(left.load...)
		r.vmap(left.kind)
	case strings.HasPrefix(r.peek(), "@"):
		r.say(left.load...)
		r.say(&expr.Lookup{SourceRegister: first, SetName: r.set(), Invert: unequal})
	case r.peek() == "{":
		r.among(left, unequal)
	default:
		r.compare(left, r.next(), unequal)
	}
}

// selectors reads one selector or several: ip daddr . meta l4proto . th dport.
// nil if the next words are none.
func (r *rule) selectors() *selector {
	var kinds []nftables.SetDatatype
	var load []expr.Any
	register := uint32(first)
	for ok := true; ok; ok = r.take(".") {
		one := r.selector(register)
		if one == nil {
			return nil
		}
		load, kinds = append(load, one.load...), append(kinds, one.kind)
		register += (one.kind.Bytes + 3) / 4
	}
	if len(kinds) == 1 {
		return &selector{load, kinds[0]}
	}
	return &selector{load, concatenated(r.cursor, kinds)}
}

func (r *rule) selector(register uint32) *selector {
	header := func(base expr.PayloadBase, offset uint32, kind nftables.SetDatatype) *selector {
		return &selector{[]expr.Any{&expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: kind.Bytes}}, kind}
	}
	meta := func(key expr.MetaKey, kind nftables.SetDatatype) *selector {
		return &selector{[]expr.Any{&expr.Meta{Key: key, Register: register}}, kind}
	}
	ip := r.place.family
	switch {
	case r.take(ip.name, "saddr"):
		return header(expr.PayloadBaseNetworkHeader, ip.source, ip.address)
	case r.take(ip.name, "daddr"):
		return header(expr.PayloadBaseNetworkHeader, ip.destination, ip.address)
	case r.take("meta", "l4proto"):
		return meta(expr.MetaKeyL4PROTO, nftables.TypeInetProto)
	case r.take("iifname") || r.take("meta", "iifname"):
		return meta(expr.MetaKeyIIFNAME, nftables.TypeIFName)
	case r.take("oifname") || r.take("meta", "oifname"):
		return meta(expr.MetaKeyOIFNAME, nftables.TypeIFName)
	case r.take("th", "sport"):
		return header(expr.PayloadBaseTransportHeader, 0, nftables.TypeInetService)
	case r.take("th", "dport"):
		return header(expr.PayloadBaseTransportHeader, 2, nftables.TypeInetService)
	}
	for protocol := range protocols {
		for offset, port := range map[uint32]string{0: "sport", 2: "dport"} {
			if r.take(protocol, port) {
				r.depend(protocol)
				return header(expr.PayloadBaseTransportHeader, offset, nftables.TypeInetService)
			}
		}
	}
	return nil
}

// depend asks for a protocol, unless the rule has done so.
func (r *rule) depend(protocol string) {
	if r.protocol == protocol {
		return
	}
	r.protocol = protocol
	r.say(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: first},
		&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: []byte{protocols[protocol]}})
}

// set reads the name of a set: @NAME.
func (r *rule) set() string {
	name, named := strings.CutPrefix(r.next(), "@")
	if !named || name == "" {
		r.fail("expected @ and the name of a set before %q", r.rest())
	}
	return name
}

// vmap reads @MAP, or { 10.244.1.2 : jump CHAIN, ... }.
func (r *rule) vmap(kind nftables.SetDatatype) {
	if strings.HasPrefix(r.peek(), "@") {
		r.say(&expr.Lookup{SourceRegister: first, IsDestRegSet: true, SetName: r.set()})
		return
	}
	r.say(r.lookup(&nftables.Set{KeyType: kind, IsMap: true, DataType: nftables.TypeVerdict}, 0))
}

// among reads { 10.1.0.0/16, 10.2.0.1 }. One value in braces is a comparison.
func (r *rule) among(left *selector, unequal bool) {
	if len(parts(left.kind)) == 1 && r.at+2 < len(r.words) && r.words[r.at+2] == "}" {
		r.want("{")
		word := r.next()
		r.want("}")
		r.compare(left, word, unequal)
		return
	}
	r.say(left.load...)
	found := r.lookup(&nftables.Set{KeyType: left.kind}, 0)
	found.Invert = unequal
	r.say(found)
}

// compare reads one value: an address, a prefix, a port or a range of them, or a name.
func (r *rule) compare(left *selector, word string, unequal bool) {
	if len(parts(left.kind)) > 1 {
		r.fail("a concatenation is looked up in a set or a map, not compared with %q", word)
		return
	}
	op := expr.CmpOpEq
	if unequal {
		op = expr.CmpOpNeq
	}
	r.say(left.load...)
	if start, wild := strings.CutSuffix(unquoted(word), "*"); wild && left.kind.Name == "ifname" && start != "" {
		r.say(&expr.Cmp{Op: op, Register: first, Data: []byte(start)})
		return
	}
	from, to, err := interval(left.kind, word)
	if err != nil {
		r.fail("%v", err)
		return
	}
	if left.kind.Name == "inet_proto" && !unequal {
		r.protocol = word
	}
	mask, isPrefix := prefixMask(from, to)
	switch {
	case string(from) == string(to):
		r.say(&expr.Cmp{Op: op, Register: first, Data: from})
	case isPrefix && strings.Contains(word, "/"):
		r.say(masked(mask, make([]byte, len(mask))), &expr.Cmp{Op: op, Register: first, Data: from})
	case unequal:
		r.say(&expr.Range{Op: op, Register: first, FromData: from, ToData: to})
	default:
		r.say(&expr.Cmp{Op: expr.CmpOpGte, Register: first, Data: from}, &expr.Cmp{Op: expr.CmpOpLte, Register: first, Data: to})
	}
}

// prefixMask is the mask of the prefix that holds the values from one to another.
func prefixMask(from, to []byte) ([]byte, bool) {
	mask := make([]byte, len(from))
	for i := range mask {
		mask[i] = ^(from[i] ^ to[i])
	}
	return mask, len(from) == len(to)
}
