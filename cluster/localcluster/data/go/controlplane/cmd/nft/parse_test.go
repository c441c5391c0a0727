//go:build linux

package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	words, err := split("add rule ip t c ip saddr {10.0.0.1,10.0.0.2} comment \"a ; b\" # and more\nx")
	want := []string{
		"add", "rule", "ip", "t", "c", "ip", "saddr", "{", "10.0.0.1", ",", "10.0.0.2", "}", "comment", `"a ; b"`, "\n", "x",
	}
	if err != nil || !reflect.DeepEqual(words, want) {
		t.Errorf("%q, %v", words, err)
	}
	if _, err := split("comment \"open\nadd"); err == nil {
		t.Error("an open quotation was taken")
	}
}

func TestLinesAndBlocksAreTheSameCommands(t *testing.T) {
	lines, err := parse(`add table ip lab
add chain ip lab c { type filter hook forward priority filter; policy accept; }
add chain ip lab d
add rule ip lab c ip saddr {
	10.0.0.1,
	10.0.0.2 } jump d
add rule ip lab c drop
`)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(`table ip lab {
	chain c {
		type filter hook forward priority filter; policy accept;
		ip saddr { 10.0.0.1, 10.0.0.2 } jump d
		drop
	}
	chain d { }
}`)
	if err != nil {
		t.Fatal(err)
	}
	if texts(lines) != texts(blocks) {
		t.Errorf("%s\nis not\n%s", texts(lines), texts(blocks))
	}
}

func texts(commands []command) string {
	var all []string
	for _, c := range commands {
		all = append(all, c.text())
	}
	return strings.Join(all, "\n")
}

func TestWhatIsNotKnownIsNamed(t *testing.T) {
	for text, named := range map[string]string{
		"add flowtable ip t f":                                       "add flowtable",
		"destroy table ip t":                                         "destroy table",
		"add table inet t":                                           "inet",
		"add rule ip t c limit rate 5/second accept":                 "limit rate 5/second accept",
		"add rule ip t c ip saddr 10.0.0.300 drop":                   "10.0.0.300",
		"add rule ip t c ip6 saddr ::1 drop":                         "ip6 saddr",
		"add rule ip t c tcp dport http drop":                        "http",
		"add rule ip t c tcp dport 90-80 drop":                       "90-80",
		"add rule ip t c meta l4proto icmp drop":                     "icmp",
		"add rule ip t c ct state fresh drop":                        "fresh",
		"add rule ip t c fib daddr type broadcast":                   "type broadcast",
		"add rule ip t c mark set 5":                                 "set 5",
		"add rule ip t c accept loudly":                              "loudly",
		"add rule ip t c dnat to 10.0.0.1":                           "10.0.0.1",
		"add rule ip t c jump":                                       "missing",
		"add rule ip t c":                                            "empty",
		"add chain ip t c { type filter hook ingress":                "brace",
		"add chain ip t c { type filter hook ingress priority 0 ; }": "ingress",
		"add chain ip t c { policy sometimes ; }":                    "sometimes",
		"add set ip t s { type ether_addr ; }":                       "ether_addr",
		"add set ip t s { type ipv4_addr ; flags interval ; }":       "interval",
		"add map ip t m { type ipv4_addr : mark ; }":                 "mark",
		"add table ip t now":                                         "now",
		"table ip t { flowtable f { } }":                             "flowtable",
		"add rule ip t c ip saddr { } drop":                          "no element",
		"add rule ip t c ip saddr { 10.0.0.1 10.0.0.2 } drop":        "10.0.0.2",
	} {
		if err := translated(text); err == nil || !strings.Contains(err.Error(), named) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// translated makes the kernel's messages, and does not send them.
func translated(text string) error {
	commands, err := parse(text)
	if err != nil {
		return err
	}
	tx, err := newTransaction()
	for _, c := range commands {
		if err == nil {
			err = tx.do(c)
		}
	}
	return err
}
