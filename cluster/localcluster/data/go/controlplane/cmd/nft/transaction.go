//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// A transaction translates commands into the kernel's messages.
type transaction struct {
	batch
	conn *nftables.Conn
	// types are the keys' types of the sets that the commands so far made.
	types map[string]nftables.SetDatatype
}

func newTransaction() (*transaction, error) {
	tx := &transaction{types: map[string]nftables.SetDatatype{}}
	var err error
	// The library sends a batch as it likes: with an answer for each message, for
	// which a large batch has no room. So it gives them to us instead.
	tx.conn, err = nftables.New(nftables.WithTestDial(tx.collect))
	return tx, err
}

// do adds a command's messages to the batch.
func (tx *transaction) do(c command) error {
	at := place{&nftables.Table{Name: c.table, Family: families[c.family].number}, families[c.family]}
	words := &cursor{words: c.body}
	tx.current, tx.comment = c, ""
	switch c.kind {
	case "table":
		tx.table(at, c.verb, words)
	case "chain":
		tx.chain(at, c, words)
	case "set", "map":
		tx.set(at, c, words)
	case "element":
		tx.element(at, c, words)
	case "counter":
		tx.counter(at, c, words)
	case "rule":
		tx.rule(at, c, words)
	}
	if words.more() {
		words.unknown()
	}
	if words.err != nil {
		return words.err
	}
	return tx.conn.Flush()
}

// A place is a table, with what its family means for the words of a rule.
type place struct {
	table  *nftables.Table
	family family
}

func (tx *transaction) table(at place, verb string, c *cursor) {
	tx.remark(c)
	switch verb {
	case "add", "create":
		tx.conn.AddTable(at.table)
	case "delete":
		tx.conn.DelTable(at.table)
	case "flush":
		tx.conn.FlushTable(at.table)
	}
}

// remark reads comment "TEXT" and the semicolons around it.
func (tx *transaction) remark(c *cursor) {
	for c.take(";") {
	}
	if c.take("comment") {
		tx.comment = c.comment()
	}
	for c.take(";") {
	}
}

func (tx *transaction) set(at place, asked command, c *cursor) {
	set := &nftables.Set{Table: at.table, Name: asked.name, IsMap: asked.kind == "map"}
	switch asked.verb {
	case "delete":
		tx.conn.DelSet(set)
	case "flush":
		tx.conn.FlushSet(set)
	default:
		specify(set, c)
		if set.KeyType.Name == "" || set.IsMap && set.DataType.Name == "" {
			c.fail("the type of the %s is missing", asked.kind)
		}
		tx.types[setKey(at, asked.name)] = set.KeyType
		if err := tx.conn.AddSet(set, nil); err != nil {
			c.fail("%v", err)
		}
	}
}

// specify reads type ipv4_addr . inet_service : verdict; flags timeout; timeout 1h.
func specify(set *nftables.Set, c *cursor) {
	for c.more() {
		switch {
		case c.take(";"):
		case c.take("type"):
			set.KeyType = datatype(c)
			set.Concatenation = len(parts(set.KeyType)) > 1
			if c.take(":") {
				set.DataType = target(c)
			}
		case c.take("flags"):
			for ok := true; ok; ok = c.take(",") {
				switch {
				case c.take("dynamic"):
					set.Dynamic = true
				case c.take("timeout"):
					set.HasTimeout = true
				default:
					c.unknown()
				}
			}
		case c.take("timeout"):
			set.Timeout, set.HasTimeout = duration(c), true
		case c.take("size"):
			size, err := number(c.next())
			if err != nil {
				c.fail("%v", err)
			}
			set.Size = size
		case c.take("comment"):
			set.Comment = c.comment()
		default:
			c.unknown()
		}
	}
}

// target is the type of a map's values.
func target(c *cursor) nftables.SetDatatype {
	if c.take("verdict") {
		return nftables.TypeVerdict
	}
	c.fail("this nft knows maps to verdicts only, not to %q", c.rest())
	return nftables.SetDatatype{}
}

// duration reads 10800s and 1d2h.
func duration(c *cursor) time.Duration {
	word := c.next()
	days, rest, found := strings.Cut(word, "d")
	if !found {
		days, rest = "0", word
	}
	count, err := strconv.Atoi(days)
	total := time.Duration(count) * 24 * time.Hour
	if err == nil && rest != "" {
		var more time.Duration
		more, err = time.ParseDuration(rest)
		total += more
	}
	if err != nil {
		c.fail("%q is not a duration", word)
	}
	return total
}

func (tx *transaction) counter(at place, asked command, c *cursor) {
	named := &nftables.NamedObj{
		Table: at.table, Name: asked.name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{},
	}
	tx.remark(c)
	if asked.verb == "delete" {
		tx.conn.DeleteObject(named)
	} else {
		tx.conn.AddObj(named)
	}
}

func (tx *transaction) rule(at place, asked command, c *cursor) {
	r := &rule{cursor: c, tx: tx, place: at}
	for c.more() {
		if c.take("comment") {
			r.remark = userdata.AppendString(nil, userdata.TypeComment, c.comment())
			break
		}
		r.statement()
	}
	made := &nftables.Rule{
		Table: at.table, Chain: &nftables.Chain{Name: asked.name, Table: at.table}, Exprs: r.exprs, UserData: r.remark,
	}
	if c.err == nil && len(r.exprs) == 0 {
		c.fail("the rule is empty")
	}
	if asked.verb == "insert" {
		tx.conn.InsertRule(made)
	} else {
		tx.conn.AddRule(made)
	}
}

func setKey(at place, name string) string {
	return fmt.Sprintf("%s %s %s", at.family.name, at.table.Name, name)
}
