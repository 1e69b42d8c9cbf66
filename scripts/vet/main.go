// Command vet finds what go vet does, reading what is imported from source. For
// another system go vet compiles all of that first, which takes ten times as long.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/suite/vet"
)

func main() { multichecker.Main(vet.Suite...) }
