//go:build !linux

package process

// moveTo moves what is at from to a path where there is nothing yet; else it fails
// with fs.ErrExist.
func moveTo(from, to string) error { return moveIfMissing(from, to) }
