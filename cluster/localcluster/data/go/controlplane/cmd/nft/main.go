//go:build linux

// Command nft writes the packet filter's rules for a lab: it knows the words of
// nftables' own nft that kube-proxy and labkit use, and refuses all others.
//
// A file of commands is one transaction: the kernel takes all of it or nothing.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The release of nftables whose words these are. kube-proxy asks for 1.0.1.
const version = "1.0.6"

const usage = `nft [--check] -f FILE        carry out the commands in FILE (- is the standard input)
nft [--check] COMMAND        carry out one command
nft --json [--terse] list set|map|counters|table ...
nft --version
`

type options struct {
	check, json, terse bool
	file               string
	words              []string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-v") {
		fmt.Printf("nftables v%s (labkit)\n", version)
		return nil
	}
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		fmt.Print(usage)
		return nil
	}
	asked, err := read(args)
	if err != nil {
		return err
	}
	if len(asked.words) > 0 && asked.words[0] == "list" {
		return list(asked, os.Stdout)
	}
	text, err := asked.text()
	if err != nil {
		return err
	}
	return apply(text, asked.check)
}

func read(args []string) (options, error) {
	var asked options
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-c", "--check":
			asked.check = true
		case "-j", "--json":
			asked.json = true
		case "-t", "--terse":
			asked.terse = true
		case "-f", "--file":
			if i++; i == len(args) {
				return asked, errors.New("-f needs the name of a file")
			}
			asked.file = args[i]
		default:
			if strings.HasPrefix(args[i], "-") {
				return asked, fmt.Errorf("this nft does not know the option %s\n%s", args[i], usage)
			}
			asked.words = args[i:]
			i = len(args)
		}
	}
	if (asked.file == "") == (len(asked.words) == 0) {
		return asked, fmt.Errorf("either a file or a command is needed\n%s", usage)
	}
	if asked.json && (len(asked.words) == 0 || asked.words[0] != "list") {
		return asked, errors.New("this nft reads no JSON: --json is for list only")
	}
	return asked, nil
}

// text is what the commands are read from.
func (o options) text() (string, error) {
	switch o.file {
	case "":
		return strings.Join(o.words, " "), nil
	case "-":
		read, err := io.ReadAll(os.Stdin)
		return string(read), err
	}
	read, err := os.ReadFile(o.file)
	return string(read), err
}

// apply carries out the commands, or only checks whether the kernel would take them.
func apply(text string, check bool) error {
	commands, err := parse(text)
	if err != nil {
		return err
	}
	tx, err := newTransaction()
	if err != nil {
		return err
	}
	for _, c := range commands {
		if err := tx.do(c); err != nil {
			return fmt.Errorf("%w\n%s", err, c.text())
		}
	}
	return tx.commit(check)
}
