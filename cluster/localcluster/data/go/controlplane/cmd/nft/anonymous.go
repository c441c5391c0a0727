//go:build linux

package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// An item is one element as it is written: a key, or an interval of keys.
type item struct {
	from, to []byte
	value    []byte
	verdict  *expr.Verdict
	comment  string
}

// lookup reads the elements of a set or a map in braces, and makes it in the same
// batch; into is the register for the values of a map.
func (r *rule) lookup(set *nftables.Set, into uint32) *expr.Lookup {
	set.Table, set.Anonymous, set.Constant = r.place.table, true, true
	set.Concatenation = len(parts(set.KeyType)) > 1
	r.want("{")
	items := r.items(set)
	r.want("}")
	if r.err == nil {
		elements := arranged(set, items)
		if err := r.tx.conn.AddSet(set, elements); err != nil {
			r.fail("%v", err)
		}
	}
	return &expr.Lookup{
		SourceRegister: first, DestRegister: into, IsDestRegSet: set.IsMap, SetName: set.Name, SetID: set.ID,
	}
}

// items reads KEY : VALUE, KEY : VALUE up to the closing brace.
func (r *rule) items(set *nftables.Set) []item {
	var items []item
	for r.more() && r.peek() != "}" {
		one := item{}
		one.from, one.to = r.key(set.KeyType)
		if r.take("comment") {
			one.comment = r.comment()
		}
		if r.take(":") {
			r.value(set, &one)
		}
		items = append(items, one)
		if !r.take(",") && r.more() && r.peek() != "}" {
			r.unknown()
		}
	}
	if r.err == nil && len(items) == 0 {
		r.fail("there is no element between the braces")
	}
	return items
}

func (r *rule) value(set *nftables.Set, one *item) {
	if !set.IsMap {
		r.fail("a set has no values: %q", r.rest())
	} else if set.DataType.Name != nftables.TypeVerdict.Name {
		one.value, _ = r.key(set.DataType)
	} else if one.verdict = r.verdict(); one.verdict == nil {
		r.unknown()
	}
}

// key reads 10.244.1.2 . tcp . 80; only a key of one part can be an interval.
func (r *rule) key(kind nftables.SetDatatype) ([]byte, []byte) {
	kinds := parts(kind)
	if len(kinds) == 1 {
		from, to, err := interval(kind, r.next())
		if err != nil {
			r.fail("%v", err)
		}
		return from, to
	}
	var key []byte
	for i, part := range kinds {
		if i > 0 {
			r.want(".")
		}
		value, err := encode(part, r.next())
		if err != nil {
			r.fail("%v", err)
		}
		key = append(key, padded(value)...)
	}
	return key, key
}

// arranged are the elements as the kernel wants them. Where one of them is an
// interval, each is two: its start, and what comes after its end.
func arranged(set *nftables.Set, items []item) []nftables.SetElement {
	set.Interval = slices.ContainsFunc(items, func(i item) bool { return !bytes.Equal(i.from, i.to) })
	if set.KeyType.Name == nftables.TypeInteger.Name {
		set.KeyByteOrder = binaryutil.NativeEndian
	}
	if set.Interval && !set.IsMap {
		items = merged(items)
	}
	var elements []nftables.SetElement
	for _, i := range items {
		elements = append(elements, nftables.SetElement{Key: i.from, Val: i.value, VerdictData: i.verdict, Comment: i.comment})
		if after, more := following(i.to); set.Interval && more {
			elements = append(elements, nftables.SetElement{Key: after, IntervalEnd: true})
		}
	}
	return elements
}

// merged are the intervals without those that overlap: the kernel refuses these.
func merged(items []item) []item {
	slices.SortFunc(items, func(a, b item) int { return bytes.Compare(a.from, b.from) })
	whole := items[:1]
	for _, next := range items[1:] {
		last := &whole[len(whole)-1]
		after, more := following(last.to)
		if more && bytes.Compare(next.from, after) > 0 {
			whole = append(whole, next)
		} else if bytes.Compare(next.to, last.to) > 0 {
			last.to = next.to
		}
	}
	return whole
}

// following is the next value; there is none after the last.
func following(value []byte) ([]byte, bool) {
	next := bytes.Clone(value)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

// element adds elements to a set that has a name, or deletes them from it.
func (tx *transaction) element(at place, asked command, c *cursor) {
	kind, err := tx.keyType(at, asked.name)
	if err != nil {
		c.fail("%v", err)
		return
	}
	set := &nftables.Set{Table: at.table, Name: asked.name, KeyType: kind}
	r := &rule{cursor: c, tx: tx, place: at}
	if set.IsMap = strings.Contains(" "+strings.Join(c.words, " ")+" ", " : "); set.IsMap {
		set.DataType = nftables.TypeVerdict
	}
	elements := arranged(set, r.items(set))
	if c.err == nil && set.Interval {
		c.fail("this nft knows no intervals in sets that have a name")
	}
	if c.err != nil {
		return
	}
	if asked.verb == "delete" {
		err = tx.conn.SetDeleteElements(set, elements)
	} else {
		err = tx.conn.SetAddElements(set, elements)
	}
	if err != nil {
		c.fail("%v", err)
	}
}
