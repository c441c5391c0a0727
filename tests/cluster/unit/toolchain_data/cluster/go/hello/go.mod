module labkit.dev/hello

go 1.21.0
