//go:build linux

package main

import (
	"github.com/coredns/coredns/core/dnsserver"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The plugins of a lab's DNS server, in the order in which they see a request,
// whatever order a Corefile has. What kubernetes does not know goes to template,
// which says that there is no such name: a lab has no other name server to ask.
func init() {
	dnsserver.Directives = []string{
		"bind", "health", "ready", "errors", "cache", "loadbalance", "kubernetes", "template",
	}
}
