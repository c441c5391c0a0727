// Command hello tells its version, as the programs of the lab do.
package main

import "os"

var version = "none"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		os.Stdout.WriteString("hello v" + version + "\n")
	}
}
