// Command registry is the OCI registry (distribution) with only what the lab
// needs of it: the file-system driver and htpasswd logins. The storage drivers
// of the big clouds, left out, would add about 90 s of compiling.
package main

import (
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		panic(err)
	}
}
