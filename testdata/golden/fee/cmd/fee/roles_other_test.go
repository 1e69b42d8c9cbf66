//go:build !linux

package main

// What is left to the system where it has no namespaces and no subreaper.

// programVariable names a program that is built already; nobody sets it here.
const programVariable = "FEE_TEST_PROGRAM"

func playRole() (code int, ok bool) { return 0, false }

func reapOrphans() error { return nil }

func (i *instance) becomeRootIfAlone() {}
