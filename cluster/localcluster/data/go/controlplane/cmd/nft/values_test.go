//go:build linux

package main

import (
	"bytes"
	"testing"

	"github.com/google/nftables"
)

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		kind     nftables.SetDatatype
		word     string
		from, to []byte
	}{
		{nftables.TypeIPAddr, "10.1.2.3", []byte{10, 1, 2, 3}, []byte{10, 1, 2, 3}},
		{nftables.TypeIPAddr, "10.1.2.3/12", []byte{10, 0, 0, 0}, []byte{10, 15, 255, 255}},
		{nftables.TypeIPAddr, "10.1.2.3-10.1.2.9", []byte{10, 1, 2, 3}, []byte{10, 1, 2, 9}},
		{nftables.TypeInetService, "80-8080", []byte{0, 80}, []byte{31, 144}},
		{nftables.TypeInetProto, "sctp", []byte{132}, []byte{132}},
	} {
		from, to, err := interval(c.kind, c.word)
		if err != nil || !bytes.Equal(from, c.from) || !bytes.Equal(to, c.to) {
			t.Errorf("%s: %v to %v, %v", c.word, from, to, err)
		}
	}
	for _, word := range []string{"10.1.2", "::1", "10.0.0.0/33", "10.0.0.9-10.0.0.1", ""} {
		if from, to, err := interval(nftables.TypeIPAddr, word); err == nil {
			t.Errorf("%s was taken for %v to %v", word, from, to)
		}
	}
}

func TestIntervalsThatOverlapOrTouchAreOne(t *testing.T) {
	var items []item
	for _, word := range []string{"10.2.0.0/16", "10.0.0.0/16", "10.1.0.0/16", "10.1.2.3", "192.168.0.1", "0.0.0.0/32"} {
		from, to, err := interval(nftables.TypeIPAddr, word)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{from: from, to: to})
	}
	whole := merged(items)
	if len(whole) != 3 || !bytes.Equal(whole[1].from, []byte{10, 0, 0, 0}) || !bytes.Equal(whole[1].to, []byte{10, 2, 255, 255}) {
		t.Errorf("%v", whole)
	}
}

func TestNothingFollowsTheLastValue(t *testing.T) {
	if next, more := following([]byte{10, 255}); !more || !bytes.Equal(next, []byte{11, 0}) {
		t.Errorf("%v, %v", next, more)
	}
	if _, more := following([]byte{255, 255}); more {
		t.Error("there is a port 65536")
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	for kind, word := range map[string]any{
		"ipv4_addr": "10.0.0.1", "ipv6_addr": "fd00::1", "inet_proto": "udp", "ifname": "veth12",
	} {
		value, err := encode(datatypes[kind], word.(string))
		if got := decode(datatypes[kind], value); err != nil || got != word {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
}
