//go:build linux

// Command labnet is kube-proxy and CoreDNS in one program: two processes of it
// share the code that both need, in memory as on disk. Its first argument says
// which of the two it is.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/coredns/coredns/coremain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/version"
	"k8s.io/kubernetes/cmd/kube-proxy/app"
)

const usage = `labnet is kube-proxy and CoreDNS in one program.

  labnet kube-proxy FLAGS...
  labnet coredns -conf FILE
  labnet --version
`

func main() {
	os.Exit(run(os.Args))
}

// run starts the program that the arguments name, and returns its exit status.
func run(args []string) int {
	if len(args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[1] {
	case "kube-proxy":
		os.Args = args[1:]
		flag.CommandLine = without(flag.CommandLine, coreDNS)
		return cli.Run(app.NewProxyCommand())
	case "coredns":
		os.Args = args[1:]
		coremain.Run()
		return 0
	case "--version":
		fmt.Printf("labnet: kube-proxy %s, CoreDNS %s\n", version.Get(), coremain.CoreVersion)
		return 0
	case "--help", "-h":
		fmt.Print(usage)
		return 0
	}
	fmt.Fprintf(os.Stderr, "labnet: %q is not a program of it.\n\n%s", args[1], usage)
	return 2
}

// coreDNS are the flags that CoreDNS declares for the whole program.
var coreDNS = []string{"conf", "dns.port", "log-format", "p", "pidfile", "plugins", "quiet", "version"}

// without returns a copy of the flags that lacks some. kube-proxy takes every
// flag of the program for one of its own, and would not know its --version.
func without(flags *flag.FlagSet, names []string) *flag.FlagSet {
	left := flag.NewFlagSet(flags.Name(), flag.ExitOnError)
	flags.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(names, f.Name) {
			left.Var(f.Value, f.Name, f.Usage)
		}
	})
	return left
}
