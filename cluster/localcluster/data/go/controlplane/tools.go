//go:build tools

// Package tools pins the programs that labkit builds from Go modules.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
)
