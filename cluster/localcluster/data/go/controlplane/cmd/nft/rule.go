//go:build linux

package main

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The kernel's first register of four bytes; longer values take several.
const first = unix.NFT_REG32_00

// A rule translates a rule's words into the kernel's expressions.
type rule struct {
	*cursor
	tx     *transaction
	place  place
	exprs  []expr.Any
	remark []byte
	// protocol is what the rule so far says about it: its ports need one.
	protocol string
}

func (r *rule) say(exprs ...expr.Any) {
	r.exprs = append(r.exprs, exprs...)
}

// statement reads one match or one action.
func (r *rule) statement() {
	switch {
	case r.take("counter"):
		r.count()
	case r.take("reject"):
		r.reject()
	case r.take("masquerade"):
		r.say(&expr.Masq{FullyRandom: r.take("fully-random"), Random: r.take("random")})
	case r.take("dnat"):
		r.dnat()
	case r.take("update"):
		r.update()
	case r.take("numgen"):
		r.say(r.numgen())
		r.want("vmap")
		r.say(r.lookup(&nftables.Set{KeyType: nftables.TypeInteger, IsMap: true, DataType: nftables.TypeVerdict}, 0))
	case r.take("fib"):
		r.fib()
	case r.take("ct"):
		r.conntrack()
	case r.take("mark") || r.take("meta", "mark"):
		r.mark()
	default:
		if verdict := r.verdict(); verdict != nil {
			r.say(verdict)
		} else {
			r.match()
		}
	}
}

var verdicts = map[string]expr.VerdictKind{
	"accept": expr.VerdictAccept, "drop": expr.VerdictDrop, "return": expr.VerdictReturn,
	"continue": expr.VerdictContinue, "jump": expr.VerdictJump, "goto": expr.VerdictGoto,
}

// verdict reads accept or jump CHAIN; nil if the next word is none.
func (r *rule) verdict() *expr.Verdict {
	kind, known := verdicts[r.peek()]
	if !known {
		return nil
	}
	r.next()
	verdict := &expr.Verdict{Kind: kind}
	if kind == expr.VerdictJump || kind == expr.VerdictGoto {
		verdict.Chain = r.next()
	}
	return verdict
}

func (r *rule) count() {
	if r.take("name") {
		r.say(&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: unquoted(r.next())})
	} else {
		r.say(&expr.Counter{})
	}
}

func (r *rule) reject() {
	if r.take("with", "tcp", "reset") {
		r.depend("tcp")
		r.say(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	} else {
		r.say(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: r.place.family.unreachable})
	}
}

// dnat reads to 10.244.1.2:8000, and ip addr . port to numgen random mod 2 map { 0 : 10.244.1.2 . 8000, ... }.
func (r *rule) dnat() {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(r.place.family.number), RegAddrMin: unix.NFT_REG_1}
	address := r.place.family.address
	if r.take("to") || r.take(r.place.family.name, "to") {
		word := r.next()
		to, err := netip.ParseAddrPort(word)
		if err != nil || to.Addr().Is4() != (address.Bytes == 4) {
			r.fail("%q is not an address with a port", word)
			return
		}
		port := []byte{byte(to.Port() >> 8), byte(to.Port())}
		nat.RegProtoMin = unix.NFT_REG_2
		r.say(&expr.Immediate{Register: unix.NFT_REG_1, Data: to.Addr().AsSlice()},
			&expr.Immediate{Register: unix.NFT_REG_2, Data: port}, nat)
		return
	}
	r.want(r.place.family.name)
	for _, word := range []string{"addr", ".", "port", "to", "numgen"} {
		r.want(word)
	}
	r.say(r.numgen())
	r.want("map")
	nat.RegProtoMin = first + address.Bytes/4
	targets := concatenated(r.cursor, []nftables.SetDatatype{address, nftables.TypeInetService})
	r.say(r.lookup(&nftables.Set{KeyType: nftables.TypeInteger, IsMap: true, DataType: targets}, unix.NFT_REG_1), nat)
}

// update reads @SET { ip saddr }: it remembers who sent the packet.
func (r *rule) update() {
	name := r.set()
	r.want("{")
	key := r.selectors()
	r.want("}")
	if key == nil {
		return
	}
	r.say(key.load...)
	r.say(&expr.Dynset{SrcRegKey: first, SetName: name, Operation: unix.NFT_DYNSET_OP_UPDATE})
}

// numgen reads random mod 3, or inc mod 3.
func (r *rule) numgen() expr.Any {
	made := &expr.Numgen{Register: first, Type: unix.NFT_NG_RANDOM}
	if r.take("inc") {
		made.Type = unix.NFT_NG_INCREMENTAL
	} else {
		r.want("random")
	}
	r.want("mod")
	made.Modulus = r.number()
	return made
}

// fib reads daddr type local, and daddr . iif oif exists.
func (r *rule) fib() {
	asked := &expr.Fib{Register: first}
	for ok := true; ok; ok = r.take(".") {
		switch r.takeOne("daddr", "saddr", "iif", "mark") {
		case "daddr":
			asked.FlagDADDR = true
		case "saddr":
			asked.FlagSADDR = true
		case "iif":
			asked.FlagIIF = true
		case "mark":
			asked.FlagMARK = true
		default:
			r.unknown()
		}
	}
	switch {
	case r.take("type", "local"):
		asked.ResultADDRTYPE = true
		r.say(asked, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: host32(unix.RTN_LOCAL)})
	case r.take("oif", "exists"):
		asked.ResultOIF, asked.FlagPRESENT = true, true
		r.say(asked, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: host32(1)})
	case r.take("oif", "missing"):
		asked.ResultOIF, asked.FlagPRESENT = true, true
		r.say(asked, &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: host32(0)})
	default:
		r.unknown()
	}
}

// mark reads set mark or 0x4000, and and 0x4000 != 0.
func (r *rule) mark() {
	load := &expr.Meta{Key: expr.MetaKeyMARK, Register: first}
	switch {
	case r.take("set", "mark") || r.take("set", "meta", "mark"):
		keep, flip := ^uint32(0), uint32(0)
		switch operation := r.next(); operation {
		case "or", "|":
			flip = r.number()
			keep = ^flip
		case "xor", "^":
			flip = r.number()
		case "and", "&":
			keep = r.number()
		default:
			r.fail("this nft does not know the operation %q", operation)
		}
		store := &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: first}
		r.say(load, masked(host32(keep), host32(flip)), store)
	case r.take("and") || r.take("&"):
		bits := r.number()
		if !r.take("!=", "0") {
			r.unknown()
		}
		r.say(load)
		r.say(anyOf(bits)...)
	default:
		r.unknown()
	}
}

func (r *rule) number() uint32 {
	value, err := number(r.next())
	if err != nil {
		r.fail("%v", err)
	}
	return value
}

// anyOf holds if one of the bits is set in the first register.
func anyOf(bits uint32) []expr.Any {
	return []expr.Any{
		masked(host32(bits), host32(0)), &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: host32(0)},
	}
}

// masked keeps some bits of the first register, and flips some.
func masked(keep, flip []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: first, DestRegister: first, Len: uint32(len(keep)), Mask: keep, Xor: flip}
}
