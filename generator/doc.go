// Package generator is the craft: it turns a [Spec] (what was asked for) into a
// [Plan] (paths and bytes, data only) and commits a plan to the disk. It prints
// nothing, asks nothing and never uses the network. Only apply.go writes to the
// disk; only splice.go knows go/ast, and what it offers to others is a goFile.
//
//	spec := generator.Spec{Name: "feed", Transports: []string{"tcp"}, Database: "sqlite"}
//	plan, err := generator.New(spec) // *InvalidError: what is wrong with the spec
//	plan.Root = "feed"
//	err = plan.Verify()              // *VerifyError: the files are not sound
//	err = plan.Apply(ctx)            // *RefusedError: something is in the way
//
// # From the exemplar to a project
//
// What is copied is package templates. A source is that, taken apart: the files
// of every project, the files of each feature, and the four files in which
// features have a part (internal/wire/wire.go, the configuration, go.mod,
// go.sum), with those parts taken out. A file is rendered by one replacement of
// the import path and of the word that stands for the name (words.go), and a
// feature is plugged in by changes of four kinds, each a function from old bytes
// to new bytes that does nothing the second time (create, splice.go, require.go,
// section.go). [New] folds them over the rendered files, [Add] over what is on
// the disk, and that is all the difference.
//
// # Laws
//
// What holds for every spec is said in laws_test.go and tested with random ones:
// determinism, orthogonality, commutation, new = fold(add), idempotence, add then
// remove = nothing, identity, no residue, closure, and respect for what people
// change.
package generator
