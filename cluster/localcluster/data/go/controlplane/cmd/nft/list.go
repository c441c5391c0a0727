//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

type object map[string]any

// list answers what kube-proxy asks, in nft's JSON.
func list(asked options, out io.Writer) error {
	if !asked.json {
		return errors.New("this nft lists as JSON only (--json), sets, maps, counters and the names in a table. " +
			"To see all rules, install nftables and use its nft")
	}
	c := &cursor{words: asked.words}
	c.want("list")
	kind := c.takeOne("set", "map", "counters", "table")
	if kind == "" || kind == "table" && !asked.terse {
		c.unknown()
	}
	if kind == "counters" {
		c.want("table")
	}
	name, table := where(c)
	at := place{&nftables.Table{Name: table, Family: families[name].number}, families[name]}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	var found []object
	switch {
	case c.err != nil:
	case kind == "set" || kind == "map":
		found, err = listSet(conn, at, kind, c.next())
	case kind == "counters":
		found, err = listCounters(conn, at)
	case kind == "table":
		found, err = listNames(conn, at)
	}
	if c.more() {
		c.unknown()
	}
	if err = errors.Join(c.err, err); err != nil {
		return err
	}
	meta := object{"metainfo": object{"version": version, "release_name": "labkit", "json_schema_version": 1}}
	return json.NewEncoder(out).Encode(object{"nftables": append([]object{meta}, found...)})
}

func (p place) named(name string) object {
	return object{"family": p.family.name, "table": p.table.Name, "name": name}
}

func listSet(conn *nftables.Conn, at place, kind, name string) ([]object, error) {
	keys, err := askKeyType(at, name)
	if err != nil {
		return nil, err
	}
	elements, err := conn.GetSetElements(&nftables.Set{Table: at.table, Name: name})
	if err != nil {
		return nil, errors.New(worded(err))
	}
	listed := make([]any, 0, len(elements))
	for _, element := range elements {
		var one any = written(keys, element.Key)
		if element.Comment != "" {
			one = object{"elem": object{"val": one, "comment": element.Comment}}
		}
		if kind == "map" {
			value, err := writtenVerdict(element.Val)
			if err != nil {
				return nil, err
			}
			one = []any{one, value}
		}
		listed = append(listed, one)
	}
	set := at.named(name)
	set["type"], set["elem"] = keys.Name, listed
	if kind == "map" {
		set["map"] = "verdict"
	}
	return []object{{kind: set}}, nil
}

// written is a key: one value, or {"concat": [...]}.
func written(kind nftables.SetDatatype, key []byte) any {
	kinds := parts(kind)
	if len(kinds) == 1 {
		return decode(kind, key)
	}
	var all []any
	for _, part := range kinds {
		all = append(all, decode(part, key[:part.Bytes]))
		key = key[(part.Bytes+3)/4*4:]
	}
	return object{"concat": all}
}

// writtenVerdict is {"drop": null}, or {"goto": {"target": CHAIN}}.
func writtenVerdict(data []byte) (any, error) {
	decoder, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return nil, err
	}
	var kind expr.VerdictKind
	var target any
	for decoder.Next() {
		switch decoder.Type() {
		case unix.NFTA_VERDICT_CODE:
			kind = expr.VerdictKind(int32(binaryutil.BigEndian.Uint32(decoder.Bytes())))
		case unix.NFTA_VERDICT_CHAIN:
			target = object{"target": decoder.String()}
		}
	}
	for name, known := range verdicts {
		if known == kind {
			return object{name: target}, decoder.Err()
		}
	}
	return nil, fmt.Errorf("this nft does not know the verdict %d", kind)
}

func listCounters(conn *nftables.Conn, at place) ([]object, error) {
	counters, err := conn.GetObjects(at.table)
	if err != nil {
		return nil, errors.New(worded(err))
	}
	var listed []object
	for _, counter := range counters {
		if counts, ok := counter.(*nftables.CounterObj); ok {
			one := at.named(counts.Name)
			one["packets"], one["bytes"] = counts.Packets, counts.Bytes
			listed = append(listed, object{"counter": one})
		}
	}
	return listed, nil
}

func listNames(conn *nftables.Conn, at place) ([]object, error) {
	if _, err := conn.ListTableOfFamily(at.table.Name, at.family.number); err != nil {
		return nil, errors.New("No such file or directory: there is no such table") // kube-proxy looks for these words
	}
	listed := []object{{"table": object{"family": at.family.name, "name": at.table.Name}}}
	chains, err := conn.ListChainsOfTableFamily(at.family.number)
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if chain.Table.Name == at.table.Name {
			listed = append(listed, object{"chain": at.named(chain.Name)})
		}
	}
	sets, err := conn.GetSets(at.table)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if kind := map[bool]string{false: "set", true: "map"}[set.IsMap]; !set.Anonymous {
			listed = append(listed, object{kind: at.named(set.Name)})
		}
	}
	counters, err := listCounters(conn, at)
	return append(listed, counters...), err
}

// keyType is the type of a set's keys, which its elements do not tell.
func (tx *transaction) keyType(at place, name string) (nftables.SetDatatype, error) {
	if kind, known := tx.types[setKey(at, name)]; known {
		return kind, nil
	}
	kind, err := askKeyType(at, name)
	if err == nil {
		tx.types[setKey(at, name)] = kind
	}
	return kind, err
}

// askKeyType asks the kernel. (The library's own answer for a map to verdicts is
// the type of the verdicts.)
func askKeyType(at place, name string) (nftables.SetDatatype, error) {
	var kind nftables.SetDatatype
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return kind, err
	}
	defer conn.Close()
	wanted, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_TABLE, Data: []byte(at.table.Name + "\x00")},
		{Type: unix.NFTA_SET_NAME, Data: []byte(name + "\x00")},
	})
	if err != nil {
		return kind, err
	}
	header := netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSET, Flags: netlink.Request}
	head := []byte{byte(at.family.number), unix.NFNETLINK_V0, 0, 0}
	replies, err := conn.Execute(netlink.Message{Header: header, Data: append(head, wanted...)})
	if errors.Is(err, unix.ENOENT) {
		return kind, fmt.Errorf("No such file or directory: there is no set or map %q", name)
	}
	if err != nil || len(replies) != 1 {
		return kind, fmt.Errorf("could not ask the kernel about the set %q: %w", name, err)
	}
	decoder, err := netlink.NewAttributeDecoder(replies[0].Data[4:])
	if err != nil {
		return kind, err
	}
	for decoder.Next() {
		if decoder.Type() == unix.NFTA_SET_KEY_TYPE {
			kind, err = fromMagic(binaryutil.BigEndian.Uint32(decoder.Bytes()))
		}
	}
	return kind, errors.Join(err, decoder.Err())
}

// fromMagic takes a type's number apart: six bits for each part of a concatenation.
func fromMagic(magic uint32) (nftables.SetDatatype, error) {
	var kinds []nftables.SetDatatype
	for ; magic != 0; magic >>= nftables.SetConcatTypeBits {
		found := nftables.SetDatatype{}
		for _, kind := range datatypes {
			if kind.GetNFTMagic() == magic&nftables.SetConcatTypeMask {
				found = kind
			}
		}
		if found.Name == "" {
			return found, errors.New("this nft does not know the type of the set's keys")
		}
		kinds = append([]nftables.SetDatatype{found}, kinds...)
	}
	if len(kinds) == 1 {
		return kinds[0], nil
	}
	return nftables.ConcatSetType(kinds...)
}
