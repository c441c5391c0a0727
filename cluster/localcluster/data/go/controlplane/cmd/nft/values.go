//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// A family is what differs between IPv4 and IPv6: where a packet has its
// addresses, how long they are, and what a refusal is called.
type family struct {
	name                string
	number              nftables.TableFamily
	address             nftables.SetDatatype
	source, destination uint32
	unreachable         uint8
}

var families = map[string]family{
	"ip":  {"ip", nftables.TableFamilyIPv4, nftables.TypeIPAddr, 12, 16, 3},
	"ip6": {"ip6", nftables.TableFamilyIPv6, nftables.TypeIP6Addr, 8, 24, 4},
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

var datatypes = map[string]nftables.SetDatatype{
	"ipv4_addr":    nftables.TypeIPAddr,
	"ipv6_addr":    nftables.TypeIP6Addr,
	"inet_proto":   nftables.TypeInetProto,
	"inet_service": nftables.TypeInetService,
	"ifname":       nftables.TypeIFName,
	"mark":         nftables.TypeMark,
}

func host32(value uint32) []byte {
	return binaryutil.NativeEndian.PutUint32(value)
}

// number reads a number as nft does: 16384, 0x4000.
func number(word string) (uint32, error) {
	value, err := strconv.ParseUint(word, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", word)
	}
	return uint32(value), nil
}

// encode is the value of a word as the kernel compares it.
func encode(kind nftables.SetDatatype, word string) ([]byte, error) {
	switch kind.Name {
	case "ipv4_addr", "ipv6_addr":
		address, err := netip.ParseAddr(word)
		if err != nil || address.Is4() != (kind.Bytes == 4) {
			return nil, fmt.Errorf("%q is not an address of the type %s", word, kind.Name)
		}
		return address.AsSlice(), nil
	case "inet_proto":
		if protocol, known := protocols[word]; known {
			return []byte{protocol}, nil
		}
		value, err := strconv.ParseUint(word, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is not a protocol that this nft knows", word)
		}
		return []byte{byte(value)}, nil
	case "inet_service":
		port, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is not a port number", word)
		}
		return binary.BigEndian.AppendUint16(nil, uint16(port)), nil
	case "ifname":
		name := unquoted(word)
		if name == "" || len(name) >= unix.IFNAMSIZ || strings.HasSuffix(name, "*") {
			return nil, fmt.Errorf("%q is not the name of an interface", word)
		}
		return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...), nil
	case "mark", "integer":
		value, err := number(word)
		return host32(value), err
	}
	return nil, fmt.Errorf("this nft knows no values of the type %s", kind.Name)
}

// decode is the opposite of encode, as nft writes values in JSON.
func decode(kind nftables.SetDatatype, value []byte) any {
	switch kind.Name {
	case "ipv4_addr", "ipv6_addr":
		if address, ok := netip.AddrFromSlice(value); ok {
			return address.String()
		}
	case "inet_proto":
		for name, protocol := range protocols {
			if protocol == value[0] {
				return name
			}
		}
		return value[0]
	case "inet_service":
		return binary.BigEndian.Uint16(value)
	case "ifname":
		return strings.TrimRight(string(value), "\x00")
	case "mark", "integer":
		return binaryutil.NativeEndian.Uint32(value)
	}
	return fmt.Sprintf("%#x", value)
}

// padded fills a value up to whole registers, as each part of a concatenation is.
func padded(value []byte) []byte {
	return append(value, make([]byte, (4-len(value)%4)%4)...)
}

// interval is the first and the last value that a word stands for: an address,
// 10.0.0.0/8, 80 or 80-90.
func interval(kind nftables.SetDatatype, word string) ([]byte, []byte, error) {
	if prefix, err := netip.ParsePrefix(word); err == nil {
		first, err := encode(kind, prefix.Masked().Addr().String())
		if err != nil {
			return nil, nil, err
		}
		last := append([]byte{}, first...)
		for bit := prefix.Bits(); bit < len(last)*8; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		return first, last, nil
	}
	from, to := word, word
	if kind.Name == "inet_service" || kind.Name == "ipv4_addr" || kind.Name == "ipv6_addr" {
		if before, after, ranged := strings.Cut(word, "-"); ranged {
			from, to = before, after
		}
	}
	first, err := encode(kind, from)
	if err != nil {
		return nil, nil, err
	}
	last, err := encode(kind, to)
	if err == nil && string(first) > string(last) {
		err = fmt.Errorf("%q ends before it begins", word)
	}
	return first, last, err
}

// datatype reads the type of a set's keys: ipv4_addr . inet_proto . inet_service.
func datatype(c *cursor) nftables.SetDatatype {
	var parts []nftables.SetDatatype
	for ok := true; ok; ok = c.take(".") {
		word := c.next()
		kind, known := datatypes[word]
		if !known {
			c.fail("this nft does not know the type %q", word)
		}
		parts = append(parts, kind)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return concatenated(c, parts)
}

func concatenated(c *cursor, parts []nftables.SetDatatype) nftables.SetDatatype {
	kind, err := nftables.ConcatSetType(parts...)
	if err != nil {
		c.fail("%v", err)
	}
	return kind
}

// parts are the types in a concatenation.
func parts(kind nftables.SetDatatype) []nftables.SetDatatype {
	return nftables.ConcatSetTypeElements(kind)
}
